"""How varied texts are, and how much a text repeats itself, without any reference."""

from __future__ import annotations

from collections.abc import Sequence


def distinct_n(texts: Sequence[Sequence[str]], n: int) -> float:
    """The share of different n-grams among all n-grams of the texts; 0 if there is none.

    The paper divides by the number of words. By that of the n-grams, as is usual by now, it is a share.

    Raises:
        ValueError: `n` is not positive.

    Source: Li, Galley, Brockett, Gao and Dolan, "A Diversity-Promoting Objective Function for Neural
    Conversation Models" (2016), section 5.
    """
    ngrams = [ngram for text in texts for ngram in _ngrams(text, n)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def repetition(text: Sequence[str], n: int) -> float:
    """The share of a text's n-grams that it has said before; 0 if it has none.

    Raises:
        ValueError: `n` is not positive.

    Source: Welleck, Kulikov, Roller, Dinan, Cho and Weston, "Neural Text Generation with Unlikelihood
    Training" (2020), section 6.1 (seq-rep-n).
    """
    ngrams = _ngrams(text, n)
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def _ngrams(text: Sequence[str], n: int) -> list[tuple[str, ...]]:
    if n < 1:
        raise ValueError(f"an n-gram has at least one word: got n {n}")
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
