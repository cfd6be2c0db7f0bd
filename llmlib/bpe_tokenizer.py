"""The whole tokenizer: text cut into pieces, pieces merged into tokens, special tokens beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import regex
from jaxtyping import Int
from torch import Tensor

from llmlib.bpe import N_BYTES, decode, encode_piece, train_bpe_fast, vocabulary_of

# GPT-2's own: English endings, words with the space before them, numbers, signs, blanks. The last blank
# before a word goes with the word.
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
END_OF_TEXT = "<|endoftext|>"
_FORMAT = "llmlib BPE 1"
_MOST_CACHED, _LONGEST_CACHED = 100_000, 64


def pre_tokenize(text: str, pattern: str = GPT2_PATTERN) -> list[str]:
    """The text cut into the pieces that `pattern` finds; put together again they are the text.

    Raises:
        ValueError: the pattern leaves out a part of the text.

    Source: Radford et al. (2019), section 2.2, and the pattern published with GPT-2.
    """
    pieces = regex.findall(pattern, text)
    if sum(map(len, pieces)) != len(text):
        raise ValueError(f"the pattern must match every character of the text: {pattern!r} leaves some out")
    return pieces


@dataclass(frozen=True)
class BPETokenizer:
    """Byte-pair encoding with its merges, special tokens and the pattern that cuts a text into pieces.

    merges:         the pairs in the order of learning; merge number i makes token 256 + i.
    special_tokens: texts with a token of their own, numbered after the merges; never made from ordinary text.
    pattern:        of `pre_tokenize`.
    byte_order:     the byte of each token 0 to 255. GPT-2 has an order of its own.

    Raises:
        ValueError: a merge uses a token that is not yet there, `byte_order` lacks a byte, or a merge or a
            special token stands there twice or is empty.
    """

    merges: tuple[tuple[int, int], ...]
    special_tokens: tuple[str, ...] = ()
    pattern: str = GPT2_PATTERN
    byte_order: bytes = bytes(range(N_BYTES))

    def __post_init__(self) -> None:
        if sorted(self.byte_order) != list(range(N_BYTES)):
            there = len(set(self.byte_order))
            raise ValueError(f"byte_order must hold each of the 256 bytes once: got {there} of them")
        for token, (left, right) in enumerate(self.merges, start=N_BYTES):
            if not (0 <= left < token and 0 <= right < token):
                raise ValueError(f"a merge joins earlier tokens: got {(left, right)} for token {token}")
        if len(set(self.merges)) != len(self.merges):
            raise ValueError("every pair is merged once: a pair stands in merges twice")
        if len(set(self.special_tokens)) != len(self.special_tokens) or "" in self.special_tokens:
            raise ValueError(f"special tokens must differ and not be empty: got {self.special_tokens}")

    @classmethod
    def train(
        cls,
        text: str,
        vocab_size: int,
        special_tokens: tuple[str, ...] = (),
        pattern: str = GPT2_PATTERN,
    ) -> BPETokenizer:
        """The tokenizer learned from a text: 256 bytes, merges, and the special tokens, `vocab_size` in all.

        It has fewer tokens where the text runs out of pairs.

        Raises:
            ValueError: `vocab_size` has no room for the bytes and the special tokens.
        """
        n_merges = vocab_size - N_BYTES - len(special_tokens)
        if n_merges < 0:
            least = N_BYTES + len(special_tokens)
            raise ValueError(
                f"vocab_size must be at least {least} (256 bytes and the special tokens): got {vocab_size}"
            )
        pieces = (list(_utf8(piece)) for piece in pre_tokenize(text, pattern))
        return cls(tuple(train_bpe_fast(pieces, n_merges)), special_tokens, pattern)

    @classmethod
    def from_ranks(
        cls, ranks: dict[bytes, int], special_tokens: tuple[str, ...] = (), pattern: str = GPT2_PATTERN
    ) -> BPETokenizer:
        """The tokenizer whose vocabulary is given as bytes with their ranks, as tiktoken stores it.

        Ranks name the result of a merge and not its two parts. They are found by encoding the result with the
        merges before it: two tokens must remain.

        Raises:
            ValueError: the ranks are not 0, 1, 2, …, or the first 256 are not the bytes, or a token is not
                two tokens before it.
        """
        ordered = sorted(ranks, key=lambda token: ranks[token])
        if sorted(ranks.values()) != list(range(len(ranks))) or sorted(ordered[:N_BYTES]) != [
            bytes([byte]) for byte in range(N_BYTES)
        ]:
            raise ValueError("ranks must be 0, 1, 2, … without a gap, and the first 256 the single bytes")
        merges: dict[tuple[int, int], int] = {}
        for token, joined in enumerate(ordered[N_BYTES:], start=N_BYTES):
            parts = encode_piece([ranks[bytes([byte])] for byte in joined], merges)
            if len(parts) != 2:
                raise ValueError(f"{joined!r} (rank {token}) must be two earlier tokens: it is {len(parts)}")
            merges[parts[0], parts[1]] = token
        return cls(tuple(merges), special_tokens, pattern, b"".join(ordered[:N_BYTES]))

    @property
    def vocab_size(self) -> int:
        """How many different tokens there are."""
        return N_BYTES + len(self.merges) + len(self.special_tokens)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The tokens of a text.

        A special token's name in the text is ordinary text, unless `allow_special` says that the text is your
        own: else whoever writes the text could end it where they like.

        Raises:
            ValueError: the text holds half a surrogate pair, which is no character.
        """
        if not (allow_special and self.special_tokens):
            return self._encode_ordinary(text)
        tokens: list[int] = []
        # With the group, split keeps what it splits at: every second part is a special token.
        for place, part in enumerate(self._special_pattern.split(text)):
            tokens.extend([self._special[part]] if place % 2 else self._encode_ordinary(part))
        return tokens

    def decode(self, tokens: Iterable[int] | Int[Tensor, " length"]) -> str:
        """The text of the tokens. Bytes that are no valid UTF-8 become U+FFFD.

        Raises:
            ValueError: a token is not in the vocabulary.
        """
        return decode(tokens.tolist() if isinstance(tokens, Tensor) else list(tokens), self.vocabulary)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer to a JSON file, whole or not at all."""
        content = {
            "format": _FORMAT,
            "pattern": self.pattern,
            "special_tokens": self.special_tokens,
            "byte_order": list(self.byte_order),
            "merges": self.merges,
        }
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(json.dumps(content), "utf-8")
        os.replace(temporary, target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BPETokenizer:
        """The tokenizer that `save` wrote.

        Raises:
            ValueError: the file is not such a file.
            OSError: it cannot be read.
        """
        try:
            content = json.loads(Path(path).read_text("utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"its format is {content['format']!r}")
            return cls(
                merges=tuple((int(left), int(right)) for left, right in content["merges"]),
                special_tokens=tuple(content["special_tokens"]),
                pattern=content["pattern"],
                byte_order=bytes(content["byte_order"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no tokenizer that BPETokenizer.save wrote ({error}): save it again"
            ) from None

    @cached_property
    def vocabulary(self) -> dict[int, bytes]:
        """The bytes of every token."""
        places = {token: bytes([byte]) for token, byte in enumerate(self.byte_order)}
        learned = vocabulary_of(self._merges)
        words = {token: b"".join(places[byte] for byte in word) for token, word in learned.items()}
        return words | {token: special.encode() for special, token in self._special.items()}

    @cached_property
    def _merges(self) -> dict[tuple[int, int], int]:
        return {pair: token for token, pair in enumerate(self.merges, start=N_BYTES)}

    @cached_property
    def _special(self) -> dict[str, int]:
        return {
            name: token for token, name in enumerate(self.special_tokens, start=N_BYTES + len(self.merges))
        }

    @cached_property
    def _special_pattern(self) -> regex.Pattern[str]:
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        return regex.compile(f"({'|'.join(map(regex.escape, longest_first))})")

    @cached_property
    def _token_of_byte(self) -> dict[int, int]:
        return {byte: token for token, byte in enumerate(self.byte_order)}

    @cached_property
    def _cache(self) -> dict[str, list[int]]:
        return {}

    def _encode_ordinary(self, text: str) -> list[int]:
        cache = self._cache
        tokens: list[int] = []
        for piece in pre_tokenize(text, self.pattern):
            found = cache.get(piece)
            if found is None:
                found = encode_piece([self._token_of_byte[byte] for byte in _utf8(piece)], self._merges)
                # Words come again and again; what is long or rare would only fill the memory.
                if len(piece) <= _LONGEST_CACHED and len(cache) < _MOST_CACHED:
                    cache[piece] = found
            tokens.extend(found)
        return tokens


def _utf8(piece: str) -> bytes:
    try:
        return piece.encode("utf-8")
    except UnicodeEncodeError as error:
        half = piece[error.start]
        raise ValueError(
            f"the text holds {half!r}, half of a surrogate pair, which is no character: remove it, or read "
            "the text with errors='replace'"
        ) from None
