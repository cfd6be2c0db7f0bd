"""ROUGE-L: the longest list of words that a candidate and a reference have in the same order.

Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words the longest list has that stands in both texts in this order, with gaps or without.

    Source: Wagner and Fischer, "The String-to-String Correction Problem" (1974).
    """
    # Row i, column j: the answer for the first i words of the one and the first j of the other.
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, word in enumerate(first, start=1):
        for j, other in enumerate(second, start=1):
            if word == other:
                lengths[i][j] = lengths[i - 1][j - 1] + 1
            else:
                lengths[i][j] = max(lengths[i - 1][j], lengths[i][j - 1])
    return lengths[-1][-1]


def rouge_l(candidate: Sequence[str], reference: Sequence[str]) -> float:
    """The F1 of the longest common subsequence, from 0 to 1.

    Precision is its share of the candidate's words, recall its share of the reference's. Two texts without a
    word have nothing in common.

    Source: Lin (2004), equations 2 to 4, with beta = 1.
    """
    words = len(candidate) + len(reference)
    return 2 * longest_common_subsequence(candidate, reference) / words if words else 0.0
