"""Corpora by name, their split into training and validation text, and batches for training.

`stories` is told by `llmlib.stories` and needs nothing; `shakespeare` is downloaded once; any other text is
named by its path.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from llmlib.stories import stories

CORPORA = ("stories", "shakespeare")

# Long enough that a small model in a minute's training does not learn it by heart.
_STORY_CHARACTERS = 1_000_000

SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_SHAKESPEARE_FILE = "tinyshakespeare.txt"
_INSTEAD = "The corpus 'stories' comes with llmlib and needs neither network nor file."


class CorpusError(Exception):
    """A corpus cannot be had. The message says why, and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A text with its name: `stories`, `shakespeare` or the path it was read from."""

    name: str
    text: str

    def split(self, train_share: float = 0.9) -> tuple[str, str]:
        """The first part, to train on, and the rest, to validate on.

        Both are contiguous: characters drawn here and there would let the model see, around every place
        that it is tested on, the very sentence that it has to guess.

        Raises:
            ValueError: `train_share` leaves nothing to train or to validate on.
        """
        end = int(len(self.text) * train_share)
        if not 0 < end < len(self.text):
            raise ValueError(
                f"train_share must leave text on both sides: got {train_share} of {len(self.text)} characters"
            )
        return self.text[:end], self.text[end:]


def load_corpus(name_or_path: str | os.PathLike[str] = "stories") -> Corpus:
    """A corpus by name (`stories`, `shakespeare`) or the text file at a path.

    `shakespeare` (Tiny Shakespeare, 1.1 million characters) is taken from the folder that the environment
    variable `LLMLIB_DATA` names, where it must be called tinyshakespeare.txt. Otherwise it is downloaded
    once and kept in the user's cache folder (`LLMLIB_CACHE`, else `XDG_CACHE_HOME/llmlib`, else
    `~/.cache/llmlib`). Either way its SHA-256 is checked.

    Raises:
        CorpusError: the corpus cannot be had: the message says why and what to do.

    Source of `shakespeare`: Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015).
    """
    name = os.fspath(name_or_path)
    if name == "stories":
        return Corpus("stories", stories(0, characters=_STORY_CHARACTERS))
    if name == "shakespeare":
        return Corpus("shakespeare", _shakespeare())
    return Corpus(name, _read_text(Path(name).expanduser()))


def get_batch(
    tokens: Int[Tensor, " corpus"],
    batch_size: int,
    context_length: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> tuple[Int[Tensor, "batch length"], Int[Tensor, "batch length"]]:
    """Windows of the corpus from random places, and for every token of them the one that follows.

    The places are drawn on the CPU, all equally likely, so that one seed gives the same batches on every
    device.

    Raises:
        ValueError: the corpus is too short for a window and the token after it.
    """
    windows_there = len(tokens) - context_length
    if windows_there < 1:
        raise ValueError(
            f"a context of {context_length} tokens needs a text of at least {context_length + 1}: "
            f"got {len(tokens)}. Use a longer text or a shorter context"
        )
    starts = torch.randint(windows_there, (batch_size,), generator=generator)
    windows = tokens[
        starts[:, None].to(tokens.device) + torch.arange(context_length + 1, device=tokens.device)
    ]
    windows = windows.to(device)
    return windows[:, :-1], windows[:, 1:]


def _read_text(path: Path) -> str:
    if path.is_dir():
        raise CorpusError(f"{path} is a folder. Name a text file in it, or a corpus: {', '.join(CORPORA)}.")
    try:
        return _decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        near = difflib.get_close_matches(str(path), CORPORA, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise CorpusError(
            f"There is no corpus and no file named {str(path)!r}. {hint}"
            f"Corpora by name: {', '.join(CORPORA)}. {_INSTEAD}"
        ) from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"The file {path} cannot be read: {_reason(error)}.") from None


def _decode(content: bytes, where: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{where} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}. "
            "Save it as UTF-8 and try again."
        ) from None
    if not text.strip():
        raise CorpusError(f"{where} is empty. A corpus needs text to learn from.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _shakespeare() -> str:
    if folder := os.environ.get("LLMLIB_DATA"):
        path = Path(folder).expanduser() / _SHAKESPEARE_FILE
        if not path.is_file():
            there = "the folder does not exist" if not path.parent.is_dir() else "it is not there"
            raise CorpusError(
                f"LLMLIB_DATA says that {_SHAKESPEARE_FILE} lies in {folder}, but {there}. "
                f"Put it there, or unset LLMLIB_DATA to download it. {_INSTEAD}"
            )
        advice = "Replace it, or unset LLMLIB_DATA to download it."
        return _decode(_checked(_read(path), str(path), advice), str(path))

    path = _cache_folder() / _SHAKESPEARE_FILE
    if path.is_file():
        advice = "Delete it, and it will be downloaded again."
        return _decode(_checked(_read(path), str(path), advice), str(path))
    content = _checked(_download(), SHAKESPEARE_URL, f"Try again later. {_INSTEAD}")
    _keep(content, path)
    return _decode(content, SHAKESPEARE_URL)


def _cache_folder() -> Path:
    if folder := os.environ.get("LLMLIB_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "llmlib"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorpusError(f"The file {path} cannot be read: {_reason(error)}.") from None


def _checked(content: bytes, where: str, advice: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != SHAKESPEARE_SHA256:
        raise CorpusError(
            f"{where} is not Tiny Shakespeare: its SHA-256 is {found}, "
            f"expected {SHAKESPEARE_SHA256}. {advice}"
        )
    return content


def _download() -> bytes:
    try:
        with urllib.request.urlopen(SHAKESPEARE_URL, timeout=30) as answer:
            # A little more than the file: another answer, however long, only has the wrong SHA-256.
            return answer.read(2_000_000)
    except (urllib.error.URLError, OSError) as error:
        raise CorpusError(
            f"Tiny Shakespeare could not be downloaded from {SHAKESPEARE_URL}: {_reason(error)}. "
            f"With a network, try again; or save it as {_SHAKESPEARE_FILE} in a folder and name the folder "
            f"in the environment variable LLMLIB_DATA. {_INSTEAD}"
        ) from None


def _keep(content: bytes, path: Path) -> None:
    """Put the download into the cache, whole or not at all. A cache that cannot be written is no error."""
    # A name of its own for each process: two may download at the same time.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        folder, reason = path.parent, _reason(error)
        print(
            f"Tiny Shakespeare could not be kept in {folder}, so next time it is downloaded again: {reason}"
        )


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return str(reason) or type(error).__name__
