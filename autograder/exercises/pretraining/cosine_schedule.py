"""Exercise 7.4: the learning rate of every step, warmed up and then falling along a cosine."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import schedule


def _drawn(g: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def _case(g: torch.Generator, where: str, warmup_steps: int | None = None) -> Case:
    """A step of one part of the schedule: "warm-up", "fall", "top" or "after"."""
    warmup = _drawn(g, 4, 9) if warmup_steps is None else warmup_steps
    steps = warmup + 2 * _drawn(g, 10, 25) + 1  # no step lies exactly in the middle of the fall
    step = {
        "first": 0,
        "warm-up": _drawn(g, 1, max(1, warmup - 2)),
        "last of the warm-up": warmup - 1,
        "top": warmup,
        "early": warmup + (steps - warmup) // 4,
        "late": warmup + 3 * (steps - warmup) // 4,
        "last": steps - 1,
        "end": steps,
        "after": steps + _drawn(g, 1, 3 * steps),
    }[where]
    highest = round(0.5 + 2 * float(torch.rand((), generator=g)), 3)
    return Case(
        {
            "step": step,
            "steps": steps,
            "warmup_steps": warmup,
            "learning_rate": highest,
            "min_learning_rate": round(highest * (0.1 + 0.3 * float(torch.rand((), generator=g))), 4),
        }
    )


def _fall(g: torch.Generator) -> Iterator[Case]:
    for where in ("top", "early", "late", "last", "early", "late"):
        yield _case(g, where)


def _no_warmup(g: torch.Generator) -> Iterator[Case]:
    for where in ("top", "early", "late"):
        yield _case(g, where, warmup_steps=0)


def _warmup(g: torch.Generator) -> Iterator[Case]:
    for where in ("warm-up", "warm-up", "last of the warm-up"):
        yield _case(g, where)


def _first(g: torch.Generator) -> Iterator[Case]:
    for _ in range(2):
        yield _case(g, "first")


def _end(g: torch.Generator) -> Iterator[Case]:
    for where in ("end", "after", "after"):
        yield _case(g, where)


def _all_warmup(g: torch.Generator) -> Iterator[Case]:
    """A run that is shorter than its warm-up, or that ends with it.

    Nobody is asked for a step that is behind the end and before the end of the warm-up.
    """
    for step in (_drawn(g, 0, 2), _drawn(g, 3, 4)):
        numbers = {"steps": 5, "warmup_steps": _drawn(g, 7, 9), "learning_rate": 1.0}
        yield Case({"step": step, **numbers, "min_learning_rate": 0.25})
    yield Case({"step": 6, "steps": 6, "warmup_steps": 6, "learning_rate": 1.0, "min_learning_rate": 0.25})


# --- Mistakes


def _variant(
    *,
    rise=lambda step, warmup: (step + 1) / (warmup + 1),
    share=lambda step, steps, warmup: (step - warmup) / (steps - warmup),
    wave=lambda share: 0.5 * (1 + math.cos(math.pi * share)),
    between=lambda low, high, wave: low + wave * (high - low),
    after=True,
    from_below=False,
):
    def cosine_schedule(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
        if step < warmup_steps:
            risen = rise(step, warmup_steps)
            if from_below:
                return min_learning_rate + risen * (learning_rate - min_learning_rate)
            return learning_rate * risen
        if after and step >= steps:
            return min_learning_rate
        return between(min_learning_rate, learning_rate, wave(share(step, steps, warmup_steps)))

    return cosine_schedule


def _no_warmup_at_all(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step >= steps:
        return min_learning_rate
    wave = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min_learning_rate + wave * (learning_rate - min_learning_rate)


def _warmed_twice(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    """The warm-up is multiplied into the cosine, which has already begun to fall."""
    if step >= steps:
        return min_learning_rate
    wave = 0.5 * (1 + math.cos(math.pi * step / steps))
    rate = min_learning_rate + wave * (learning_rate - min_learning_rate)
    return rate * min(1.0, (step + 1) / (warmup_steps + 1))


def _nothing_rises(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step < warmup_steps:
        return learning_rate
    if step >= steps:
        return min_learning_rate
    wave = 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps)))
    return min_learning_rate + wave * (learning_rate - min_learning_rate)


def _end_left_out(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    if step > steps:
        return min_learning_rate
    share = (step - warmup_steps) / (steps - warmup_steps)
    return min_learning_rate + 0.5 * (1 + math.cos(math.pi * share)) * (learning_rate - min_learning_rate)


def _a_step_longer(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step <= warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    if step >= steps:
        return min_learning_rate
    share = (step - warmup_steps) / (steps - warmup_steps)
    return min_learning_rate + 0.5 * (1 + math.cos(math.pi * share)) * (learning_rate - min_learning_rate)


def _zero_after_the_end(step, *, steps, warmup_steps, **rates):
    if warmup_steps <= step >= steps:
        return 0.0
    return _variant()(step, steps=steps, warmup_steps=warmup_steps, **rates)


def _warm_up_not_below(step, *, min_learning_rate, **numbers):
    return max(min_learning_rate, _variant()(step, min_learning_rate=min_learning_rate, **numbers))


MISCONCEPTIONS = (
    Misconception(
        "end-left-out",
        "the step `steps` itself still belongs to the fall, which may have no steps at all",
        "If the run ends with its warm-up, the fall has 0 steps. What does your share divide by then?",
        _end_left_out,
    ),
    Misconception(
        "a-step-longer",
        "a run that ends with its warm-up still has the highest rate at its end",
        "At `steps` the lowest rate begins, also where there was no fall. Which of your conditions takes "
        "that step?",
        _a_step_longer,
    ),
    Misconception(
        "no-end",
        "nothing is said about the steps after the end: the cosine rises again, or divides by zero",
        "A run may go on longer than planned, or be over with its warm-up. What should the rate be then?",
        _variant(after=False),
    ),
    Misconception(
        "zero-after-the-end",
        "after the end the rate is zero",
        "A run may go on longer than planned, at the lowest rate.",
        _zero_after_the_end,
    ),
    Misconception(
        "starts-at-zero",
        "the rate of step 0 is zero, so the first batch teaches nothing",
        "Steps are counted from 0. In the worked example step 0 already has a fifth of the highest rate.",
        _variant(rise=lambda step, warmup: step / warmup),
    ),
    Misconception(
        "warm-up-a-step-early",
        "the highest rate is reached at the last step of the warm-up, one step too soon",
        "In the worked example the warm-up has four steps. Which fifths of the highest rate are they?",
        _variant(rise=lambda step, warmup: (step + 1) / warmup),
    ),
    Misconception(
        "the-fall-counts-the-warm-up",
        "the cosine is counted from step 0, not from the end of the warm-up",
        "Where the warm-up ends the cosine begins: the share that is done must be 0 there.",
        _variant(share=lambda step, steps, warmup: step / steps),
    ),
    Misconception(
        "divided-by-all-steps",
        "the steps since the warm-up are divided by all steps, so the lowest rate is never reached",
        "How many steps does the fall have? The share that is done must be 1 at its end.",
        _variant(share=lambda step, steps, warmup: (step - warmup) / steps),
    ),
    Misconception(
        "all-but-one-step",
        "the fall is counted a step too short, so the lowest rate is reached before the end",
        "The last step of the run is not yet its end: the wave ends at `steps`, where nobody trains.",
        _variant(share=lambda step, steps, warmup: (step - warmup) / max(1, steps - warmup - 1)),
    ),
    Misconception(
        "a-step-too-many",
        "the fall is counted a step too long, so the lowest rate is not reached at its end",
        "From step 4 to step 12, how many steps does the rate fall?",
        _variant(share=lambda step, steps, warmup: (step - warmup) / (steps - warmup + 1)),
    ),
    Misconception(
        "a-step-ahead",
        "the fall begins a step too early: the first step after the warm-up has less than the highest rate",
        "In the worked example step 4 has all of the rate. Which share of the fall is done there?",
        _variant(share=lambda step, steps, warmup: (step - warmup + 1) / (steps - warmup)),
    ),
    Misconception(
        "warm-up-in-the-denominator-only",
        "the steps are counted from 0, and divided by those of the fall alone",
        "Where the warm-up ends, the share that is done must be 0, and at the end it must be 1.",
        _variant(share=lambda step, steps, warmup: step / (steps - warmup)),
    ),
    Misconception(
        "whole-numbers",
        "the share that is done is rounded down to a whole number, so nothing falls before the end",
        "`//` divides whole numbers and drops the rest. The share lies between 0 and 1.",
        _variant(share=lambda step, steps, warmup: (step - warmup) // max(1, steps - warmup)),
    ),
    Misconception(
        "turned-round",
        "the wave is turned round: it rises from the lowest to the highest rate",
        "The cosine of 0 is 1. With which sign does it lead to the highest rate first?",
        _variant(wave=lambda share: 0.5 * (1 - math.cos(math.pi * share))),
    ),
    Misconception(
        "without-pi",
        "the cosine is taken of the share itself, so it hardly moves",
        "Half a turn is π. Which angle belongs to a share of 1?",
        _variant(wave=lambda share: 0.5 * (1 + math.cos(share))),
    ),
    Misconception(
        "not-halved",
        "the wave goes from 2 to 0, because the half is missing",
        "1 + cosine goes from 2 to 0, and the fall needs something that goes from 1 to 0.",
        _variant(wave=lambda share: 1 + math.cos(math.pi * share)),
    ),
    Misconception(
        "parentheses-missing",
        "parentheses are missing: the half is taken of the 1 only, and the cosine stands alone",
        "The half belongs to the sum of 1 and the cosine.",
        _variant(between=lambda low, high, wave: low + 0.5 + (2 * wave - 1) * (high - low)),
    ),
    Misconception(
        "half-beside-the-wave",
        "the half of 1 is added to a rate, and only the cosine is stretched",
        "The wave is computed first, from 1 to 0, and then stretched as a whole.",
        _variant(between=lambda low, high, wave: low + 0.5 + (wave - 0.5) * (high - low)),
    ),
    Misconception(
        "never-below-the-lowest",
        "the lowest rate is used as a limit, and not as the lower end of the wave",
        "The wave itself should end at the lowest rate, gently. What does it have to be lifted by?",
        _variant(between=lambda low, high, wave: max(low, wave * high)),
    ),
    Misconception(
        "whole-wave",
        "the cosine goes through a whole wave, down and up again",
        "Half a wave is enough: the cosine of which angle is -1?",
        _variant(wave=lambda share: 0.5 * (1 + math.cos(2 * math.pi * share))),
    ),
    Misconception(
        "quarter-wave",
        "a quarter of a wave is used, which falls fastest at the end",
        "The fall should be gentle at both ends. The cosine of which angle is -1?",
        _variant(wave=lambda share: math.cos(0.5 * math.pi * share)),
    ),
    Misconception(
        "straight-line",
        "the rate falls along a straight line",
        "Half a cosine wave is gentle at both ends; a line falls equally fast everywhere.",
        _variant(wave=lambda share: 1 - share),
    ),
    Misconception(
        "falls-to-zero",
        "the rate falls to zero, and the lowest rate is left out until the end",
        "The wave goes from 1 to 0. What does it have to be stretched and lifted to?",
        _variant(between=lambda low, high, wave: wave * high),
    ),
    Misconception(
        "lowest-added-on-top",
        "the lowest rate is added to the whole wave, so that the highest is exceeded",
        "At the top the rate must be the highest one, not more. How far apart are highest and lowest?",
        _variant(between=lambda low, high, wave: low + wave * high),
    ),
    Misconception(
        "not-lifted",
        "the cosine is used as it is, from 1 to -1",
        "A cosine goes from 1 to -1, and the fall needs something that goes from 1 to 0.",
        _variant(wave=lambda share: math.cos(math.pi * share)),
    ),
    Misconception(
        "degrees",
        "the angle is given in degrees",
        "`math.cos` takes radians, where half a turn is π.",
        _variant(wave=lambda share: 0.5 * (1 + math.cos(180 * share))),
    ),
    Misconception(
        "rises-again",
        "after the last step the cosine rises again",
        "A run may go on longer than planned. What should the rate be then?",
        _variant(after=False, share=lambda step, steps, warmup: (step - warmup) / max(1, steps - warmup)),
    ),
    Misconception(
        "warms-up-from-the-lowest",
        "the warm-up begins at the lowest rate instead of near zero",
        "In the worked example the first rate is a fifth of the highest, whatever the lowest is.",
        _variant(from_below=True),
    ),
    Misconception(
        "warms-up-from-the-lowest-at-step-0",
        "the rate of step 0 is the lowest one, and the warm-up rises from there",
        "In the worked example the first rate is a fifth of the highest, whatever the lowest is.",
        _variant(rise=lambda step, warmup: step / warmup, from_below=True),
    ),
    Misconception(
        "warm-up-not-below-the-lowest",
        "the warm-up is kept from falling below the lowest rate",
        "The lowest rate is for the end. While warming up the rate may be smaller.",
        _warm_up_not_below,
    ),
    Misconception(
        "no-warm-up",
        "there is no warm-up: the cosine begins at step 0",
        "Steps below `warmup_steps` have a rule of their own.",
        _no_warmup_at_all,
    ),
    Misconception(
        "nothing-rises",
        "the rate waits at its highest during the warm-up",
        "Warming up means beginning small.",
        _nothing_rises,
    ),
    Misconception(
        "warmed-twice",
        "the warm-up is multiplied into a cosine that has already begun to fall",
        "First up, then down: the two parts follow each other.",
        _warmed_twice,
    ),
)


# --- Right answers in another form


def _by_half_angles(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    """(1 + cos x) / 2 is the square of cos(x / 2)."""
    if step < warmup_steps:
        return (step + 1) * learning_rate / (warmup_steps + 1)
    if step >= steps:
        return min_learning_rate
    angle = 0.5 * math.pi * (step - warmup_steps) / (steps - warmup_steps)
    return learning_rate * math.cos(angle) ** 2 + min_learning_rate * math.sin(angle) ** 2


def _around_the_middle(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step < warmup_steps:
        return learning_rate - learning_rate * (warmup_steps - step) / (warmup_steps + 1)
    if step >= steps:
        return min_learning_rate
    middle, reach = (learning_rate + min_learning_rate) / 2, (learning_rate - min_learning_rate) / 2
    return middle + reach * math.cos((step - warmup_steps) / (steps - warmup_steps) * math.pi)


def _clamped_share(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    left = steps - warmup_steps
    share = min(1.0, (step - warmup_steps) / left) if left > 0 else 1.0
    return learning_rate - 0.5 * (1 - math.cos(math.pi * share)) * (learning_rate - min_learning_rate)


def _in_tensors(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step < warmup_steps:
        ramp = torch.linspace(0, learning_rate, warmup_steps + 2, dtype=torch.float64)
        return float(ramp[step + 1])
    if step >= steps:
        return min_learning_rate
    wave = (1 + torch.linspace(0, torch.pi, steps - warmup_steps + 1, dtype=torch.float64).cos()) / 2
    table = min_learning_rate + wave * (learning_rate - min_learning_rate)
    return table[step - warmup_steps].item()


def _end_first(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step >= steps:
        return min_learning_rate
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1) * learning_rate
    wave = math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps))
    return (learning_rate * (1 + wave) + min_learning_rate * (1 - wave)) / 2


def _by_pytorch(step, *, steps, warmup_steps, learning_rate, min_learning_rate):
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    if step >= steps:
        return min_learning_rate
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup_steps, min_learning_rate)
    for _ in range(step - warmup_steps):
        optimizer.step()
        fall.step()
    return fall.get_last_lr()[0]


ALTERNATIVES = (
    Alternative("the end before the warm-up", _end_first),
    Alternative("squares of cosine and sine", _by_half_angles),
    Alternative("around the middle", _around_the_middle),
    Alternative("the share cut off at 1", _clamped_share),
    Alternative("looked up in a table of all steps", _in_tensors),
    Alternative("PyTorch's own schedule, step by step", _by_pytorch),
)

WARMUP = "warms up in a straight line"

EXERCISE = Exercise(
    name="schedule.cosine_schedule",
    number="7.4",
    title="Warm up, then cool down",
    minutes=12,
    difficulty=2,
    reference=schedule.cosine_schedule,
    checks=(
        Check("falls along half a cosine wave without a warm-up", 1, _no_warmup),
        Check(WARMUP, 1, _warmup, after=()),
        Check("gives the first step its share of the warm-up", 1, _first, after=(WARMUP,)),
        Check("begins the fall where the warm-up ends", 1, _fall),
        Check("keeps the lowest rate at the end and after it", 1, _end),
        Check("bears a run that is all warm-up", 1, _all_warmup, after=(WARMUP,)),
    ),
    hints=(
        "Three cases, one after the other: during the warm-up, after the last step, and in between.",
        "In between, compute first which share of the fall is done: 0 at the end of the warm-up, 1 at the "
        "end of the run. Half a cosine wave is the cosine of angles from 0 to π.",
        "`(1 + cosine) / 2` goes from 1 to 0. Stretch it to the distance between highest and lowest rate, "
        "then lift it by the lowest.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
)
