"""Exercise 6.8: inputs that tell a right GPT from wrong ones.

The learner writes shapes and tokens; the weights are drawn here. A probe exposes a wrong GPT if on it that
GPT gives other logits or another shape than the right one, or raises an error where the right one answers, or
answers where the right one raises an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Check, Exercise, Misconception
from autograder.exercises.gpt.wrong_gpt import EDGES, MISCONCEPTIONS
from llmlib.gpt import GPT, GPTConfig

MOST_PROBES, MOST_TOKENS = 12, 64
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
MUTANTS = {m.id: m for m in (*MISCONCEPTIONS, *EDGES) if any(m.id in ids for ids in GROUPS.values())}


class Unusable(ValueError):
    """The learner's list, or a probe in it, cannot be used; the message says why."""


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


def _read(probes: Any) -> list[_Probe]:
    """The learner's list as probes.

    Raises:
        Unusable: with a sentence for the learner.
    """
    if not isinstance(probes, list | tuple):
        raise Unusable(f"`probes` should be a list of dicts, but it is {_kind(probes)}")
    if not probes:
        raise Unusable("the list is empty: write at least one probe")
    if len(probes) > MOST_PROBES:
        raise Unusable(f"at most {MOST_PROBES} probes, please: there are {len(probes)}")
    return [_read_one(f"`probes[{place}]`", probe) for place, probe in enumerate(probes)]


def _read_one(name: str, probe: Any) -> _Probe:
    names = (*LIMITS, "tokens")
    if not isinstance(probe, dict):
        raise Unusable(f"{name} should be a dict with {', '.join(names)}: it is {_kind(probe)}")
    if unknown := [key for key in probe if key not in names]:
        raise Unusable(f"{name} has an unknown key {str(unknown[0])[:40]!r}: use {', '.join(names)}")
    if missing := [key for key in names if key not in probe]:
        raise Unusable(f"{name} has no {missing[0]!r}")
    shape = {key: probe[key] for key in LIMITS}
    for key, size in shape.items():
        if type(size) is not int or not 1 <= size <= LIMITS[key]:
            raise Unusable(f"the {key} of {name} should be a whole number from 1 to {LIMITS[key]}")
    try:
        config = GPTConfig(**shape)
    except ValueError as problem:
        raise Unusable(f"the shape of {name} is that of no GPT: {problem}") from None
    return _Probe(config, _read_tokens(f"the tokens of {name}", probe["tokens"]))


def _read_tokens(name: str, tokens: Any) -> Tensor:
    if isinstance(tokens, list | tuple):
        try:
            tokens = torch.tensor(tokens)
        except (TypeError, ValueError, RuntimeError):
            raise Unusable(f"{name} should be texts of equal length, each a list of whole numbers") from None
    if not isinstance(tokens, Tensor) or tokens.layout is not torch.strided or tokens.device.type == "meta":
        raise Unusable(f"{name} should be a list of texts or a tensor: they are {_kind(tokens)}")
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise Unusable(f"{name} should be whole numbers: they are of {tokens.dtype}")
    if tokens.dim() != 2 or not 1 <= tokens.numel() <= MOST_TOKENS:
        raise Unusable(
            f"{name} should have the shape (batch, length) and at most {MOST_TOKENS} numbers: their shape is "
            f"{tuple(tokens.shape)}"
        )
    return tokens.detach().as_subclass(Tensor).cpu().long()


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"


def _judge(judgement: Callable[[list[_Probe]], str | None]) -> Callable[[Any, torch.Generator], str | None]:
    def judge(probes: Any, generator: torch.Generator) -> str | None:
        try:
            usable = _read(probes)
        except Unusable as problem:
            return str(problem)
        except Exception as problem:  # an object that only pretends to be a list, a dict or a tensor
            return f"the probes cannot be read ({type(problem).__name__}): use plain lists and dicts"
        with torch.no_grad():
            return judgement(usable)

    return judge


def _useful(probes: list[_Probe]) -> str | None:
    if all(probe.right is None for probe in probes):
        return "on every probe the right GPT raises an error: write at least one that it can answer"
    if not any(probe.exposes(mutant) for probe in probes for mutant in MUTANTS.values()):
        return "no wrong GPT is exposed yet: on these probes they all answer like the right one"
    return None


def _exposes(group: str) -> Callable[[Any, torch.Generator], str | None]:
    mutants = [MUTANTS[id] for id in GROUPS[group]]

    def judgement(probes: list[_Probe]) -> str | None:
        alive = [m for m in mutants if not any(probe.exposes(m) for probe in probes)]
        if not alive:
            return None
        titles = "; ".join(f"“{m.title}”" for m in alive)
        return f"{len(mutants) - len(alive)} of {len(mutants)} exposed; not yet: {titles}"

    return _judge(judgement)


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
        Check("is a list of probes that exposes something", 1, judge=_judge(_useful)),
        Check("exposes positions that are missing, repeated or shifted", 1, judge=_exposes("places")),
        Check("exposes blocks that are left out, mixed up or merged", 1, judge=_exposes("blocks")),
        Check("exposes what is wrong before the first block and after the last", 1, judge=_exposes("head")),
        Check("exposes looks into the future and into other texts", 1, judge=_exposes("future")),
        Check("exposes what only a rare token or a single text shows", 1, judge=_exposes("rare")),
        Check("exposes a missing refusal", 1, judge=_exposes("errors")),
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
