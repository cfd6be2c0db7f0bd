"""Exercise 6.8: inputs that tell a right GPT from wrong ones.

The learner writes shapes and tokens; the weights are drawn here. A probe exposes a wrong GPT if on it that
GPT gives other logits or another shape than the right one, or raises an error where the right one answers, or
answers where the right one raises an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Exercise, Misconception
from autograder.exercises import reading
from autograder.exercises.exposing import Exposing, grouped
from autograder.exercises.gpt.wrong_gpt import EDGES, MISCONCEPTIONS
from autograder.exercises.reading import Unusable
from llmlib.gpt import GPT, GPTConfig

LIMITS = {"vocab_size": 32, "context_length": 16, "d_model": 24, "n_layers": 4, "n_heads": 8}
# Differences count relative to the largest logit; a mutant that is this close is not told from the right one.
EXPOSED = 1e-6

GROUPS = {
    "places": (
        "no-positions",
        "positions-again",
        "last-places",
        "places-from-one",
        "length-from-axis-0",
    ),
    "blocks": (
        "first-block-again",
        "side-by-side",
        "backwards",
        "residual-twice",
        "norm-between",
        "one-head",
    ),
    "head": (
        "norm-first",
        "not-normed",
        "probabilities",
        "last-place-only",
        "last-place-everywhere",
        "scaled-down",
        "always-scaled",
    ),
    "future": ("no-mask", "one-ahead", "first-text-only"),
    "rare": ("zero-is-padding", "last-token-lost", "squeezing"),
    "errors": ("cropping", "from-the-end", "clamping"),
}


@dataclass(frozen=True)
class _Probe:
    """One probe: a shape, and tokens for a model of this shape."""

    config: GPTConfig
    tokens: Tensor

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Large enough that every part of the model counts, and the same for all models."""
        generator = torch.Generator().manual_seed(0)
        model = GPT(self.config, generator=0)
        return {n: 0.5 * torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}

    @cached_property
    def right(self) -> Tensor | None:
        return self._logits(GPT)

    def _logits(self, kind: type[GPT]) -> Tensor | None:
        """What a GPT of this kind answers; None if it raises an error."""
        model = kind(self.config, generator=0).double().eval()
        model.load_state_dict({**self.weights, "head.weight": self.weights["token_embedding.weight"]})
        try:
            return model(self.tokens.clone())
        except (ValueError, IndexError, RuntimeError):
            return None

    def exposes(self, mutant: Misconception) -> bool:
        wrong = self._logits(mutant.answer)  # type: ignore[arg-type]
        if wrong is None or self.right is None:
            return wrong is not self.right
        if wrong.shape != self.right.shape:
            return True
        size = float(self.right.abs().max())
        return float((wrong - self.right).abs().max()) > EXPOSED * size


def _read(name: str, probe: Any) -> _Probe:
    given = reading.fields(name, probe, (*LIMITS, "tokens"))
    shape = {key: given[key] for key in LIMITS}
    for key, size in shape.items():
        if type(size) is not int or not 1 <= size <= LIMITS[key]:
            raise Unusable(f"the {key} of {name} should be a whole number from 1 to {LIMITS[key]}")
    try:
        config = GPTConfig(**shape)
    except ValueError as problem:
        raise Unusable(f"the shape of {name} is that of no GPT: {problem}") from None
    tokens = reading.rows(
        f"the tokens of {name}", given["tokens"], most=64, axes="(batch, length)", of="texts", whole=True
    )
    return _Probe(config, tokens)


def _all_refused(probes: list[_Probe]) -> str | None:
    if all(probe.right is None for probe in probes):
        return "on every probe the right GPT raises an error: write at least one that it can answer"
    return None


EXPOSING = Exposing(
    mutants=grouped((*MISCONCEPTIONS, *EDGES), GROUPS),
    read=_read,
    exposes=_Probe.exposes,
    most=12,
    made_of="plain lists and dicts",
    nothing="no wrong GPT is exposed yet: on these probes they all answer like the right one",
    unfit=_all_refused,
)


# --- Right answers


def _probe(tokens: Any, *shape: int) -> dict[str, Any]:
    return {**dict(zip(LIMITS, shape, strict=True)), "tokens": tokens}


def _one_for_each_question() -> list[dict[str, Any]]:
    return [
        _probe([[3, 1, 4, 1], [2, 6, 5, 3]], 8, 6, 8, 3, 2),
        _probe([[0, 7, 0, 7, 2]], 8, 6, 8, 2, 2),
        _probe([[1, 2, 3, 4]], 8, 3, 8, 1, 2),
        _probe([[1, -1]], 8, 3, 8, 1, 2),
        _probe([[1, 8]], 8, 3, 8, 1, 2),
    ]


def _one_that_holds_all_and_the_errors() -> list[dict[str, Any]]:
    return [
        _probe([[0, 5, 2], [5, 0, 1]], 6, 4, 12, 4, 3),
        _probe([[1, 2, 3]], 6, 2, 4, 1, 1),
        _probe([[-6]], 6, 2, 4, 1, 1),
        _probe([[6]], 6, 2, 4, 1, 1),
        _probe([[4]], 6, 2, 4, 1, 1),
    ]


def _drawn() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 4, (5, 7), generator=generator)
    tokens[0, :4] = torch.arange(4)
    too_long = torch.zeros(2, 9, dtype=torch.long)
    outside = torch.tensor([[0, 1], [-2, 3]])
    beyond = torch.tensor([[3], [4]])
    return [
        _probe(tokens, 4, 8, 6, 2, 3),
        _probe(tokens[:1], 4, 8, 6, 2, 3),
        *(_probe(tokens, 4, 8, 6, 2, 3) for tokens in (too_long, outside, beyond)),
    ]


EXERCISE = Exercise(
    name="gpt.expose_mutants",
    number="6.8",
    title="Kill the mutants: find the inputs that expose wrong models",
    kind="mutants",
    answer_name="probes",
    minutes=15,
    difficulty=3,
    checks=(
        EXPOSING.first("is a list of probes that exposes something"),
        EXPOSING.all_of("places", "exposes positions that are missing, repeated or shifted"),
        EXPOSING.all_of("blocks", "exposes blocks that are left out, mixed up or merged"),
        EXPOSING.all_of("head", "exposes what is wrong before the first block and after the last"),
        EXPOSING.all_of("future", "exposes looks into the future and into other texts"),
        EXPOSING.all_of("rare", "exposes what only a rare token or a single text shows"),
        EXPOSING.all_of("errors", "exposes a missing refusal"),
    ),
    hints=(
        "Which mistakes stay invisible in a model with one block, and which in a text with one token?",
        "A text that fills the context hides where the places begin. A batch whose size equals the length "
        "hides which axis was read. Let the sizes differ.",
        "The right model refuses some inputs. A wrong one may answer them: a text that is too long, a token "
        "below the first, a token beyond the last. Give each its own probe.",
    ),
    alternatives=(
        Alternative("one probe for each question", _one_for_each_question),
        Alternative("one that holds everything, and the errors", _one_that_holds_all_and_the_errors),
        Alternative("drawn tokens", _drawn),
    ),
)
