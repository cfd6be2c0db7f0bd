"""BLEU: which runs of words does a candidate share with a reference?

The texts come as lists of words: how a text is cut into words decides much of a score, so it is not hidden
here. Equal to sacrebleu's score with `tokenize="none"` and `smooth_method="none"`, divided by 100.

Sources: Papineni, Roukos, Ward and Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation"
(2002); Post, "A Call for Clarity in Reporting BLEU Scores" (2018).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def clipped_counts(candidate: Sequence[str], reference: Sequence[str], n: int) -> tuple[int, int]:
    """How many n-grams of the candidate are found in the reference, and how many it has.

    An n-gram is found at most as often as the reference has it.

    Raises:
        ValueError: `n` is not positive.

    Source: Papineni, Roukos, Ward and Zhu (2002), section 2.1.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one word: got n {n}")
    has, offered = (
        Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)) for text in (candidate, reference)
    )
    found = sum(min(count, offered[ngram]) for ngram, count in has.items())
    return found, sum(has.values())


def bleu(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]], max_n: int = 4) -> float:
    """BLEU of all candidates together, each with one reference, from 0 to 1.

    Counts and lengths are added up over all texts before anything is divided: it is no average of the texts'
    scores. If no n-gram of some length is found, it is 0.

    Raises:
        ValueError: there is no candidate, or not one reference for each.

    Source: Papineni, Roukos, Ward and Zhu (2002), section 2.3.
    """
    if not candidates or len(candidates) != len(references):
        raise ValueError(
            "BLEU needs candidates and one reference for each: "
            f"got {len(candidates)} candidates and {len(references)} references"
        )
    pairs = list(zip(candidates, references, strict=True))
    logarithms = 0.0
    for n in range(1, max_n + 1):
        counts = [clipped_counts(candidate, reference, n) for candidate, reference in pairs]
        found, there = (sum(numbers) for numbers in zip(*counts, strict=True))
        if found == 0:
            return 0.0
        logarithms += math.log(found / there)
    return brevity_penalty(sum(map(len, candidates)), sum(map(len, references))) * math.exp(
        logarithms / max_n
    )


def brevity_penalty(candidate_length: int, reference_length: int) -> float:
    """What candidates that are too short are multiplied by; 1 if they are not.

    Source: Papineni, Roukos, Ward and Zhu (2002), section 2.2.
    """
    if candidate_length >= reference_length:
        return 1.0
    return math.exp(1 - reference_length / candidate_length) if candidate_length else 0.0
