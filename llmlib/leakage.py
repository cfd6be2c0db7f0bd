"""Was the test in the training text? A model that has read the answers proves nothing by giving them.

Sources: Brown et al., "Language Models are Few-Shot Learners" (2020), appendix C, and Touvron et al., "Llama
2: Open Foundation and Fine-Tuned Chat Models" (2023), appendix A.6, for the search by n-grams.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from llmlib.ngrams import ngrams


def ngram_overlap(training: Sequence[Hashable], items: Sequence[Sequence[Hashable]], n: int) -> list[bool]:
    """Which test items have a stretch of `n` neighbouring tokens that also stands in the training text.

    An item of fewer than `n` tokens is looked for as a whole.

    Raises:
        ValueError: `n` is smaller than 1, or an item is empty.

    Source: Brown et al. (2020), appendix C.
    """
    if n < 1 or not all(len(item) for item in items):
        raise ValueError(
            f"n must be at least 1 and every item needs a token: got n = {n} and items of "
            f"{[len(item) for item in items]} tokens"
        )
    seen: dict[int, set[tuple[Hashable, ...]]] = {}
    leaked = []
    for item in items:
        length = min(n, len(item))
        if length not in seen:
            seen[length] = set(ngrams(training, length))
        leaked.append(any(gram in seen[length] for gram in ngrams(item, length)))
    return leaked
