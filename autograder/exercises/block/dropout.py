"""Exercise 5.8: dropout on a mask that is given."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.probes import normal, random_mask, transposed
from llmlib import regularization


def _case(x: Tensor, kept: Tensor, p: float, training: bool | None = None, gradient: bool = False) -> Case:
    arguments = {"x": x, "kept": kept, "p": p}
    return Case(arguments if training is None else {**arguments, "training": training}, gradient=gradient)


def _half(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 6) + 2, random_mask(g, 6), 0.5)
    yield _case(normal(g, 3, 5) + 2, random_mask(g, 3, 5), 0.5, True)


def _other_shares(g: torch.Generator) -> Iterator[Case]:
    for p in (0.1, 0.8, 0.2 + 0.2 * float(torch.rand((), generator=g))):
        yield _case(normal(g, 2, 6), random_mask(g, 2, 6), p)
    # What was kept by chance is not what p says.
    yield _case(normal(g, 5), torch.ones(5, dtype=torch.bool), 0.25)
    yield _case(normal(g, 2, 3), torch.zeros(2, 3, dtype=torch.bool), 0.25)


def _after_training(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 4), random_mask(g, 4), 0.5, False)
    yield _case(normal(g, 2, 3), random_mask(g, 2, 3), 0.1, False)


def _types_and_gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(normal(g, 3, 4, dtype=torch.float64), random_mask(g, 3, 4), 0.3, gradient=True)
    yield _case(transposed(g, 2, 4, 3), random_mask(g, 2, 4, 3), 0.3)


# --- Mistakes


def _not_scaled(x, kept, p, training=True):
    return x * kept if training else x


def _over_p(x, kept, p, training=True):
    return x * kept / p if training else x


def _times_the_share(x, kept, p, training=True):
    return x * kept * (1 - p) if training else x


def _scaled_by_the_count(x, kept, p, training=True):
    return x * kept / kept.to(x.dtype).mean() if training else x


def _scaled_up_at_the_end_too(x, kept, p, training=True):
    return x * kept / (1 - p) if training else x / (1 - p)


def _scaled_down_at_the_end_too(x, kept, p, training=True):
    return x * kept / (1 - p) if training else x * (1 - p)


def _classic(x, kept, p, training=True):
    return x * kept if training else x * (1 - p)


def _always_drops(x, kept, p, training=True):
    return x * kept / (1 - p)


def _never_drops(x, kept, p, training=True):
    return x


def _only_scaled(x, kept, p, training=True):
    return x / (1 - p) if training else x


def _flag_inverted(x, kept, p, training=True):
    return x if training else x * kept / (1 - p)


def _mask_inverted(x, kept, p, training=True):
    return x * ~kept / (1 - p) if training else x


def _kept_not_scaled_dropped_scaled(x, kept, p, training=True):
    return torch.where(kept, x / (1 - p), x) if training else x


def _shrunk(x, kept, p, training=True):
    return x[kept] / (1 - p) if training else x


def _in_place(x, kept, p, training=True):
    if training:
        x *= kept
        return x / (1 - p)
    return x


def _detached(x, kept, p, training=True):
    return x.detach() * kept / (1 - p) if training else x


def _always_float32(x, kept, p, training=True):
    return x.float() * kept / (1 - p) if training else x


def _first_row_for_all(x, kept, p, training=True):
    row = kept if kept.dim() < 2 else kept[:1]
    return x * row / (1 - p) if training else x


def _without_brackets(x, kept, p, training=True):
    return x * kept / 1 - p if training else x


def _scaled_twice(x, kept, p, training=True):
    return x * kept / (1 - p) ** 2 if training else x


def _times_one_plus_p(x, kept, p, training=True):
    return x * kept * (1 + p) if training else x


def _root(x, kept, p, training=True):
    return x * kept / (1 - p) ** 0.5 if training else x


def _rounded_down(x, kept, p, training=True):
    return x * kept // (1 - p) if training else x


def _minus_infinity(x, kept, p, training=True):
    return x.masked_fill(~kept, float("-inf")) / (1 - p) if training else x


def _nothing_at_the_end(x, kept, p, training=True):
    return x * kept / (1 - p) if training else torch.zeros_like(x)


def _no_result_at_the_end(x, kept, p, training=True):
    return x * kept / (1 - p) if training else None


def _truth_of_kept(x, kept, p, training=True):
    if not training:
        return x
    return x / (1 - p) if kept else torch.zeros_like(x)


def _training_off_by_default(x, kept, p, training=False):
    return x * kept / (1 - p) if training else x


MISCONCEPTIONS = (
    Misconception(
        "not-scaled",
        "what is kept is not scaled up",
        "With half of the numbers gone, the sum is half as large on average. What restores it?",
        _not_scaled,
    ),
    Misconception(
        "over-p",
        "what is kept is divided by p, not by 1 − p",
        "p is the share that is dropped. With p = 0.1 the rest should grow by a little, not tenfold.",
        _over_p,
    ),
    Misconception(
        "times-the-share",
        "what is kept is multiplied by 1 − p, and so made smaller still",
        "Fewer numbers must carry the same sum: should each become smaller or larger?",
        _times_the_share,
    ),
    Misconception(
        "scaled-by-the-count",
        "the scale is taken from how many happened to be kept",
        "The scale is a constant, made of p alone. Chance decides only what is dropped.",
        _scaled_by_the_count,
    ),
    Misconception(
        "scaled-up-at-the-end-too",
        "numbers are scaled up after training as well",
        "Nothing is missing then. What is there to make up for?",
        _scaled_up_at_the_end_too,
    ),
    Misconception(
        "scaled-down-at-the-end-too",
        "numbers are scaled twice: up while training and down afterwards",
        "One of the two is enough. Here it is done while training.",
        _scaled_down_at_the_end_too,
    ),
    Misconception(
        "classic",
        "numbers are scaled down after training, and not scaled up during it",
        "That is how dropout was first described. Today the scaling happens while training, so that nothing "
        "remains to be done afterwards.",
        _classic,
    ),
    Misconception(
        "always-drops",
        "numbers are dropped after training too",
        "A trained model should give the same answer twice. Look at `training`.",
        _always_drops,
    ),
    Misconception(
        "never-drops",
        "nothing is dropped at all",
        "`kept` is False in places. What should stand there?",
        _never_drops,
    ),
    Misconception(
        "only-scaled",
        "everything is scaled up and nothing dropped",
        "`kept` is False in places. What should stand there?",
        _only_scaled,
    ),
    Misconception(
        "flag-inverted",
        "numbers are dropped after training and not during it",
        "When is the model to be made uncertain: while it learns, or while it is used?",
        _flag_inverted,
    ),
    Misconception(
        "mask-inverted",
        "what should be kept is dropped, and what should be dropped is kept",
        "True means kept.",
        _mask_inverted,
    ),
    Misconception(
        "nothing-zeroed",
        "what is dropped keeps its value and only loses the scaling",
        "Dropped means 0.",
        _kept_not_scaled_dropped_scaled,
    ),
    Misconception(
        "shrunk",
        "the dropped numbers are cut out, so the shape changes",
        "The next layer expects all its inputs. A dropped number is a 0, not a gap.",
        _shrunk,
    ),
    Misconception("in-place", *mistakes.in_place("x", "*="), _in_place),
    Misconception(
        "detached",
        "no gradient flows back to x",
        "The numbers that are kept must learn. Look for `.detach()` or `no_grad`.",
        _detached,
    ),
    Misconception("always-float32", *mistakes.always_float32(), _always_float32),
    Misconception(
        "first-row-for-all",
        "all rows drop what the first one drops",
        "Every number of the batch has a die of its own. `kept` has the shape of x.",
        _first_row_for_all,
    ),
    Misconception(
        "without-brackets",
        "brackets are missing: the numbers are divided by 1, and p is subtracted from them",
        "A quotient binds tighter than a difference: `a / 1 - p` is `a - p`.",
        _without_brackets,
    ),
    Misconception(
        "scaled-twice",
        "what is kept is scaled up twice",
        "Once by 1/(1 − p) restores the average.",
        _scaled_twice,
    ),
    Misconception(
        "times-one-plus-p",
        "what is kept is multiplied by 1 + p",
        "Close for a small p, and wrong. Try p = 0.5: half of the numbers must carry the whole sum.",
        _times_one_plus_p,
    ),
    Misconception(
        "root",
        "what is kept is divided by the root of 1 − p",
        "It is the average that is to stay, not the average of the squares.",
        _root,
    ),
    Misconception(
        "rounded-down",
        "the quotient is rounded down",
        "`//` divides whole numbers. A plain `/` keeps what is behind the point.",
        _rounded_down,
    ),
    Misconception(
        "minus-infinity",
        "what is dropped becomes −∞, as in attention's scores",
        "There, a softmax makes 0 of it. Here nobody does: a dropped number is 0.",
        _minus_infinity,
    ),
    Misconception(
        "nothing-at-the-end",
        "after training everything is 0",
        "Nothing is dropped then: x comes back as it is.",
        _nothing_at_the_end,
    ),
    Misconception(
        "no-result-at-the-end",
        "nothing comes back after training",
        "Each way through the function needs a `return` of its own.",
        _no_result_at_the_end,
    ),
    Misconception(
        "truth-of-kept",
        "a tensor is asked whether it is true",
        "`kept` says it for each place by itself. Which operation of tensors works place by place?",
        _truth_of_kept,
    ),
    Misconception(
        "training-off-by-default",
        "without a word of the caller nothing is dropped",
        "Put the given first line back: `training` is True unless the caller says otherwise.",
        _training_off_by_default,
    ),
)


# --- Right answers in another form


def _where(x, kept, p, training=True):
    return torch.where(kept, x / (1 - p), 0.0) if training else x.clone()


def _masked_fill(x, kept, p, training=True):
    if not training:
        return x
    return x.masked_fill(kept.logical_not(), 0.0) * (1 / (1 - p))


def _scale_of_each_place(x, kept, p, training=True):
    if not training:
        kept, p = torch.ones_like(kept), 0.0
    return x * (kept.to(x.dtype) / (1.0 - p))


def _assigned(x, kept, p, training=True):
    if training:
        result = torch.zeros_like(x)
        result[kept] = x[kept] / (1 - p)
        return result
    return x


def _difference(x, kept, p, training=True):
    result = x
    if training:
        result = (x - x * ~kept).div(1 - p)
    return result


def _mask_of_floats(x, kept, p, training=True):
    return x * (kept.float() / (1 - p)).to(x.dtype) if training else x


ALTERNATIVES = (
    Alternative("the mask as float32", _mask_of_floats),
    Alternative("where, and a copy afterwards", _where),
    Alternative("masked_fill, and multiplied by the inverse", _masked_fill),
    Alternative("a scale for each place, 1 after training", _scale_of_each_place),
    Alternative("assigned into zeros", _assigned),
    Alternative("what is dropped is subtracted", _difference),
)

FORBIDDEN = ("torch.dropout", "torch.nn.functional.dropout", "aten::native_dropout", "aten::dropout")

EXERCISE = Exercise(
    name="regularization.dropout",
    number="5.8",
    title="Dropout",
    minutes=6,
    difficulty=1,
    reference=regularization.dropout,
    checks=(
        Check("drops half of the numbers and doubles the rest", 2, _half),
        Check("scales by the share p, not by what chance kept", 1, _other_shares),
        Check("leaves everything as it is after training", 1, _after_training),
        Check("keeps the dtype, lets gradients through and leaves x alone", 1, _types_and_gradients),
    ),
    hints=(
        "A boolean mask behaves as 0 and 1 in a product. What must the rest be multiplied by, so that the "
        "average over many masks is x again?",
        "A number survives in a share 1 − p of the cases. If its average is to be x, what must it be then? "
        "And what is there to do when `training` is False?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    forbidden=FORBIDDEN,
)
