"""chrF: which runs of characters does a candidate share with a reference?

Equal to sacrebleu's chrF, divided by 100.

Source: Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def chrf(candidates: Sequence[str], references: Sequence[str], max_n: int = 6, beta: float = 2.0) -> float:
    """chrF of all candidates together, each with one reference, from 0 to 1.

    White space is left out. Counts are added up over all texts; precision and recall are averaged over the
    lengths 1 to `max_n` of which both sides have any; `beta` says how much more recall counts.

    Raises:
        ValueError: there is no candidate, or not one reference for each.
    """
    if not candidates or len(candidates) != len(references):
        raise ValueError(
            "chrF needs candidates and one reference for each: "
            f"got {len(candidates)} candidates and {len(references)} references"
        )
    precisions, recalls = [], []
    for n in range(1, max_n + 1):
        found = there = wanted = 0
        for candidate, reference in zip(candidates, references, strict=True):
            has, offered = _ngrams(candidate, n), _ngrams(reference, n)
            found += (has & offered).total()
            there += has.total() if offered else 0  # as sacrebleu: nothing to be found, nothing counted
            wanted += offered.total()
        if there and wanted:
            precisions.append(found / there)
            recalls.append(found / wanted)
    if not any(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _ngrams(text: str, n: int) -> Counter[str]:
    letters = "".join(text.split())
    return Counter(letters[i : i + n] for i in range(len(letters) - n + 1))
