"""ROUGE-L: how much of a reference a text says, in the same order.

Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), section 3.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def longest_common_subsequence(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """How many tokens can be kept of both texts so that the same text is left.

    What is kept stays in its order, and there may be gaps in it.

    Source: Lin (2004), section 3; Wagner and Fischer, "The String-to-String Correction Problem" (1974).
    """
    above = [0] * (len(b) + 1)  # for the part of `a` so far: with each beginning of `b`
    for token in a:
        row = [0]
        for place, other in enumerate(b):
            row.append(above[place] + 1 if token == other else max(above[place + 1], row[-1]))
        above = row
    return above[-1]


def rouge_l(
    hypothesis: str | Sequence[Hashable], reference: str | Sequence[Hashable], beta: float = 1.0
) -> tuple[float, float, float]:
    """Precision, recall and F by the longest common subsequence of two texts.

    Precision is its share of the hypothesis, recall its share of the reference, and
    F = (1 + β²) P R / (R + β² P), or 0 if nothing is common. A string is split into words at its blanks.

    Source: Lin (2004), equations 2 to 4.
    """
    written = hypothesis.split() if isinstance(hypothesis, str) else hypothesis
    wanted = reference.split() if isinstance(reference, str) else reference
    common = longest_common_subsequence(written, wanted)
    if common == 0:
        return 0.0, 0.0, 0.0
    precision, recall = common / len(written), common / len(wanted)
    return precision, recall, (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
