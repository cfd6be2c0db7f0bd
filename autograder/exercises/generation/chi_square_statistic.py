"""Exercise 8.4: how far counts lie from their probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import chi_square


def _shares(g: torch.Generator, size: int) -> torch.Tensor:
    """Different probabilities, in whole twentieths: they can be followed by hand."""
    while True:
        twentieths = torch.randint(1, 10, (size,), generator=g)
        if twentieths.sum() == 20 and twentieths.min() < twentieths.max():
            return twentieths.double() / 20


def _counts(g: torch.Generator, size: int) -> torch.Tensor:
    return torch.randint(3, 40, (size,), generator=g)


def _even(g: torch.Generator) -> Iterator[Case]:
    for size in (2, 4, 5):
        yield Case(
            {"counts": _counts(g, size), "probabilities": torch.full((size,), 1 / size, dtype=torch.float64)}
        )


def _uneven(g: torch.Generator) -> Iterator[Case]:
    for size in (3, 4, 5):
        yield Case({"counts": _counts(g, size), "probabilities": _shares(g, size)})


def _with_impossible(g: torch.Generator, counted: int) -> Case:
    size = int(torch.randint(4, 6, (), generator=g))
    place = int(torch.randint(size, (), generator=g))
    counts, shares = _counts(g, size), _shares(g, size - 1)
    counts[place] = counted
    probabilities = torch.cat([shares[:place], torch.zeros(1, dtype=shares.dtype), shares[place:]])
    return Case({"counts": counts, "probabilities": probabilities})


def _impossible(g: torch.Generator) -> Iterator[Case]:
    for _ in range(3):
        yield _with_impossible(g, 0)
    counts = _counts(g, 4)
    counts[int(torch.randint(4, (), generator=g))] = 0  # possible, and did not come
    yield Case({"counts": counts, "probabilities": _shares(g, 4)})


def _impossible_and_drawn(g: torch.Generator) -> Iterator[Case]:
    for times in (1, 7):
        yield _with_impossible(g, times)


# --- Mistakes


def _variant(*, term, freedom=lambda possible, counts: int(possible.sum()) - 1, infinite=True, skip=True):
    def statistic(counts, probabilities):
        possible = probabilities > 0
        if infinite and counts[~possible].any():
            return math.inf, freedom(possible, counts)
        expected = counts.sum() * probabilities
        terms = term(counts.double(), expected, probabilities, counts.sum())
        return float(terms[possible].sum() if skip else terms.sum()), freedom(possible, counts)

    return statistic


def _pearson(counts, expected, probabilities, total):
    return (counts - expected) ** 2 / expected


def _thrown_away(counts, probabilities):
    possible = probabilities > 0
    counts, expected = counts[possible], counts[possible].sum() * probabilities[possible]
    return float(((counts - expected) ** 2 / expected).sum()), len(counts) - 1


def _drawn_alone(counts, probabilities):
    """What did not come is left out, whether it could have come or not."""
    came = counts > 0
    freedom = int(came.sum()) - 1
    expected = (counts.sum() * probabilities)[came]
    return float(((counts[came] - expected) ** 2 / expected).sum()), freedom


def _not_drawn_left_out(counts, probabilities):
    possible = (probabilities > 0) & (counts > 0)
    freedom = int((probabilities > 0).sum()) - 1
    if counts[probabilities == 0].any():
        return math.inf, freedom
    expected = (counts.sum() * probabilities)[possible]
    return float(((counts[possible] - expected) ** 2 / expected).sum()), freedom


def _infinite_anyway(counts, probabilities):
    possible = probabilities > 0
    freedom = int(possible.sum()) - 1
    if not possible.all():
        return math.inf, freedom
    expected = counts.sum() * probabilities
    return float(_pearson(counts, expected, probabilities, counts.sum()).sum()), freedom


def _freedom_first(counts, probabilities):
    statistic, freedom = _variant(term=_pearson)(counts, probabilities)
    return freedom, statistic


def _p_value(counts, probabilities):
    possible = probabilities > 0
    freedom = int(possible.sum()) - 1
    if counts[~possible].any():
        return 0.0, freedom
    expected = counts.sum() * probabilities[possible]
    statistic = float(((counts[possible] - expected) ** 2 / expected).sum())
    return chi_square.p_value(statistic, freedom), freedom


MISCONCEPTIONS = (
    Misconception(
        "outcomes-for-draws",
        "what is expected is computed from the number of outcomes, not from the number of draws",
        "`len(counts)` is how many outcomes there are. How often was drawn in all?",
        _variant(term=lambda c, e, p, n: (c - len(c) * p) ** 2 / (len(c) * p)),
    ),
    Misconception(
        "equally-likely",
        "all outcomes are expected equally often",
        "Each outcome has a probability of its own.",
        _variant(term=lambda c, e, p, n: (c - n / (p > 0).sum()) ** 2 / (n / (p > 0).sum())),
    ),
    Misconception(
        "drawn-alone",
        "an outcome takes part if it was drawn, not if it is possible",
        "What was expected and did not come adds to the statistic as well. What decides is the probability.",
        _drawn_alone,
    ),
    Misconception(
        "not-drawn-left-out",
        "a possible outcome that was never drawn adds nothing",
        "Ten were expected and none came: is that no difference?",
        _not_drawn_left_out,
    ),
    Misconception(
        "infinite-anyway",
        "an impossible outcome makes the statistic infinite, even if it was not drawn",
        "That it did not come is just what was expected.",
        _infinite_anyway,
    ),
    Misconception(
        "freedom-first",
        "the degrees of freedom come before the statistic",
        "The statistic first, then the degrees of freedom.",
        _freedom_first,
    ),
    Misconception(
        "not-squared",
        "the differences are not squared",
        "Differences above and below must not cancel, and large ones should count more.",
        _variant(term=lambda c, e, p, n: (c - e) / e),
    ),
    Misconception(
        "absolute",
        "the absolute differences are taken, not their squares",
        "The statistic with the known distribution squares the differences.",
        _variant(term=lambda c, e, p, n: (c - e).abs() / e),
    ),
    Misconception(
        "not-divided",
        "the squares are added up without dividing by what was expected",
        "Ten too many is much where 5 were expected, and little where 5,000 were.",
        _variant(term=lambda c, e, p, n: (c - e) ** 2),
    ),
    Misconception(
        "divided-by-counts",
        "the squares are divided by the counts, not by what was expected",
        "Which of the two is known before anything is drawn?",
        _variant(term=lambda c, e, p, n: (c - e) ** 2 / c),
    ),
    Misconception(
        "divided-by-the-square",
        "the differences are divided before they are squared",
        "Only the square of the difference stands above the line, and the expected count below it.",
        _variant(term=lambda c, e, p, n: ((c - e) / e) ** 2),
    ),
    Misconception(
        "shares-compared",
        "shares are compared, so the number of draws does not count",
        "Sixty of a hundred heads are an accident, six thousand of ten thousand are not.",
        _variant(term=lambda c, e, p, n: (c / n - p) ** 2 / p),
    ),
    Misconception(
        "standardised",
        "the differences are divided by the spread of each count",
        "n p (1 - p) is the variance of one count. The statistic divides by n p alone.",
        _variant(term=lambda c, e, p, n: (c - e) ** 2 / (e * (1 - p))),
    ),
    Misconception(
        "average",
        "the average of the terms is taken, not their sum",
        "The number of outcomes enters through the degrees of freedom.",
        _variant(term=lambda c, e, p, n: _pearson(c, e, p, n) / int((p > 0).sum())),
    ),
    Misconception(
        "likelihood-ratio",
        "this is another statistic, the likelihood ratio G",
        "G compares counts by their logarithms. Pearson's statistic has squares.",
        _variant(term=lambda c, e, p, n: 2 * torch.xlogy(c, c / e)),
    ),
    Misconception(
        "all-are-free",
        "the degrees of freedom are the number of outcomes",
        "If you know the total and all counts but one, you know that one.",
        _variant(term=_pearson, freedom=lambda possible, counts: int(possible.sum())),
    ),
    Misconception(
        "impossible-are-free",
        "impossible outcomes count among the degrees of freedom",
        "An outcome that cannot happen is not free to vary.",
        _variant(term=_pearson, freedom=lambda possible, counts: len(counts) - 1),
    ),
    Misconception(
        "freedom-of-the-draws",
        "the degrees of freedom count the draws",
        "It is the outcomes that are counted, not the draws.",
        _variant(term=_pearson, freedom=lambda possible, counts: int(counts.sum()) - 1),
    ),
    Misconception(
        "divided-by-zero",
        "an impossible outcome makes 0/0",
        "What should an outcome add that was not expected and did not come?",
        _variant(term=_pearson, skip=False),
    ),
    Misconception(
        "zero-not-thought-of",
        "an impossible outcome makes 0/0, and counts as one that is free to vary",
        "What should an outcome add that was not expected and did not come? And is it a possible one?",
        _variant(term=_pearson, skip=False, infinite=False, freedom=lambda possible, counts: len(counts) - 1),
    ),
    Misconception(
        "left-out-of-the-total",
        "an impossible outcome is thrown away before anything is counted, even if it was drawn",
        "What is impossible and happens all the same is the strongest evidence there is.",
        _thrown_away,
    ),
    Misconception(
        "p-value",
        "the first result is the p-value, not the statistic",
        "The p-value is computed from the statistic and the degrees of freedom, by the next cell.",
        _p_value,
    ),
    Misconception(
        "infinity-swept-away",
        "`nan_to_num` makes 0/0 into 0, and infinity into the largest number there is",
        "What is impossible and was drawn has to stay infinite: leave the impossible out by its probability.",
        _variant(term=lambda c, e, p, n: _pearson(c, e, p, n).nan_to_num(), skip=False, infinite=False),
    ),
    Misconception(
        "impossible-forgiven",
        "an impossible outcome was drawn, and nobody noticed",
        "What is impossible and happens all the same is the strongest evidence there is.",
        _variant(term=_pearson, infinite=False),
    ),
)


# --- Right answers in another form


def _by_a_loop(counts, probabilities):
    n, total, outcomes = int(counts.sum()), 0.0, 0
    for count, probability in zip(counts.tolist(), probabilities.tolist(), strict=True):
        if probability == 0:
            total += math.inf if count else 0.0
        else:
            outcomes += 1
            total += (count - n * probability) ** 2 / (n * probability)
    return total, outcomes - 1


def _multiplied_out(counts, probabilities):
    """Σ (c - e)² / e = Σ c² / e - n."""
    keep = probabilities != 0
    freedom = int(keep.sum().item()) - 1
    if (counts * ~keep).sum() > 0:
        return math.inf, freedom
    n = counts.sum().item()
    return (counts[keep].double() ** 2 / (n * probabilities[keep])).sum().item() - n, freedom


def _zeros_replaced(counts, probabilities):
    expected = probabilities * counts.sum()
    squares = (counts - expected) ** 2
    terms = torch.where(squares == 0, torch.zeros_like(squares), squares / expected)
    return float(terms.sum()), int(torch.count_nonzero(probabilities)) - 1


def _by_shares(counts, probabilities):
    n = counts.sum()
    places = probabilities.nonzero().flatten()
    if counts.sum() != counts[places].sum():
        return float("inf"), len(places) - 1
    p = probabilities[places]
    return float(n * ((counts[places] / n.double() - p) ** 2 / p).sum()), len(places) - 1


ALTERNATIVES = (
    Alternative("outcome by outcome", _by_a_loop),
    Alternative("the square multiplied out", _multiplied_out),
    Alternative("0/0 replaced by 0", _zeros_replaced),
    Alternative("shares, times the number of draws", _by_shares),
)

UNEVEN = "takes each outcome's own probability"

EXERCISE = Exercise(
    name="chi_square.chi_square_statistic",
    number="8.4",
    title="Counts against probabilities",
    minutes=10,
    difficulty=2,
    reference=chi_square.chi_square_statistic,
    checks=(
        Check("is right when all outcomes are equally likely", 1, _even),
        Check(UNEVEN, 1, _uneven),
        Check("leaves out what cannot happen, and that alone", 1, _impossible, after=(UNEVEN,)),
        Check("is infinite when the impossible was drawn", 1, _impossible_and_drawn, after=(UNEVEN,)),
    ),
    hints=(
        "Do the worked example with a pencil: a row for each outcome, with what was counted, what was "
        "expected, and the square of the difference divided by what was expected.",
        "What was expected is the number of draws times each probability. Both results are plain numbers: "
        "`float(…)` and `int(…)` make them of tensors.",
        "Which outcomes have a probability above 0? They take part. Look at the counts of the others first.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
)
