"""Exercise 9.7: is one model better than another, or is it chance?

The wrong answers stand in `wrong_draws`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.evaluation.drawn import whole
from autograder.exercises.evaluation.wrong_draws import MISCONCEPTIONS
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


# --- Right answers in another form


def _by_averages(first, second, draws):
    a, b = (scores.double()[draws].mean(dim=1) for scores in (first, second))
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
    a, b = (scores.double().cpu().numpy()[draws.cpu().numpy()].mean(axis=1) for scores in (first, second))
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
