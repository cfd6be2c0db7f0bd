"""Wrong versions of precision, recall and F1, as people write them, for exercise 9.9."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from autograder.exercise import Misconception
from autograder.exercises.evaluation.mistakes import BETWEEN_THE_TWO, EVERY_CLASS

Scores = tuple[float, float, float]
Counts = tuple[int, int, int]  # of one class: true positives, false positives, false negatives


def _counts(targets: list[int], predictions: list[int]) -> list[Counts]:
    pairs = list(zip(targets, predictions, strict=True))
    return [
        (
            sum(t == p == c for t, p in pairs),
            sum(p == c != t for t, p in pairs),
            sum(t == c != p for t, p in pairs),
        )
        for c in range(1 + max(targets + predictions))
    ]


def _ratio(a: float, b: float, empty: float = 0.0) -> float:
    return a / b if b else empty


def _of(counts: Counts, empty: float = 0.0) -> Scores:
    hits, wrong, missed = counts
    f1 = _ratio(2 * hits, 2 * hits + wrong + missed, empty)
    return _ratio(hits, hits + wrong, empty), _ratio(hits, hits + missed, empty), f1


def _mean(scores: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    weights = weights or [1.0] * len(scores)
    precision, recall, f1 = (
        _ratio(sum(w * s[i] for w, s in zip(weights, scores, strict=True)), sum(weights)) for i in range(3)
    )
    return precision, recall, f1


def _total(counts: Sequence[Counts]) -> Counts:
    hits, wrong, missed = (sum(c[i] for c in counts) for i in range(3))
    return hits, wrong, missed


def _averaged(counts: Sequence[Counts], average: str, score: Callable[[Counts], Scores] = _of) -> Scores:
    if average == "micro":
        return score(_total(counts))
    return _mean([score(c) for c in counts])


def _with_f1(mean: Callable[[float, float], float]) -> Callable[[list[int], list[int], str], Scores]:
    """Precision and recall as they should be, and another mean of the two in the place of F1."""

    def score(counts: Counts) -> Scores:
        precision, recall, _ = _of(counts)
        return precision, recall, mean(precision, recall)

    return lambda targets, predictions, average: _averaged(_counts(targets, predictions), average, score)


def _swapped(targets: list[int], predictions: list[int], average: str) -> Scores:
    return _averaged(_counts(predictions, targets), average)


def _negatives_counted(targets: list[int], predictions: list[int], average: str) -> Scores:
    n = len(targets)

    def score(counts: Counts) -> Scores:
        hits, wrong, missed = counts
        right = hits + n - hits - wrong - missed
        return _of((right, wrong, missed))

    return _averaged(_counts(targets, predictions), average, score)


def _accuracy(targets: list[int], predictions: list[int], average: str) -> Scores:
    share = sum(t == p for t, p in zip(targets, predictions, strict=True)) / len(targets)
    return share, share, share


def _always(average: str) -> Callable[[list[int], list[int], str], Scores]:
    return lambda targets, predictions, _: _averaged(_counts(targets, predictions), average)


def _weighted(targets: list[int], predictions: list[int], average: str) -> Scores:
    counts = _counts(targets, predictions)
    if average == "micro":
        return _averaged(counts, average)
    return _mean([_of(c) for c in counts], [targets.count(c) for c in range(len(counts))])


def _f1_of_averages(targets: list[int], predictions: list[int], average: str) -> Scores:
    precision, recall, _ = _averaged(_counts(targets, predictions), average)
    return precision, recall, _ratio(2 * precision * recall, precision + recall)


def _one_class(targets: list[int], predictions: list[int], average: str) -> Scores:
    counts = _counts(targets, predictions)
    return _of(counts[min(1, len(counts) - 1)])


def _without_the_first(targets: list[int], predictions: list[int], average: str) -> Scores:
    counts = _counts(targets, predictions)
    return _averaged(counts[1:] or counts, average)


def _only(keep: Callable[[Counts], bool]) -> Callable[[list[int], list[int], str], Scores]:
    def answer(targets: list[int], predictions: list[int], average: str) -> Scores:
        counts = _counts(targets, predictions)
        if average == "micro":
            return _averaged(counts, average)
        return _mean([_of(c) for c in counts if keep(c)])

    return answer


def _one_if_empty(targets: list[int], predictions: list[int], average: str) -> Scores:
    return _averaged(_counts(targets, predictions), average, lambda counts: _of(counts, empty=1.0))


def _nan_if_empty(targets: list[int], predictions: list[int], average: str) -> Scores:
    return _averaged(_counts(targets, predictions), average, lambda counts: _of(counts, empty=math.nan))


def _undefined_f1(targets: list[int], predictions: list[int], average: str) -> Scores:
    """F1 from precision and recall, without a thought of both being 0."""

    def score(counts: Counts) -> Scores:
        precision, recall, _ = _of(counts)
        return precision, recall, 2 * precision * recall / (precision + recall)

    if average == "micro":
        return score(_total(_counts(targets, predictions)))
    return _averaged(_counts(targets, predictions), average)


MUTANTS: dict[str, tuple[Misconception, ...]] = {
    "counts": (
        Misconception(
            "swapped",
            "precision and recall are confused",
            "Precision asks about what was said, recall about what is there.",
            _swapped,
        ),
        Misconception(
            "negatives-counted",
            "what was rightly left alone counts as found",
            "True negatives stand in neither precision nor recall.",
            _negatives_counted,
        ),
        Misconception(
            "arithmetic",
            "F1 is the plain average of precision and recall",
            "Then all and nothing would make a half. F1 is the harmonic mean.",
            _with_f1(lambda p, r: (p + r) / 2),
        ),
        Misconception(
            "geometric",
            "F1 is the root of precision times recall",
            "F1 is the harmonic mean, not the geometric one.",
            _with_f1(lambda p, r: math.sqrt(p * r)),
        ),
        Misconception(
            "without-two",
            "F1 lacks its factor 2",
            "Where precision and recall are equal, F1 must equal both.",
            _with_f1(lambda p, r: _ratio(p * r, p + r)),
        ),
        Misconception("smaller", "F1 is the smaller of precision and recall", BETWEEN_THE_TWO, _with_f1(min)),
    ),
    "averages": (
        Misconception(
            "accuracy", "accuracy is returned for everything", "It is right for micro only.", _accuracy
        ),
        Misconception(
            "always-macro",
            "micro is averaged like macro",
            "Micro adds the counts up first.",
            _always("macro"),
        ),
        Misconception(
            "weighted",
            "macro weighs each class by how often it is there",
            "In macro all classes count the same.",
            _weighted,
        ),
        Misconception(
            "f1-of-averages",
            "macro F1 is computed from the averaged precision and recall",
            "Macro F1 is the average of the classes' F1.",
            _f1_of_averages,
        ),
        Misconception(
            "one-class", "only class 1 is looked at", "There may be more than two classes.", _one_class
        ),
        Misconception(
            "without-the-first",
            "class 0 is left out, as if it meant nothing",
            EVERY_CLASS,
            _without_the_first,
        ),
    ),
    "empty": (
        Misconception(
            "only-said",
            "macro leaves out classes that were never said",
            "Never to say a class is a mistake that should cost something.",
            _only(lambda counts: counts[0] + counts[1] > 0),
        ),
        Misconception(
            "only-there",
            "macro leaves out classes that are not among the targets",
            "A class that is said and never there is wrong every time.",
            _only(lambda counts: counts[0] + counts[2] > 0),
        ),
        Misconception(
            "one-if-empty",
            "nothing out of nothing counts as 1",
            "By convention it counts as 0.",
            _one_if_empty,
        ),
        Misconception(
            "nan-if-empty",
            "nothing out of nothing becomes NaN",
            "By convention it counts as 0.",
            _nan_if_empty,
        ),
        Misconception(
            "undefined-f1",
            "micro F1 divides by zero where nothing is right",
            "If precision and recall are 0, so is F1.",
            _undefined_f1,
        ),
    ),
}
