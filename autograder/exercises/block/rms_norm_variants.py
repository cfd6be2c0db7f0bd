"""Variants of exercise 5.5: a scale that is stored less 1, and a size that is measured on half of the vector.

The references stand here, and not in `llmlib`: what an answer's process may import holds neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from autograder.exercise import Alternative, Case, Misconception, Variant
from autograder.exercises.block.rms_norm import MISCONCEPTIONS, SIZE

PLAIN = {m.id: m for m in MISCONCEPTIONS}


def less_one(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"], eps: float = 1e-5
) -> Float[Tensor, "*batch d_model"]:
    """Scale each vector to root mean square 1, then apply the learned scale, which is 1 + weight.

    A weight of 0 changes nothing, so a fresh model starts from zeros. Nothing is centred.

    Source: Zhang and Sennrich (2019), equation 4, with the scale as the published weights of Gemma keep it.
    """
    mean_square = x.square().mean(dim=-1, keepdim=True)
    return (1 + weight) * x / torch.sqrt(mean_square + eps)


def first_half(
    x: Float[Tensor, "*batch d_model"], weight: Float[Tensor, " d_model"], eps: float = 1e-5
) -> Float[Tensor, "*batch d_model"]:
    """Divide each vector by the root mean square of its first half, then apply the learned scale.

    The first half has (d_model + 1) // 2 numbers. Nothing is centred.

    Source: Zhang and Sennrich (2019), where it is called pRMSNorm, with half of the numbers.
    """
    half = x[..., : (x.shape[-1] + 1) // 2]
    mean_square = half.square().mean(dim=-1, keepdim=True)
    return weight * x / torch.sqrt(mean_square + eps)


def _plus_one(answer: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def twisted(x, weight, eps=1e-5):
        return answer(x, 1 + weight, eps)

    return twisted


def _stored_less_one(case: Case) -> Case:
    return replace(case, arguments={**case.arguments, "weight": case.arguments["weight"] - 1})


# --- Mistakes of their own


def _normed(x: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps)


def _one_less_the_weight(x, weight, eps=1e-5):
    return (1 - weight) * _normed(x, eps)


def _one_added_at_the_end(x, weight, eps=1e-5):
    return weight * _normed(x, eps) + 1


def _one_taken_away(x, weight, eps=1e-5):
    return (weight - 1) * _normed(x, eps)


def _first(x: Tensor) -> Tensor:
    return x[..., : (x.shape[-1] + 1) // 2]


def _halves(
    *,
    part: Callable[[Tensor], Tensor] = _first,
    size: Callable[[Tensor, float], Tensor] = lambda square, eps: torch.sqrt(square + eps),
    mean: Callable[[Tensor], Tensor] = lambda half: half.square().mean(dim=-1, keepdim=True),
    finish: Callable[[Tensor, Tensor], Tensor] = lambda normed, weight: weight * normed,
) -> Callable[..., Tensor]:
    """The right answer with one of its parts replaced."""

    def normed(x, weight, eps=1e-5):
        return finish(x / size(mean(part(x)), eps), weight)

    return normed


def _half_alone(x, weight, eps=1e-5):
    first = _first(x)
    size = torch.sqrt(first.square().mean(dim=-1, keepdim=True) + eps)
    return weight * torch.cat([first / size, x[..., first.shape[-1] :]], dim=-1)


def _half_over_all(x, weight, eps=1e-5):
    square = _first(x).square().sum(dim=-1, keepdim=True) / x.shape[-1]
    return weight * x / torch.sqrt(square + eps)


# --- Right answers in another form


def _scaled_and_added(x, weight, eps=1e-5):
    normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return torch.addcmul(normed, normed, weight)


def _ones_and_weight(x, weight, eps=1e-5):
    mean_square = torch.einsum("...d,...d->...", x, x).unsqueeze(-1) / x.shape[-1]
    return x / (mean_square + eps).sqrt() * (torch.ones_like(weight) + weight)


def _chunk(x, weight, eps=1e-5):
    half = x.split([(x.shape[-1] + 1) // 2, x.shape[-1] // 2], dim=-1)[0]
    return weight * x * torch.rsqrt(half.pow(2).mean(-1, keepdim=True) + eps)


def _length_of_the_half(x, weight, eps=1e-5):
    count = -(-x.shape[-1] // 2)
    length = torch.linalg.vector_norm(x.narrow(-1, 0, count), dim=-1, keepdim=True)
    return x / torch.sqrt(length**2 / count + eps) * weight


def _vector_by_vector(x, weight, eps=1e-5):
    count = x.shape[-1] - x.shape[-1] // 2
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        half = row[:count]
        rows.append(row / ((half @ half) / count + eps) ** 0.5 * weight)
    return torch.stack(rows).reshape(x.shape)


def _masked_mean(x, weight, eps=1e-5):
    taken = (torch.arange(x.shape[-1], device=x.device) * 2 < x.shape[-1]).to(x.dtype)
    mean_square = ((x * x * taken).sum(-1) / taken.sum()).unsqueeze(-1)
    return weight * x / (mean_square + eps).sqrt()


LESS_ONE = Variant(
    id="stored-less-one",
    twist="The scale is stored less 1: each place is multiplied by 1 + weight.",
    statement="""\
Write `rms_norm(x, weight, eps=1e-5)`, whose scale is **1 + weight**.

- `x` has shape `(*batch, d_model)`, `weight` has shape `(d_model,)`; the result has the shape and dtype of
  `x`, which does not change.
- Each vector along the last dimension is normed alone. `eps` is added to the mean square, under the root.
- Place by place the normed vector is multiplied by 1 + weight. A weight of 0 changes nothing.
- PyTorch's own norms are refused here.

Worked examples, with `weight` all **0**: `[1, 7, 5, 5]` gives `[0.2, 1.4, 1, 1]`. `[1, 1, 1, 1]` with `eps=3`
gives `[0.5, 0.5, 0.5, 0.5]`. A vector of zeros gives zeros. With `weight` all 1 the first becomes
`[0.4, 2.8, 2, 2]`. The published weights of Gemma are kept in this way: a plain norm would read every
scale too small by 1.""",
    reference=less_one,
    hints=(
        "Read the name from its end: square, mean, root. Which of the three does torch have as a method?",
        "Write the plain norm first: square x, average over the last dimension and keep that dimension, add "
        "eps, take the root, divide x by it. What should it be multiplied by, so that a weight of 0 leaves "
        "it as it is?",
    ),
    misconceptions=(
        Misconception(
            "one-less-the-weight",
            "the scale is 1 less the weight",
            "Which number was taken away when the weight was stored, and from what?",
            _one_less_the_weight,
        ),
        Misconception(
            "one-added-at-the-end",
            "the 1 is added to the result, not to the weight",
            "A vector of zeros should give zeros. What does yours give?",
            _one_added_at_the_end,
        ),
        Misconception(
            "one-taken-away",
            "the 1 is taken away from the weight, not added",
            "It was taken away when the weight was stored. What brings the scale back?",
            _one_taken_away,
        ),
    ),
    alternatives=(
        Alternative("the normed vector added to itself times the weight", _scaled_and_added),
        Alternative("ones plus the weight, and einsum", _ones_and_weight),
    ),
    through=_plus_one,
    excluded={
        "one-plus-weight": "it is the right answer here",
        "llama-s-default": "the plain function is always given an eps here",
    },
    case=_stored_less_one,
)

FIRST_HALF = Variant(
    id="first-half",
    twist="The size is measured on the first half of each vector alone, and divides all of it.",
    statement="""\
Write `rms_norm(x, weight, eps=1e-5)`, which measures the size **on the first half** of each vector.

- `x` has shape `(*batch, d_model)`, `weight` has shape `(d_model,)`; the result has the shape and dtype of
  `x`, which does not change.
- Each vector along the last dimension is normed alone. Its first half has `(d_model + 1) // 2` numbers: of
  five, three. The whole vector is divided by the root mean square of that half.
- `eps` is added to the mean square, under the root.
- PyTorch's own norms are refused here.

Worked examples, with `weight` all 1: `[1, 7, 5, 5]` gives `[0.2, 1.4, 1, 1]`, since $(1 + 49) / 2 = 25$.
`[5, 5, 1, 1]` gives `[1, 1, 0.2, 0.2]`. `[1, 1, 1, 1]` with `eps=3` gives `[0.5, 0.5, 0.5, 0.5]`. The
paper of RMS normalization proposes this too, to save work (Zhang and Sennrich, 2019: they call it
pRMSNorm).""",
    reference=first_half,
    hints=(
        "Read the name from its end: square, mean, root. Of which numbers?",
        "Cut the first half off along the last dimension, rounding up: `(d_model + 1) // 2`. Its size has "
        "one number for each vector; keep the dimension, so that it divides the whole vector.",
    ),
    misconceptions=(
        Misconception(
            "second-half",
            "the size is measured on the second half",
            "Which end of `[5, 5, 1, 1]` decides in the worked example?",
            _halves(part=lambda x: x[..., x.shape[-1] // 2 :]),
        ),
        Misconception(
            "rounded-down",
            "the half of an odd length is rounded down",
            "Of five numbers the first half has three.",
            _halves(part=lambda x: x[..., : max(x.shape[-1] // 2, 1)]),
        ),
        Misconception(
            "every-other",
            "the size is measured on every other number",
            "The first half is one stretch, from the first number on.",
            _halves(part=lambda x: x[..., ::2]),
        ),
        Misconception(
            "only-the-half-divided",
            "only the first half is divided by the size",
            "The size is measured on a part, and divides the whole.",
            _half_alone,
        ),
        Misconception(
            "divided-by-all",
            "the squares of the half are divided by d, not by how many they are",
            "It is a mean of the numbers that were added: how many are these?",
            _half_over_all,
        ),
        replace(PLAIN["eps-outside"], answer=_halves(size=lambda square, eps: torch.sqrt(square) + eps)),
        replace(PLAIN["without-eps"], answer=_halves(size=lambda square, eps: torch.sqrt(square))),
        replace(PLAIN["fixed-eps"], answer=_halves(size=lambda square, eps: torch.sqrt(square + 1e-5))),
        replace(
            PLAIN["ten-times-eps"], answer=_halves(size=lambda square, eps: torch.sqrt(square + 10 * eps))
        ),
        replace(PLAIN["without-root"], answer=_halves(size=lambda square, eps: square + eps)),
        replace(PLAIN["length"], answer=_halves(mean=lambda half: half.square().sum(-1, keepdim=True))),
        replace(
            PLAIN["mean-magnitude"],
            answer=_halves(
                mean=lambda half: half.abs().mean(dim=-1, keepdim=True),
                size=lambda square, eps: square + eps,
            ),
        ),
        replace(PLAIN["weight-ignored"], answer=_halves(finish=lambda normed, weight: normed)),
        replace(
            PLAIN["one-plus-weight"], answer=_halves(finish=lambda normed, weight: (1 + weight) * normed)
        ),
        replace(PLAIN["weight-added"], answer=_halves(finish=lambda normed, weight: normed + weight)),
        replace(PLAIN["size-detached"], answer=_halves(part=lambda x: _first(x).detach())),
    ),
    alternatives=(
        Alternative("split, then rsqrt", _chunk),
        Alternative("from the length of the half", _length_of_the_half),
        Alternative("vector by vector", _vector_by_vector),
        Alternative("a mean with weights 1 and 0", _masked_mean),
    ),
    renamed={SIZE: "divides each vector by the root mean square of its first half"},
)

VARIANTS = (LESS_ONE, FIRST_HALF)
