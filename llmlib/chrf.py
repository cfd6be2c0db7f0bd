"""chrF: hypotheses and references compared by their characters, so that half a word is worth something.

Source: Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from llmlib.bleu import _need_references
from llmlib.ngrams import ngrams

Counts = list[tuple[int, int, int]]  # for each n: in the hypothesis, in the reference, in both


def chrf(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], n: int = 6, beta: float = 2.0
) -> float:
    """chrF of a whole set of hypotheses, from 0 to 100; `references[i]` are the references of hypothesis i.

    Blanks are left out. The n-grams of characters in the hypothesis, in its reference, and in both are
    counted and added up over all hypotheses. Precision and recall are averaged over the lengths 1 to `n` that
    occur on both sides; chrF is (1 + β²) P R / (β² P + R): recall weighs β times as much as precision. Of
    several references each hypothesis is compared with the one that gives it the best chrF.

    Raises:
        ValueError: hypotheses and references differ in number, a hypothesis has no reference, there are no
            hypotheses, or `n` is smaller than 1.

    Source: Popović (2015), equation 1.
    """
    _need_references(hypotheses, references)
    if n < 1:
        raise ValueError(f"chrF needs n-grams of at least one character: got n = {n}")
    total: Counts = [(0, 0, 0)] * n
    for hypothesis, its in zip(hypotheses, references, strict=True):
        compared = (_counts(hypothesis, reference, n) for reference in its)
        best = max(compared, key=lambda counts: _score(counts, beta))
        total = [
            tuple(a + b for a, b in zip(old, new, strict=True)) for old, new in zip(total, best, strict=True)
        ]  # type: ignore[misc]
    return _score(total, beta)


def _counts(hypothesis: str, reference: str, n: int) -> Counts:
    result = []
    for length in range(1, n + 1):
        written, wanted = (Counter(ngrams("".join(t.split()), length)) for t in (hypothesis, reference))
        # A length that the reference is too short for says nothing about the hypothesis.
        result.append((written.total() if wanted else 0, wanted.total(), (written & wanted).total()))
    return result


def _score(counts: Counts, beta: float) -> float:
    both = [(match / written, match / wanted) for written, wanted, match in counts if written and wanted]
    if not both or not any(p for p, _ in both):
        return 0.0
    precision, recall = (sum(column) / len(both) for column in zip(*both, strict=True))
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
