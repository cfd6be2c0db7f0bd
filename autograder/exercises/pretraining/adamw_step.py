"""Exercise 7.3: one step of AdamW for one parameter, its two averages in plain sight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import adamw


def _between(g: torch.Generator, low: float, high: float) -> float:
    return round(low + (high - low) * float(torch.rand((), generator=g)), 3)


def _gradient(g: torch.Generator, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Entries of both signs and of sizes from about 0.2 to 5."""
    signs = torch.randint(2, shape, generator=g) * 2 - 1
    return signs * (1.6 * (2 * torch.rand(shape, generator=g, dtype=dtype) - 1)).exp()


def _case(
    g: torch.Generator,
    *shape: int,
    step: int | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Case:
    """A step in the middle of a run, or with step=1 the first one, whose averages are zeros."""
    gradient = _gradient(g, shape, dtype)
    average, square_average = torch.zeros_like(gradient), torch.zeros_like(gradient)
    if step is None:
        step = int(torch.randint(3, 9, (), generator=g))
        average = 0.5 * normal(g, *shape, dtype=dtype)
        square_average = average.square() + 0.2 + torch.rand(shape, generator=g, dtype=dtype)
    return Case(
        {
            "parameter": 2 * normal(g, *shape, dtype=dtype),
            "gradient": gradient,
            "average": average,
            "square_average": square_average,
            "step": step,
            "learning_rate": _between(g, 0.1, 0.4),
            "beta1": _between(g, 0.6, 0.8),
            "beta2": _between(g, 0.85, 0.95),
            "eps": eps,
            "weight_decay": weight_decay,
        }
    )


def _first_step(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, step=1)
    yield _case(g, 2, 3, step=1)


def _later_steps(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 4)
    yield _case(g, 2, 2)
    yield _case(g, 3)


def _large_eps(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, eps=0.5)
    yield _case(g, 2, 2, step=1, eps=0.3)
    yield _case(g, 3, step=1, eps=10.0)  # larger than every root


def _decays(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, weight_decay=_between(g, 0.3, 0.8))
    yield _case(g, 2, 3, step=1, weight_decay=_between(g, 0.3, 0.8))


def _types(g: torch.Generator) -> Iterator[Case]:
    case = _case(g, 2, 2, eps=0.1, weight_decay=0.4, dtype=torch.float64)
    # Betas whose powers float32 holds exactly: who computes the correction in it, as does
    # `beta ** torch.tensor(step)`, is right, too.
    yield Case({**case.arguments, "beta1": 0.75, "beta2": 0.875})
    yield _case(g, eps=0.1, weight_decay=0.4)  # a single number


# --- Mistakes: each part can be exchanged


def _step(
    parameter,
    gradient,
    average,
    square_average,
    step,
    *,
    learning_rate,
    beta1,
    beta2,
    eps,
    weight_decay,
    first=lambda average, gradient, beta: beta * average + (1 - beta) * gradient,
    second=lambda average, gradient, beta, mean: beta * average + (1 - beta) * gradient.square(),
    correct=lambda average, beta, step: average / (1 - beta**step),
    correct_square=lambda average, beta, step: average / (1 - beta**step),
    move=lambda direction, square, eps: direction / (square.sqrt() + eps),
    decay=lambda parameter, rate, decay: rate * decay * parameter,
    before=True,
    keep_corrected=False,
    sign=-1,
):
    average = first(average, gradient, beta1)
    square_average = second(square_average, gradient, beta2, average)
    direction = correct(average, beta1, step)
    square = correct_square(square_average, beta2, step)
    change = sign * learning_rate * move(direction, square, eps)
    if before:
        new = parameter + change - decay(parameter, learning_rate, weight_decay)
    else:
        new = parameter + change
        new = new - decay(new, learning_rate, weight_decay)
    return (new, direction, square) if keep_corrected else (new, average, square_average)


def _l2(parameter, gradient, average, square_average, step, *, weight_decay, **options):
    gradient = gradient + weight_decay * parameter
    return _step(parameter, gradient, average, square_average, step, weight_decay=0.0, **options)


def _swapped(*tensors, beta1, beta2, **options):
    return _step(*tensors, beta1=beta2, beta2=beta1, **options)


def _eps_before_correction(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    average = beta1 * average + (1 - beta1) * gradient
    square_average = beta2 * square_average + (1 - beta2) * gradient**2
    rate = learning_rate * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    decayed = parameter * (1 - learning_rate * weight_decay)
    return decayed - rate * average / (square_average.sqrt() + eps), average, square_average


def _by_beta1(*tensors, beta1, beta2, **options):
    return _step(
        *tensors,
        beta1=beta1,
        beta2=beta2,
        correct_square=lambda average, beta, step: average / (1 - beta1**step),
        **options,
    )


def _in_place(parameter, gradient, average, square_average, step, *, beta1, beta2, **options):
    average.mul_(beta1).add_(gradient, alpha=1 - beta1)
    square_average.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    keep = {"first": lambda a, g, b: a, "second": lambda a, g, b, m: a}
    return _step(
        parameter, gradient, average, square_average, step, beta1=beta1, beta2=beta2, **options, **keep
    )


def _all_in_place(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    average.mul_(beta1).add_(gradient, alpha=1 - beta1)
    square_average.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    parameter.mul_(1 - learning_rate * weight_decay)
    size = (square_average / (1 - beta2**step)).sqrt() + eps
    parameter.addcdiv_(average, size, value=-learning_rate / (1 - beta1**step))
    return parameter, average, square_average


def _parameter_in_place(parameter, *others, **options):
    new, average, square_average = _step(parameter, *others, **options)
    parameter.copy_(new)
    return parameter, average, square_average


def _beta1_for_both(*tensors, beta1, beta2, **options):
    return _step(*tensors, beta1=beta1, beta2=beta1, **options)


def _squares_by_beta1(*tensors, beta1, beta2, **options):
    by_beta1 = {"second": lambda a, g, beta, mean: beta1 * a + (1 - beta1) * g.square()}
    return _step(*tensors, beta1=beta1, beta2=beta2, **by_beta1, **options)


def _averages_first(*tensors, **options):
    new, average, square_average = _step(*tensors, **options)
    return average, square_average, new


def _old_averages(parameter, gradient, average, square_average, step, **options):
    new, _, _ = _step(parameter, gradient, average, square_average, step, **options)
    return new, average, square_average


def _decay_over_the_root(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    average = beta1 * average + (1 - beta1) * gradient
    square_average = beta2 * square_average + (1 - beta2) * gradient.square()
    direction = average / (1 - beta1**step) + weight_decay * parameter
    size = (square_average / (1 - beta2**step)).sqrt() + eps
    return parameter - learning_rate * direction / size, average, square_average


def _no_rate(*tensors, learning_rate, **options):
    return _step(*tensors, learning_rate=1.0, **options)


MISCONCEPTIONS = (
    Misconception(
        "l2-in-the-gradient",
        "the decay is added to the gradient, so passes the averages: Adam with L2, not AdamW",
        "The W stands for decoupled: the averages see the gradient alone, the decay the parameter.",
        _l2,
    ),
    Misconception(
        "decay-over-the-root",
        "the decay is divided by the root of the squares, as the direction is",
        "The W stands for decoupled: the decay stands beside the fraction, not in it.",
        _decay_over_the_root,
    ),
    Misconception(
        "no-learning-rate",
        "the learning rate is not used",
        "With the rate of 0 nothing may change.",
        _no_rate,
    ),
    Misconception(
        "decay-by-the-rate-twice",
        "the decay is multiplied by the learning rate twice",
        "The share that the parameter loses is rate times decay. Is it multiplied by the rate once more, "
        "together with the step?",
        partial(_step, decay=lambda parameter, rate, decay: rate * rate * decay * parameter),
    ),
    Misconception(
        "decay-without-learning-rate",
        "the decay is not multiplied by the learning rate",
        "With the rate of 0 nothing may change. Does the decay in your step go along with it?",
        partial(_step, decay=lambda parameter, rate, decay: decay * parameter),
    ),
    Misconception(
        "decays-what-has-moved",
        "the decay is taken of the parameter after its step, not of the one before",
        "Both changes, the step and the decay, are computed from the parameter that came in.",
        partial(_step, before=False),
    ),
    Misconception(
        "grows",
        "the decay makes the parameter larger",
        "Decay pulls towards zero.",
        partial(_step, decay=lambda parameter, rate, decay: -rate * decay * parameter),
    ),
    Misconception(
        "no-decay",
        "there is no weight decay",
        "Besides the step, the parameter loses a small share of itself.",
        partial(_step, decay=lambda parameter, rate, decay: 0 * parameter),
    ),
    Misconception(
        "no-bias-correction",
        "the averages are not corrected, though they began at zero",
        "After the first step the average holds only a share 1 - beta1 of the gradient. Put that right.",
        partial(_step, correct=lambda a, beta, step: a, correct_square=lambda a, beta, step: a),
    ),
    Misconception(
        "square-not-corrected",
        "only the average of the gradients is corrected, not that of the squares",
        "Both averages began at zero; each is too small by a share of its own.",
        partial(_step, correct_square=lambda a, beta, step: a),
    ),
    Misconception(
        "average-not-corrected",
        "only the average of the squares is corrected, not that of the gradients",
        "Both averages began at zero; each is too small by a share of its own.",
        partial(_step, correct=lambda a, beta, step: a),
    ),
    Misconception(
        "square-corrected-by-beta1",
        "the average of the squares is corrected by beta1",
        "Each average forgets at its own pace. With which beta was that of the squares made?",
        _by_beta1,
    ),
    Misconception(
        "step-one-too-high",
        "the correction is that of the next step",
        "Steps are counted from 1. Of one gradient, which share is in the average?",
        partial(
            _step,
            correct=lambda a, beta, step: a / (1 - beta ** (step + 1)),
            correct_square=lambda a, beta, step: a / (1 - beta ** (step + 1)),
        ),
    ),
    Misconception(
        "step-one-too-low",
        "the correction is that of the step before: at the first step it divides by zero",
        "Steps are counted from 1. Of one gradient, which share is in the average?",
        partial(
            _step,
            correct=lambda a, beta, step: a / (1 - beta ** (step - 1)),
            correct_square=lambda a, beta, step: a / (1 - beta ** (step - 1)),
        ),
    ),
    Misconception(
        "beta1-for-both",
        "beta1 is used for the squares as well",
        "The squares are averaged over a longer time, by beta2.",
        _beta1_for_both,
    ),
    Misconception(
        "squares-averaged-by-beta1",
        "the squares are averaged with beta1 and corrected with beta2",
        "Each average forgets at its own pace, and is corrected by the same beta. Which one is that of the "
        "squares?",
        _squares_by_beta1,
    ),
    Misconception(
        "averages-first",
        "the averages are returned before the parameter",
        "First the new parameter, then the average of the gradients, then that of their squares.",
        _averages_first,
    ),
    Misconception(
        "old-averages-returned",
        "the averages that came in are returned, so the next step begins without this gradient",
        "What is to be kept for the next step: the averages before this gradient, or with it?",
        _old_averages,
    ),
    Misconception(
        "always-the-first-step",
        "the correction is always that of the first step",
        "After many steps the averages are hardly too small any more: the power counts the steps.",
        partial(
            _step,
            correct=lambda a, beta, step: a / (1 - beta),
            correct_square=lambda a, beta, step: a / (1 - beta),
        ),
    ),
    Misconception(
        "multiplied-not-raised",
        "beta is multiplied by the number of steps, not raised to it",
        "Each step multiplies what is left of the zeros by beta once more.",
        partial(
            _step,
            correct=lambda a, beta, step: a / (1 - beta * step),
            correct_square=lambda a, beta, step: a / (1 - beta * step),
        ),
    ),
    Misconception(
        "corrected-averages-kept",
        "the corrected averages are returned and would be corrected again at the next step",
        "Corrected averages serve this step alone. What is kept are the averages themselves.",
        partial(_step, keep_corrected=True),
    ),
    Misconception(
        "eps-in-the-root",
        "eps stands inside the square root",
        "Its place is beside the root. With eps = 0.5 and a square of 4, the divisor is 2.5.",
        partial(_step, move=lambda direction, square, eps: direction / (square + eps).sqrt()),
    ),
    Misconception(
        "eps-as-the-least",
        "eps is the least divisor, not added to it",
        "With eps = 0.5 and a root of 2, the divisor is 2.5.",
        partial(_step, move=lambda direction, square, eps: direction / square.sqrt().clamp(min=eps)),
    ),
    Misconception(
        "no-eps",
        "eps is left out",
        "Where no gradient has come yet, the divisor would be zero.",
        partial(_step, move=lambda direction, square, eps: direction / square.sqrt()),
    ),
    Misconception(
        "eps-before-the-correction",
        "eps is added to the root of the uncorrected average",
        "Correct first, take the root, and then add eps.",
        _eps_before_correction,
    ),
    Misconception(
        "no-root",
        "the square root is left out, so the step shrinks as the gradient grows",
        "A square has the wrong unit: an entry twice as large should make the same step.",
        partial(_step, move=lambda direction, square, eps: direction / (square + eps)),
    ),
    Misconception(
        "square-of-the-average",
        "the averaged gradient is squared, not each gradient",
        "Gradients of changing sign average to nearly nothing; their squares do not.",
        partial(_step, second=lambda a, g, beta, mean: beta * a + (1 - beta) * mean.square()),
    ),
    Misconception(
        "absolute-values",
        "the second average is of absolute values, not of squares",
        "Square the entries on the way in; the root comes on the way out.",
        partial(_step, second=lambda a, g, beta, mean: beta * a + (1 - beta) * g.abs()),
    ),
    Misconception(
        "one-size-for-all",
        "one size is used for all entries together",
        "Every entry has its own history. Nothing is averaged over the entries.",
        partial(
            _step, second=lambda a, g, beta, mean: beta * a + (1 - beta) * g.square().mean().expand_as(g)
        ),
    ),
    Misconception(
        "momentum",
        "the new gradient is added whole, as in momentum, and does not make an average",
        "The shares of an average add up to 1: beta1 for the old one, and the rest for the new gradient.",
        partial(_step, first=lambda a, g, beta: beta * a + g),
    ),
    Misconception(
        "shares-swapped",
        "the newest gradient gets beta and the past the rest",
        "With beta1 = 0.9 the average should be slow: nine tenths of it are the past.",
        partial(
            _step,
            first=lambda a, g, beta: (1 - beta) * a + beta * g,
            second=lambda a, g, beta, mean: (1 - beta) * a + beta * g.square(),
        ),
    ),
    Misconception(
        "betas-swapped",
        "beta1 and beta2 have changed places",
        "beta1 belongs to the gradients, beta2 to their squares.",
        _swapped,
    ),
    Misconception(
        "not-averaged",
        "the step goes along the newest gradient, not along the average",
        "The average is not only to be kept: it is the direction.",
        partial(
            _step,
            correct=lambda a, beta, step: a,
            first=lambda a, g, beta: g,
        ),
    ),
    Misconception(
        "uphill",
        "the step goes uphill",
        "The gradient points to where the loss grows.",
        partial(_step, sign=1),
    ),
    Misconception(
        "in-place",
        "the averages that came in are changed",
        "Make new tensors: `beta * average + …`, not `average.mul_(…)` or `average *= …`.",
        _in_place,
    ),
    Misconception(
        "all-in-place",
        "parameter and averages are changed where they are, as PyTorch's own optimizers do",
        "Nothing that came in may change. Make new tensors: `beta * average + …`, not `average.mul_(…)`.",
        _all_in_place,
    ),
    Misconception(
        "parameter-in-place",
        "the parameter that came in is changed",
        "`parameter -= …` writes into the tensor that was given. Compute a new one.",
        _parameter_in_place,
    ),
)


# --- Right answers in another form


def _with_lerp(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    average = torch.lerp(average, gradient, 1 - beta1)
    square_average = (square_average * beta2).addcmul(gradient, gradient, value=1 - beta2)
    size = square_average.sqrt() / math.sqrt(1 - beta2**step) + eps
    parameter = parameter * (1 - learning_rate * weight_decay)
    return parameter.addcdiv(average, size, value=-learning_rate / (1 - beta1**step)), average, square_average


def _number_by_number(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    results = ([], [], [])
    for p, g, m, v in zip(
        parameter.flatten().tolist(),
        gradient.flatten().tolist(),
        average.flatten().tolist(),
        square_average.flatten().tolist(),
        strict=True,
    ):
        m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g * g - v)
        step_size = (m / (1 - beta1**step)) / ((v / (1 - beta2**step)) ** 0.5 + eps)
        for result, number in zip(
            results, (p - learning_rate * (step_size + weight_decay * p), m, v), strict=True
        ):
            result.append(number)
    return tuple(torch.tensor(r, dtype=parameter.dtype).reshape(parameter.shape) for r in results)


def _all_in_one_sum(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    average = average * beta1 + gradient * (1 - beta1)
    square_average = square_average * beta2 + gradient**2 * (1 - beta2)
    correction = 1 - torch.tensor([beta1, beta2], dtype=torch.float64) ** step
    adam = (average / correction[0].item()) / (torch.sqrt(square_average / correction[1].item()) + eps)
    return parameter - learning_rate * (adam + weight_decay * parameter), average, square_average


def _divisor_stretched(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    """The correction of the squares is moved out of the root, to eps and to the rate."""
    average = average - (1 - beta1) * (average - gradient)
    square_average = square_average - (1 - beta2) * (square_average - gradient.pow(2))
    stretch = (1 - beta2**step) ** 0.5
    rate = learning_rate * stretch / (1 - beta1**step)
    moved = rate * average / (square_average**0.5 + eps * stretch)
    return parameter - moved - parameter * (learning_rate * weight_decay), average, square_average


def _in_place_on_copies(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    parameter, average, square_average = (t.clone() for t in (parameter, average, square_average))
    with torch.no_grad():
        torch._foreach_mul_([average], beta1)
        torch._foreach_add_([average], [gradient], alpha=1 - beta1)
        square_average.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        parameter.mul_(1 - learning_rate * weight_decay)
        size = square_average.sqrt().div_((1 - beta2**step) ** 0.5).add_(eps)
        parameter.addcdiv_(average, size, value=-learning_rate / (1 - beta1**step))
    return [parameter, average, square_average]


def _step_as_a_tensor(
    parameter, gradient, average, square_average, step, *, learning_rate, beta1, beta2, eps, weight_decay
):
    """The corrections are tensors of float32, whatever the parameter is."""
    step = torch.tensor(step)
    average = beta1 * average + (1 - beta1) * gradient
    square_average = beta2 * square_average + (1 - beta2) * gradient * gradient
    size = (square_average / (1 - beta2**step)).sqrt() + eps
    moved = average / (1 - beta1**step) / size
    return parameter - learning_rate * (moved + weight_decay * parameter), average, square_average


ALTERNATIVES = (
    Alternative("lerp, addcmul and addcdiv, as in PyTorch", _with_lerp),
    Alternative("number by number", _number_by_number),
    Alternative("step and decay in one sum", _all_in_one_sum),
    Alternative("the correction moved to eps and the rate", _divisor_stretched),
    Alternative("in place, on copies", _in_place_on_copies),
    Alternative("the number of the step as a tensor", _step_as_a_tensor),
)

FIRST = "makes the first step"
LATER = "averages gradients and squares, and corrects both by the number of steps"

EXERCISE = Exercise(
    name="adamw.adamw_step",
    number="7.3",
    title="AdamW",
    minutes=20,
    difficulty=3,
    reference=adamw.adamw_step,
    checks=(
        Check(FIRST, 1, _first_step),
        Check(LATER, 2, _later_steps),
        Check("puts eps beside the root", 1, _large_eps, after=(LATER,)),
        Check("decays the parameter beside the step", 2, _decays),
        Check("keeps shapes and types", 1, _types, after=(LATER,)),
    ),
    hints=(
        "Five lines, in this order: the two new averages; both corrected; the step. Compute the table of the "
        "worked example again, line by line.",
        "An average that began at zero holds, after t steps, a share 1 - beta to the power t of what it "
        "should. Divide by that share, and keep the undivided one for the next step.",
        "The decay does not meet the averages at all: beside the step, the parameter loses the share "
        "learning rate times weight decay of itself.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
    forbidden=("torch.optim.AdamW.step",),
)
