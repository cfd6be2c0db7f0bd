"""chrF: which runs of characters does a candidate share with a reference?

Equal to sacrebleu's chrF, divided by 100.

Source: Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def chrf(
    candidates: Sequence[str], references: Sequence[str | Sequence[str]], max_n: int = 6, beta: float = 2.0
) -> float:
    """chrF of all candidates together, each with a reference or a list of them, from 0 to 1.

    White space is left out. Counts are added up over all texts; precision and recall are averaged over the
    lengths 1 to `max_n` of which both sides have any; `beta` says how much more recall counts. Of several
    references only the one counts that gives its candidate the best chrF.

    Raises:
        ValueError: there is no candidate, or not a reference for each.
    """
    if not candidates or len(candidates) != len(references):
        raise ValueError(
            "chrF needs candidates and a reference for each: "
            f"got {len(candidates)} candidates and {len(references)} references"
        )
    for place, its in enumerate(references):
        if not isinstance(its, str) and not its:
            raise ValueError(f"references[{place}] must be a text or a list of at least one: got {its!r}")
    total = [(0, 0, 0)] * max_n
    for candidate, its in zip(candidates, references, strict=True):
        offered = [its] if isinstance(its, str) else its
        counts = max((_counts(candidate, one, max_n) for one in offered), key=lambda c: _score(c, beta))
        total = [(a + d, b + e, c + f) for (a, b, c), (d, e, f) in zip(total, counts, strict=True)]
    return _score(total, beta)


def _counts(candidate: str, reference: str, max_n: int) -> list[tuple[int, int, int]]:
    """For each length: how many n-grams are in both texts, in the candidate, and in the reference."""
    counts = []
    for n in range(1, max_n + 1):
        has, offered = _ngrams(candidate, n), _ngrams(reference, n)
        there = has.total() if offered else 0  # as sacrebleu: nothing to be found, nothing counted
        counts.append(((has & offered).total(), there, offered.total()))
    return counts


def _score(counts: list[tuple[int, int, int]], beta: float) -> float:
    shares = [(found / there, found / wanted) for found, there, wanted in counts if there and wanted]
    if not any(precision for precision, _ in shares):
        return 0.0
    precision, recall = (sum(column) / len(shares) for column in zip(*shares, strict=True))
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _ngrams(text: str, n: int) -> Counter[str]:
    letters = "".join(text.split())
    return Counter(letters[i : i + n] for i in range(len(letters) - n + 1))
