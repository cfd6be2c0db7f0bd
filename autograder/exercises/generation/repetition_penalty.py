"""Exercise 8.3: make what was said less likely."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises.generation.filters import REPETITION, REPETITION_DETAILS
from autograder.exercises.probes import normal
from llmlib import sampling


def _case(
    g: torch.Generator, logits: torch.Tensor, length: int, *, distinct: bool, above: bool = True
) -> Case:
    """Tokens of which some occur and some do not, with a penalty away from 1."""
    *batch, size = logits.shape
    order = torch.rand(*batch, size, generator=g).argsort(dim=-1)
    tokens = order[..., :length]
    if not distinct:  # the first of them again, and then the second
        tokens = torch.cat([tokens, tokens[..., :1], tokens[..., :1], tokens[..., 1:2]], dim=-1)
    penalty = round(1.3 + 1.2 * float(torch.rand((), generator=g)), 2)
    return Case({"logits": logits, "tokens": tokens, "penalty": penalty if above else round(1 / penalty, 2)})


def _positive(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 1 + 3 * torch.rand(1, 5, generator=g), 2, distinct=True)
    yield _case(g, 1 + 3 * torch.rand(1, 7, generator=g), 3, distinct=True)


def _negative(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, -1 - 3 * torch.rand(1, 5, generator=g), 2, distinct=True)
    yield _case(g, 3 * normal(g, 1, 7), 4, distinct=True)


def _repeated(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3 * normal(g, 1, 6), 3, distinct=False)
    yield _case(g, 3 * normal(g, 1, 5), 2, distinct=False)


def _rows(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3 * normal(g, 3, 7), 2, distinct=True)
    yield _case(g, 3 * normal(g, 2, 6), 2, distinct=False)


def _below_one(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3 * normal(g, 2, 5), 2, distinct=True, above=False)


# --- Right answers in another form


def _gather_and_scatter(logits, tokens, penalty):
    chosen = logits.gather(-1, tokens)
    chosen = torch.where(chosen < 0, chosen * penalty, chosen / penalty)
    return logits.scatter(-1, tokens, chosen)


def _by_a_loop(logits, tokens, penalty):
    result = logits.clone()
    for row, said in zip(
        result.reshape(-1, logits.shape[-1]), tokens.reshape(-1, tokens.shape[-1]), strict=True
    ):
        for token in set(said.tolist()):
            row[token] = row[token] / penalty if row[token] > 0 else row[token] * penalty
    return result


def _by_one_hot(logits, tokens, penalty):
    seen = torch.nn.functional.one_hot(tokens, logits.shape[-1]).sum(dim=-2) > 0
    return logits * torch.where(seen, penalty ** -logits.sign(), torch.ones_like(logits))


def _by_comparison(logits, tokens, penalty):
    seen = (tokens[..., None] == torch.arange(logits.shape[-1], device=logits.device)).any(dim=-2)
    positive, negative = logits.clamp(min=0) / penalty, logits.clamp(max=0) * penalty
    return torch.where(seen, positive + negative, logits)


ALTERNATIVES = (
    Alternative("read, lower, write back", _gather_and_scatter),
    Alternative("text by text", _by_a_loop),
    Alternative("one-hot vectors and a power", _by_one_hot),
    Alternative("the positive and the negative part", _by_comparison),
)

EXERCISE = Exercise(
    name="sampling.repetition_penalty",
    number="8.3",
    title="The repetition penalty",
    minutes=10,
    difficulty=2,
    reference=sampling.repetition_penalty,
    checks=(
        Check("lowers the positive logits of what was said", 1, _positive),
        Check("lowers negative logits too", 1, _negative),
        Check("lowers a token once, however often it was said", 1, _repeated),
        Check("keeps the texts of a batch apart", 1, _rows),
        Check("raises what was said if the penalty is below 1", 1, _below_one),
    ),
    hints=(
        "Try it on paper with penalty 2: what must become of a logit 4, and what of a logit -4, so that both "
        "tokens are less likely afterwards?",
        "Make a boolean row of the vocabulary's length first: which tokens occur? `scatter(-1, tokens, "
        "True)` on a row of False sets them, and setting a place twice changes nothing.",
        "`torch.where(condition, a, b)` chooses place by place. You need it twice: by the sign, and by "
        "whether the token occurs.",
    ),
    misconceptions=REPETITION + REPETITION_DETAILS,
    alternatives=ALTERNATIVES,
    equivalents={
        "lowered = torch.where(logits > 0, logits / penalty, logits * penalty)  ⟶  `>` becomes `>=`": (
            "a logit of 0 stays 0, divided or multiplied"
        ),
    },
)
