"""Was the test in the training text?

Source: Brown et al., "Language Models are Few-Shot Learners" (2020), appendix C.
"""

from __future__ import annotations

from collections.abc import Sequence


def ngram_overlap(test: Sequence[str], training: Sequence[str], n: int) -> float:
    """The share of the test's n-grams that occur in the training text; 0 if the test has none.

    Every place of the test counts, so an n-gram that stands there twice counts twice. How often the training
    text has it does not matter.

    Raises:
        ValueError: `n` is not positive.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one word: got n {n}")
    ngrams, read = ([tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for text in (test, training))
    seen = set(read)  # a list would be searched from its beginning for each n-gram
    return sum(ngram in seen for ngram in ngrams) / len(ngrams) if ngrams else 0.0
