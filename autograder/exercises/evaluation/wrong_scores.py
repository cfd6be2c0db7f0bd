"""Wrong answers to exercise 9.3, precision, recall and F1 from a confusion matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch

from autograder.exercise import Misconception
from autograder.exercises.evaluation.mistakes import BETWEEN_THE_TWO, EVERY_CLASS


def _ratio(a, b, empty=0.0):
    return torch.where(b > 0, a / b.clamp(min=1), torch.full_like(a, empty))


def _harmonic(p, r):
    return torch.where(p + r > 0, 2 * p * r / (p + r).clamp(min=1e-12), torch.zeros_like(p))


def _variant(
    *,
    f1: Callable = _harmonic,
    mean: Callable = lambda x, hits, said, there: x.mean(),
    empty: float = 0.0,
    micro: Callable = lambda average: average == "micro",
    of_averages: bool = False,
    transpose: bool = False,
) -> Callable:
    def answer(confusion, average):
        confusion = (confusion.T if transpose else confusion).double()
        hits, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
        together = micro(average)
        if together:
            hits, said, there = (x.sum()[None] for x in (hits, said, there))
        p, r = _ratio(hits, said, empty), _ratio(hits, there, empty)
        f = _ratio(2 * hits, said + there, empty) if f1 is _harmonic else f1(p, r)
        averaged = [x.mean() if together else mean(x, hits, said, there) for x in (p, r, f)]
        if of_averages:
            averaged[2] = _harmonic(averaged[0], averaged[1])
        return tuple(map(float, averaged))

    return answer


def _nan(confusion, average):
    confusion = confusion.double()
    hits, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    if average == "micro":
        hits, said, there = hits.sum(), said.sum(), there.sum()
    p, r = hits / said, hits / there
    return float(p.mean()), float(r.mean()), float((2 * p * r / (p + r)).mean())


def _divided_by_zero(confusion, average):
    rows, n = confusion.tolist(), len(confusion)
    triples = [(rows[c][c], sum(row[c] for row in rows), sum(rows[c])) for c in range(n)]
    if average == "micro":
        triples = [tuple(map(sum, zip(*triples, strict=True)))]
    results = [0.0, 0.0, 0.0]
    for hits, said, there in triples:
        p, r = hits / said, hits / there
        results = [a + b / len(triples) for a, b in zip(results, (p, r, 2 * p * r / (p + r)), strict=True)]
    return tuple(results)


def _divided_by_zero_in_macro(confusion, average):
    if average == "micro":
        return (float(confusion.trace() / confusion.sum()),) * 3
    return _divided_by_zero(confusion, average)


def _two_classes(confusion, average):
    counts = confusion.double()
    hits, wrong, missed = counts[1, 1], counts[0, 1], counts[1, 0]
    pairs = ((hits, hits + wrong), (hits, hits + missed), (2 * hits, 2 * hits + wrong + missed))
    return tuple(float(_ratio(a, b)) for a, b in pairs)


def _undefined_left_out_but_of_f1(confusion, average):
    confusion = confusion.double()
    hits, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    if average == "micro":
        hits, said, there = (x.sum()[None] for x in (hits, said, there))
    pairs = ((hits, said), (hits, there))
    means = [float((a[b > 0] / b[b > 0]).mean().nan_to_num(0.0)) for a, b in pairs]
    return (*means, float(_ratio(2 * hits, said + there).mean()))


def _class_one(confusion, average):
    hits, said, there = (x[1] for x in (confusion.diagonal(), confusion.sum(0), confusion.sum(1)))
    pairs = ((hits, said), (hits, there), (2 * hits, said + there))
    return tuple(float(_ratio(a.double(), b.double())) for a, b in pairs)


def _nan_left_out(confusion, average):
    confusion = confusion.double()
    hits, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    if average == "micro":
        hits, said, there = hits.sum(), said.sum(), there.sum()
    p, r = hits / said, hits / there
    return tuple(float(x.nanmean()) for x in (p, r, 2 * p * r / (p + r)))


def _with_counts(change: Callable, divide: Callable = _ratio, micro: bool = True) -> Callable:
    """An answer that first makes other counts of hits, said and there (and of all there is), and goes on."""

    def answer(confusion, average):
        confusion = confusion.double()
        hits, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
        if average == "macro" or micro:
            hits, said, there = change(hits, said, there, confusion.sum())
        if average == "micro":
            hits, said, there = (x.sum()[None] for x in (hits, said, there))
        pairs = ((hits, said), (hits, there), (2 * hits, said + there))
        return tuple(float(divide(a, b).sum()) / max(1, len(a)) for a, b in pairs)

    return answer


def _only(keep: Callable) -> Callable:
    def change(hits, said, there, total):
        kept = keep(hits, said, there)
        return hits[kept], said[kept], there[kept]

    return _with_counts(change, micro=False)


def _specificity(confusion, average):
    confusion = confusion.double()
    hits, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    left = confusion.sum() - said - there + hits
    if average == "micro":
        hits, said, there, left = (x.sum()[None] for x in (hits, said, there, left))
    pairs = ((hits, said), (left, left + said - hits), (2 * hits, said + there))
    return tuple(float(_ratio(a, b).mean()) for a, b in pairs)


def _micro_weighted(confusion, average):
    if average == "macro":
        return _variant()(confusion, average)
    return _variant(
        micro=lambda average: False, mean=lambda x, hits, said, there: (x * there).sum() / there.sum()
    )(confusion, average)


def _changed(change: Callable[[float], float]) -> Callable:
    return lambda confusion, average: tuple(change(score) for score in _variant()(confusion, average))


def _undefined_left_out(confusion, average):
    confusion = confusion.double()
    hits, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    if average == "micro":
        hits, said, there = (x.sum()[None] for x in (hits, said, there))
    pairs = ((hits, said), (hits, there), (2 * hits, said + there))
    return tuple(float((a[b > 0] / b[b > 0]).mean().nan_to_num(0.0)) for a, b in pairs)


MISCONCEPTIONS = (
    Misconception(
        "divided-by-zero",
        "a class that was never said, or is never there, divides by zero",
        "What is 0 out of 0 to count as here? And F1, if nothing is right?",
        _divided_by_zero,
    ),
    Misconception(
        "divided-by-zero-in-macro",
        "in macro, a class that was never said, or is never there, divides by zero",
        "What is 0 out of 0 to count as here? And F1, if nothing is right?",
        _divided_by_zero_in_macro,
    ),
    Misconception(
        "two-classes",
        "four cells of the matrix are read, as if there were two classes and only class 1 mattered",
        "There may be five classes. In which cells stand the wrong answers that name a given class?",
        _two_classes,
    ),
    Misconception(
        "class-one",
        "only class 1 is looked at, as if there were a single class that matters",
        "Here every class has its own precision and recall, class 0 too.",
        _class_one,
    ),
    Misconception(
        "undefined-left-out",
        "a class that was never said has no precision, and is left out of the average of precisions",
        "By the rule of the exercise it has precision 0, and it takes part.",
        _undefined_left_out,
    ),
    Misconception(
        "undefined-left-out-but-of-f1",
        "a class that was never said is left out of the average of precisions, and not out of that of F1",
        "By the rule of the exercise it has precision 0, and it takes part in all three averages.",
        _undefined_left_out_but_of_f1,
    ),
    Misconception(
        "transposed",
        "rows and columns are confused, and with them precision and recall",
        "A row holds what *is* of a class. Which of the two sums belongs to precision?",
        _variant(transpose=True),
    ),
    Misconception(
        "f1-of-averages",
        "macro F1 is computed from the averaged precision and recall",
        "Each class has an F1 of its own. Average those.",
        _variant(of_averages=True),
    ),
    Misconception(
        "weighted",
        "macro weighs every class by how often it is there",
        "That is a third kind of average, called weighted. In macro every class counts the same.",
        _variant(mean=lambda x, hits, said, there: (x * there).sum() / there.sum()),
    ),
    Misconception(
        "arithmetic",
        "the F1 is the plain average of precision and recall",
        "F1 is their harmonic mean, so that one good number cannot hide a bad one.",
        _variant(f1=lambda p, r: (p + r) / 2),
    ),
    Misconception(
        "geometric",
        "the F1 is the root of precision times recall",
        "F1 is the harmonic mean.",
        _variant(f1=lambda p, r: (p * r).sqrt()),
    ),
    Misconception(
        "without-two",
        "the F1 lacks its factor 2",
        "If precision and recall are equal, what should F1 be?",
        _variant(f1=lambda p, r: _harmonic(p, r) / 2),
    ),
    Misconception(
        "always-micro",
        "the counts are added up for macro too, which gives the accuracy three times",
        "In macro every class first gets its own three numbers.",
        _variant(micro=lambda average: True),
    ),
    Misconception(
        "always-macro",
        "the classes are averaged for micro too",
        "In micro the counts of all classes are added up before anything is divided.",
        _variant(micro=lambda average: False),
    ),
    Misconception(
        "nan-left-out",
        "whatever comes out as NaN is left out of the average: precision, recall or F1",
        "By the rule of the exercise 0 out of 0 counts as 0, and takes part in all three averages.",
        _nan_left_out,
    ),
    Misconception(
        "nowhere-left-out",
        "macro leaves out classes that are neither there nor said",
        "Many a library does so unless it is told all classes. Here the matrix says how many there are.",
        _only(lambda hits, said, there: said + there > 0),
    ),
    Misconception(
        "only-there",
        "macro leaves out classes of which nothing is there",
        "A class that is said and never there is wrong every time. It belongs into the average.",
        _only(lambda hits, said, there: there > 0),
    ),
    Misconception(
        "only-said",
        "macro leaves out classes that were never said",
        "Never to say a class is a mistake, and should cost something.",
        _only(lambda hits, said, there: said > 0),
    ),
    Misconception(
        "only-there-and-said",
        "macro leaves out classes of which nothing is there, or that were never said",
        "By the rule of the exercise such a class counts as 0, and takes part.",
        _only(lambda hits, said, there: (said > 0) & (there > 0)),
    ),
    Misconception(
        "negatives-counted",
        "what was rightly left alone counts as found",
        "With many classes nearly everything is left alone. True negatives stand in none of the three.",
        _with_counts(lambda h, s, t, n: (n - s - t + 2 * h, n - t + h, n - s + h)),
    ),
    Misconception(
        "specificity",
        "the recall is that of the *other* answers, the share of negatives that were left alone",
        "That is the specificity. Recall asks: of what *is* of the class, how much was found?",
        _specificity,
    ),
    Misconception(
        "hits-twice",
        "the hits are added to the whole column and the whole row, in which they already are",
        "False positives are what stands in the column *outside* the diagonal.",
        _with_counts(lambda h, s, t, n: (h, s + h, t + h)),
    ),
    Misconception(
        "one-more-below",
        "one more is added below the line, against a division by zero",
        "Then even a perfect class does not reach 1. Look for a number that matters only where there is a 0.",
        _with_counts(lambda h, s, t, n: (h, s + 1, t + 1)),
    ),
    Misconception(
        "union",
        "the F1 is what is in both, divided by what is in either",
        "That is the Jaccard index. In F1 the hits count twice, above the line and below.",
        _variant(f1=lambda p, r: p * r / (p + r - p * r).clamp(min=1e-12)),
    ),
    Misconception(
        "smaller",
        "the F1 is the smaller of precision and recall",
        BETWEEN_THE_TWO,
        _variant(f1=torch.minimum),
    ),
    Misconception(
        "without-class-0",
        "class 0 is left out, as if it meant *nothing*",
        EVERY_CLASS,
        _with_counts(lambda h, s, t, n: (h[1:], s[1:], t[1:])),
    ),
    Misconception(
        "micro-weighted",
        "micro is an average over the classes, weighted by how often each is there",
        "In micro nothing is averaged: the counts are added up, and divided once.",
        _micro_weighted,
    ),
    Misconception(
        "summed",
        "the classes' numbers are added up, and not averaged",
        "A share lies between 0 and 1. By what is the sum of three shares to be divided?",
        _variant(mean=lambda x, hits, said, there: x.sum()),
    ),
    Misconception(
        "rounded",
        "the numbers are rounded to two decimals",
        "The worked example rounds for the eye. Return the numbers as they come.",
        _changed(lambda score: round(score, 2)),
    ),
    Misconception(
        "per-cent",
        "the numbers are in per cent",
        "Asked for are shares, from 0 to 1.",
        _changed(lambda score: 100 * score),
    ),
    Misconception(
        "nothing-is-nan",
        "a class that was never said, or is never there, makes NaN",
        "What is 0 out of 0 to count as here?",
        _nan,
    ),
    Misconception(
        "nothing-is-one",
        "nothing out of nothing counts as 1",
        "Who never says a class has found nothing of it. That should not be rewarded.",
        _variant(empty=1.0),
    ),
    Misconception(
        "empty-left-out",
        "macro leaves out classes without a right answer",
        "A class with an F1 of 0 is a class that went wrong. It belongs into the average.",
        _variant(mean=lambda x, hits, said, there: x[hits > 0].sum() / max(1, int((hits > 0).sum()))),
    ),
)
