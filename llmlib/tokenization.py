"""Text to integers and back: one token a character."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class CharTokenizer:
    """A vocabulary of single characters: a character's token is its place in `characters`.

    Raises:
        ValueError: there is no character, or one stands there twice.
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters:
            raise ValueError("the vocabulary needs at least one character: got none")
        for place, character in enumerate(self.characters):
            if (first := self.characters.index(character)) != place:
                raise ValueError(f"every character must stand once: {character!r} is at {first} and {place}")

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """The tokenizer for every character that occurs in `text`, in the order of Unicode."""
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        """How many different tokens there are."""
        return len(self.characters)

    @cached_property
    def _tokens(self) -> dict[str, int]:
        return {character: token for token, character in enumerate(self.characters)}

    def encode(self, text: str) -> list[int]:
        """The token of each character.

        Raises:
            ValueError: a character is not in the vocabulary.
        """
        try:
            return [self._tokens[character] for character in text]
        except KeyError:
            place, character = next((i, c) for i, c in enumerate(text) if c not in self._tokens)
            raise ValueError(
                f"character {character!r} at position {place} is not among the {self.vocab_size} characters "
                "of the vocabulary: remove it, or make the tokenizer from a text that contains it"
            ) from None

    def decode(self, tokens: Iterable[int] | Int[Tensor, " length"]) -> str:
        """The text that the tokens stand for: the inverse of `encode`.

        Raises:
            ValueError: a token is negative or not smaller than `vocab_size`.
        """
        numbers = tokens.tolist() if isinstance(tokens, Tensor) else list(tokens)
        for place, token in enumerate(numbers):
            if not 0 <= token < self.vocab_size:
                last = self.vocab_size - 1
                raise ValueError(
                    f"every token must lie between 0 and {last}: got {token} at position {place}"
                )
        return "".join(self.characters[token] for token in numbers)
