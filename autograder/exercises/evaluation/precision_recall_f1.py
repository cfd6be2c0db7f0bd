"""Exercise 9.3: precision, recall and F1 from a confusion matrix.

The wrong answers stand in `wrong_scores`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.evaluation.drawn import whole
from autograder.exercises.evaluation.wrong_scores import MISCONCEPTIONS
from llmlib import classification


def _full(g: torch.Generator) -> torch.Tensor:
    """Every class is there and is said; rows and columns have different sums."""
    size = whole(g, 2, 4)
    confusion = torch.randint(1, 6, (size, size), generator=g)
    confusion[0, 1] += 9
    return confusion + torch.diag(torch.randint(3, 12, (size,), generator=g))


def _macro(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        yield Case({"confusion": _full(g), "average": "macro"})


def _micro(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        yield Case({"confusion": _full(g), "average": "micro"})


def _empty(g: torch.Generator) -> Iterator[Case]:
    never_said, never_there, lonely, nowhere, missed = (
        torch.randint(2, 7, (3, 3), generator=g) for _ in range(5)
    )
    never_said[:, 1] = 0
    never_there[2] = 0
    # A class of a single item, and a class that was said a single time: 1/1 must not become 1/2.
    lonely[1] = torch.tensor([0, 1, 0])
    lonely[:, 1] = torch.tensor([0, 1, 0])
    nowhere[0], nowhere[:, 0] = 0, 0
    missed[2, 2] = 0  # there and said, and never both
    for confusion in (never_said, never_there, lonely, nowhere, missed):
        yield Case({"confusion": confusion, "average": "macro"})
    nothing_right = torch.tensor([[0, whole(g, 1, 5)], [whole(g, 1, 5), 0]])
    for average in ("macro", "micro"):
        yield Case({"confusion": nothing_right, "average": average})
    yield Case({"confusion": torch.tensor([[0, 0], [0, 1]]), "average": "micro"})


# --- Right answers in another form


def _by_loops(confusion, average):
    rows = confusion.tolist()
    n = len(rows)
    triples = [
        (rows[c][c], sum(rows[i][c] for i in range(n)) - rows[c][c], sum(rows[c]) - rows[c][c])
        for c in range(n)
    ]
    if average == "micro":
        triples = [tuple(map(sum, zip(*triples, strict=True)))]
    results = [0.0, 0.0, 0.0]
    for tp, fp, fn in triples:
        scores = (
            tp / (tp + fp) if tp + fp else 0.0,
            tp / (tp + fn) if tp + fn else 0.0,
            2 * tp / (2 * tp + fp + fn) if tp else 0.0,
        )
        results = [a + b / len(triples) for a, b in zip(results, scores, strict=True)]
    return tuple(results)


def _nan_replaced(confusion, average):
    hits = confusion.diagonal().double()
    false_positives, false_negatives = confusion.sum(0) - hits, confusion.sum(1) - hits
    if average == "micro":
        hits, false_positives, false_negatives = hits.sum(), false_positives.sum(), false_negatives.sum()
    p, r = hits / (hits + false_positives), hits / (hits + false_negatives)
    f1 = (2 * p * r / (p + r)).nan_to_num(0.0)
    return p.nan_to_num(0.0).mean().item(), r.nan_to_num(0.0).mean().item(), f1.mean().item()


def _micro_is_accuracy(confusion, average):
    if average == "micro":
        share = (confusion.trace() / confusion.sum().double()).item()
        return share, share, share
    return _by_loops(confusion, "macro")


def _where(confusion, average):
    matrix = confusion.to(torch.float64)
    if average == "micro":
        right, wrong = matrix.trace(), matrix.sum() - matrix.trace()
        matrix = torch.stack([torch.stack([right, wrong]), torch.stack([wrong, right * 0])])
        hits, said, there = matrix[0, :1], matrix[:, 0].sum()[None], matrix[0].sum()[None]
    else:
        hits, said, there = torch.diag(matrix), torch.sum(matrix, 0), torch.sum(matrix, 1)
    pairs = ((hits, said), (hits, there), (hits * 2, said + there))
    return [float(torch.where(b > 0, a / b.clamp(min=1), 0.0).mean()) for a, b in pairs]


def _divided_with_numpy(confusion, average):
    counts = confusion.cpu().numpy()
    hits, said, there = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    if average == "micro":
        hits, said, there = (x.sum(keepdims=True) for x in (hits, said, there))

    def divided(a, b):
        return np.divide(a, b, out=np.zeros(len(a)), where=b != 0).mean()

    return divided(hits, said), divided(hits, there), divided(2 * hits, said + there)


def _with_a_tiny_number(confusion, average):
    counts, tiny = confusion.double(), 1e-12
    hits, said, there = counts.diagonal(), counts.sum(dim=0), counts.sum(dim=1)
    if average == "micro":
        hits, said, there = hits.sum(), said.sum(), there.sum()
    precision, recall = hits / (said + tiny), hits / (there + tiny)
    f1 = 2 * precision * recall / (precision + recall + tiny)
    return precision.mean().item(), recall.mean().item(), f1.mean().item()


def _with_exceptions(confusion, average):
    def share(part, of):
        try:
            return Fraction(part, of)
        except ZeroDivisionError:
            return Fraction(0)

    rows = confusion.tolist()
    counts = [
        (row[c], sum(column), sum(row))
        for c, (row, column) in enumerate(zip(rows, zip(*rows, strict=True), strict=True))
    ]
    if average == "micro":
        counts = [tuple(sum(numbers) for numbers in zip(*counts, strict=True))]
    scores = [(share(hits, said), share(hits, there)) for hits, said, there in counts]
    f1 = [share(2 * p * r, p + r) for p, r in scores]
    p, r = zip(*scores, strict=True)
    return [float(sum(x) / len(counts)) for x in (p, r, f1)]


MACRO = "averages over the classes for macro"

EXERCISE = Exercise(
    name="classification.precision_recall_f1",
    number="9.3",
    title="Precision, recall, F1",
    minutes=15,
    difficulty=2,
    reference=classification.precision_recall_f1,
    checks=(
        Check(MACRO, 2, _macro),
        Check("adds the counts up first for micro", 1, _micro, after=(MACRO,)),
        Check("counts nothing out of nothing as 0", 1, _empty, after=(MACRO,)),
    ),
    hints=(
        "For each class you need three counts, all in the matrix: on the diagonal what was right, in the sum "
        "of one column how often it was said, in the sum of one row how often it is there.",
        "In these counts F1 is twice what was right, over the sum of the other two. For macro, average the "
        "classes' numbers; for micro, add the three counts up over the classes and then divide once.",
        "Where the number below the line is 0, what stands above it is 0 too: any other number below the "
        "line then gives the 0 that is wanted.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=(
        Alternative("class by class", _by_loops),
        Alternative("NaN replaced by 0", _nan_replaced),
        Alternative("micro as the accuracy", _micro_is_accuracy),
        Alternative("a choice instead of a bound", _where),
        Alternative("divided with NumPy where there is something", _divided_with_numpy),
        Alternative("a tiny number below the line", _with_a_tiny_number),
        Alternative("exceptions caught, in fractions", _with_exceptions),
    ),
)
