"""Exercise 9.7: is one model better than another, or is it chance?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.evaluation.drawn import whole
from llmlib import bootstrap


def _drawn(g: torch.Generator, n: int, rows: int) -> torch.Tensor:
    return torch.randint(n, (rows, n), generator=g)


def _won(g: torch.Generator) -> Iterator[Case]:
    """Items differ much, models little. No ties: rounding would decide them."""
    for dtype in (torch.float32, torch.float64, torch.float32, torch.float64):
        n = whole(g, 4, 6)
        second = torch.randint(-40, 41, (n,), generator=g) / 4
        leads = torch.randint(-6, 7, (n,), generator=g) / 4
        leads[0], leads[1] = 1.25, -1.0
        draws = _drawn(g, n, 20)
        draws = draws[leads[draws].sum(dim=1) != 0]
        # Whatever was drawn, some draws are won and some lost.
        sure = torch.tensor([0, 1, 0])[:, None].expand(3, n)
        yield Case(
            {
                "first": (second + leads).to(dtype),
                "second": second.to(dtype),
                "draws": torch.cat([draws, sure]),
            }
        )


def _averages(g: torch.Generator) -> Iterator[Case]:
    """One large lead against many small ones: the average decides, not the number of items won."""
    for sign in (1, -1):
        second = torch.randint(0, 9, (5,), generator=g).double()
        lead = torch.tensor([9.0, -1, -1, -1, -1], dtype=torch.float64)
        order = torch.randperm(5, generator=g)
        yield Case({"first": second + sign * lead[order], "second": second, "draws": _drawn(g, 5, 16)})
    yield _drawn_luckily(g)


def _drawn_luckily(g: torch.Generator) -> Case:
    """The first model is worse on the whole test, and better on what was drawn from it."""
    second = torch.randint(0, 9, (3,), generator=g).double()
    lead = torch.tensor([1.0, 1.0, -3.0], dtype=torch.float64)
    return Case(
        {"first": second + lead, "second": second, "draws": torch.tensor([[0, 0, 1], [0, 1, 1], [2, 0, 0]])}
    )


def _ties(g: torch.Generator) -> Iterator[Case]:
    """Items on which both models score 0, which no rounding moves, and one on which one of them does not."""
    for first_wins in (True, False):
        n = whole(g, 3, 5)
        place = whole(g, 0, n - 1)
        scores = torch.zeros(2, n, dtype=torch.float64)
        scores[:, place] = torch.rand(2, generator=g, dtype=torch.float64) + torch.tensor([2.0, 0.0])
        first, second = scores if first_wins else scores.flip(0)
        others = [i for i in range(n) if i != place]
        equal = torch.tensor([others[:1] * n, (others * n)[:n]])
        draws = torch.cat([equal, torch.arange(n)[None], _drawn(g, n, 5)])
        yield Case({"first": first, "second": second, "draws": draws})


# --- Mistakes


def _means(first, second, draws, other=None):
    return first[draws].mean(dim=1), second[draws if other is None else other].mean(dim=1)


def _unpaired(first, second, draws):
    a, b = _means(first, second, draws, draws.roll(1, 0))
    return float((a > b).double().mean())


def _reversed_rows(first, second, draws):
    a, b = _means(first, second, draws, draws.flip(0))
    return float((a > b).double().mean())


def _wins(first, second, draws):
    return float(((first - second)[draws].sum(dim=1) > 0).double().mean())


def _two_sided(first, second, draws):
    share = _wins(first, second, draws)
    return 2 * min(share, 1 - share)


def _smaller_side(first, second, draws):
    share = _wins(first, second, draws)
    return min(share, 1 - share)


def _centred(first, second, draws):
    leads = first.double() - second.double()
    return float((leads[draws].mean(dim=1) - leads.mean() > leads.mean()).double().mean())


def _beats_the_measured_lead(first, second, draws):
    leads = first.double() - second.double()
    return float((leads[draws].mean(dim=1) > leads.mean() + 1e-6).double().mean())


def _every_pair_of_draws(first, second, draws):
    a, b = _means(first, second, draws)
    return float((a[:, None] > b).double().mean())


def _ties_left_out(first, second, draws):
    leads = (first - second)[draws].sum(dim=1)
    return float((leads > 0).sum()) / max(1, int((leads != 0).sum()))


def _each_once(first, second, draws):
    leads = first - second
    return sum(float(leads[row.unique()].sum()) > 0 for row in draws) / len(draws)


MISCONCEPTIONS = (
    Misconception(
        "not-a-share",
        "the draws that are won are counted, and not divided by their number",
        "Asked for is a share: of how many draws?",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) > 0).sum()),
    ),
    Misconception(
        "one-less",
        "this is the share of the draws that the first model does *not* win",
        "The share asked for is that of the first model's wins.",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) <= 0).double().mean()),
    ),
    Misconception(
        "medians",
        "the medians of the draws are compared, not their averages",
        "A test set's score is the average of its items' scores.",
        lambda first, second, draws: float(
            (first[draws].median(dim=1).values > second[draws].median(dim=1).values).double().mean()
        ),
    ),
    Misconception(
        "next-draw",
        "the two models are compared on different draws",
        "What makes an item hard for both cancels only if both are scored on the same items.",
        _unpaired,
    ),
    Misconception(
        "other-draws",
        "the second model's draws are taken from the other end",
        "Row by row, both models get the same items.",
        _reversed_rows,
    ),
    Misconception(
        "second-wins",
        "the draws that the second model wins are counted",
        "The share is that of the first model.",
        lambda first, second, draws: float(((second - first)[draws].sum(dim=1) > 0).double().mean()),
    ),
    Misconception(
        "items-won",
        "drawn items are counted, not drawn test sets",
        "Each row is one test set. It is won or lost as a whole, by its average.",
        lambda first, second, draws: float((first > second)[draws].double().mean()),
    ),
    Misconception(
        "majority",
        "a draw is won by the number of items that are won in it",
        "One large lead may outweigh several small ones: compare the averages.",
        lambda first, second, draws: float(((first - second).sign()[draws].sum(dim=1) > 0).double().mean()),
    ),
    Misconception(
        "no-draws",
        "the draws are not used",
        "How would the models do on the test sets in `draws`?",
        lambda first, second, draws: float((first > second).double().mean()),
    ),
    Misconception(
        "ties-won",
        "a draw in which both have the same average counts as won",
        "The first model must be *better* on a draw to win it.",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) >= 0).double().mean()),
    ),
    Misconception(
        "ties-halved",
        "a draw in which both have the same average counts as half won",
        "That is a convention, too. Here an equal draw is no win.",
        lambda first, second, draws: float(
            ((first - second)[draws].sum(dim=1).sign().double() / 2 + 0.5).mean()
        ),
    ),
    Misconception(
        "truths-averaged",
        "truths are averaged as they are, which PyTorch does not do",
        "Make numbers of them first: `.float()` makes 1 of True and 0 of False.",
        lambda first, second, draws: (first[draws].mean(dim=1) > second[draws].mean(dim=1)).mean().item(),
    ),
    Misconception(
        "first-not-drawn",
        "the first model is scored on the whole test, and only the second on the draws",
        "Both models are scored on the same drawn items.",
        lambda first, second, draws: float(
            (first.double().mean() > second.double()[draws].mean(dim=1)).double().mean()
        ),
    ),
    Misconception(
        "ties-left-out",
        "draws in which both have the same average are left out, below the line as well",
        "An equal draw is no win, but it is a draw: it counts among those that the share is of.",
        _ties_left_out,
    ),
    Misconception(
        "wins-minus-losses",
        "losses are subtracted from the wins",
        "Asked for is the share of the wins alone, from 0 to 1.",
        lambda first, second, draws: float((first - second)[draws].sum(dim=1).sign().double().mean()),
    ),
    Misconception(
        "two-sided",
        "this is twice the smaller of the two shares, as for a two-sided p-value",
        "A p-value can be made of the share afterwards. Asked for is the share of the first model's wins.",
        _two_sided,
    ),
    Misconception(
        "smaller-side",
        "the smaller of the two models' shares is returned, as for a p-value",
        "The share is that of the first model, also where it is the larger one.",
        _smaller_side,
    ),
    Misconception(
        "centred",
        "the measured lead is subtracted from every draw's lead, as if there were none in truth",
        "That is a test of another kind. Here a draw is won if the first model has the larger average in it.",
        _centred,
    ),
    Misconception(
        "beats-the-measured-lead",
        "draws are counted in which the lead is larger than on the test itself",
        "A draw is won if the first model is better in it, by whatever lead.",
        _beats_the_measured_lead,
    ),
    Misconception(
        "every-pair-of-draws",
        "each of the first model's draws is compared with each of the second's",
        "What makes an item hard for both cancels only if both are scored on the same row.",
        _every_pair_of_draws,
    ),
    Misconception(
        "second-not-drawn",
        "the second model is scored on the whole test, and only the first on the draws",
        "Both models are scored on the same drawn items.",
        lambda first, second, draws: float(
            (first.double()[draws].mean(dim=1) > second.double().mean()).double().mean()
        ),
    ),
    Misconception(
        "every-item",
        "a draw is won only if all of its items are won",
        "A row is won or lost as a whole, by its average.",
        lambda first, second, draws: float((first > second)[draws].all(dim=1).double().mean()),
    ),
    Misconception(
        "some-item",
        "a draw is won as soon as one of its items is won",
        "A row is won or lost as a whole, by its average.",
        lambda first, second, draws: float((first > second)[draws].any(dim=1).double().mean()),
    ),
    Misconception(
        "best-items",
        "the best items of a draw are compared, not the averages",
        "A test set's score is the average of its items' scores.",
        lambda first, second, draws: float(
            (first[draws].max(dim=1).values > second[draws].max(dim=1).values).double().mean()
        ),
    ),
    Misconception(
        "one-average",
        "the average is taken over all draws together, so that there is one winner",
        "Each row has an average of its own. Which dimension is to go?",
        lambda first, second, draws: float((first - second).double()[draws].mean() > 0),
    ),
    Misconception(
        "whole-test",
        "the models are compared once, on the whole test, and the draws are not used",
        "That says who is ahead here. How often would it be so on the test sets in `draws`?",
        lambda first, second, draws: float(first.double().mean() > second.double().mean()),
    ),
    Misconception(
        "divided-by-the-items",
        "the draws that are won are divided by the number of items",
        "Asked for is the share of the *draws*. How many rows are there?",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) > 0).sum()) / draws.shape[1],
    ),
    Misconception(
        "per-cent",
        "the share is in per cent",
        "Asked for is a share, from 0 to 1.",
        lambda first, second, draws: 100 * _wins(first, second, draws),
    ),
    Misconception(
        "columns",
        "columns of the draws are taken for test sets",
        "Every *row* is a test set.",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=0) > 0).double().mean()),
    ),
    Misconception(
        "each-once",
        "an item that was drawn twice counts once",
        "Drawn with replacement: what comes twice counts twice.",
        _each_once,
    ),
    Misconception(
        "average-lead",
        "the average lead is returned",
        "Asked for is a share: in how many of the draws is the lead positive?",
        lambda first, second, draws: float((first - second)[draws].double().mean()),
    ),
)


# --- Right answers in another form


def _by_averages(first, second, draws):
    a, b = _means(first.double(), second.double(), draws)
    return (a > b).sum().item() / len(draws)


def _by_a_loop(first, second, draws):
    won = 0
    for row in draws.tolist():
        if sum(first[i].item() for i in row) > sum(second[i].item() for i in row):
            won += 1
    return won / draws.shape[0]


def _by_counts(first, second, draws):
    times = torch.nn.functional.one_hot(draws, len(first)).sum(dim=1).to(first.dtype)
    return float((times @ (first - second) > 0).float().double().mean())


def _with_take(first, second, draws):
    leads = torch.take(first.sub(second).double(), draws).mean(-1)
    return torch.count_nonzero(leads.gt(0)).item() / leads.numel()


def _with_numpy(first, second, draws):
    a, b = (scores.double().numpy()[draws.numpy()].mean(axis=1) for scores in (first, second))
    return np.mean(a > b)


def _larger_of_two(first, second, draws):
    averages = torch.stack([second, first]).double()[:, draws].mean(dim=-1)
    return averages.argmax(dim=0).sum().item() / averages.shape[1]  # of equal ones the first, which is 0


def _with_exact_sums(first, second, draws):
    leads = [a - b for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    return sum(math.fsum(leads[i] for i in row) > 0 for row in draws.tolist()) / len(draws)


WON = "counts the draws that the first model wins"

EXERCISE = Exercise(
    name="bootstrap.paired_bootstrap",
    number="9.7",
    title="The paired bootstrap",
    minutes=12,
    difficulty=2,
    reference=bootstrap.paired_bootstrap,
    checks=(
        Check(WON, 2, _won),
        Check("lets the average decide", 1, _averages, after=(WON,)),
        Check("counts an equal draw as no win", 1, _ties, after=(WON,)),
    ),
    hints=(
        "A row of `draws` is a list of places. Indexing the scores with the whole matrix, `scores[draws]`, "
        "gives a matrix of scores: a row for each drawn test set.",
        "A row is won if the first model's average is the larger one. On the same items that is the same as "
        "a positive sum of differences.",
        "Truths become numbers by `.double()`, and the average of zeros and ones is a share.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=(
        Alternative("two averages", _by_averages),
        Alternative("row by row", _by_a_loop),
        Alternative("how often each item came", _by_counts),
        Alternative("differences taken from a list", _with_take),
        Alternative("with NumPy", _with_numpy),
        Alternative("the place of the larger average", _larger_of_two),
        Alternative("exact sums", _with_exact_sums),
    ),
)
