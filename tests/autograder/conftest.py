"""A small exercise of the tests' own, so that the engine is proved independently of the catalogue."""

from __future__ import annotations

import math

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception


def scaled(
    query: Float[Tensor, "*batch query d_k"], key: Float[Tensor, "*batch key d_k"], temperature: float = 1.0
) -> Float[Tensor, "*batch query key"]:
    return query @ key.transpose(-2, -1) / (math.sqrt(query.shape[-1]) * temperature)


def values(generator):
    for dtype in (torch.float32, torch.float64):
        query = torch.randn(2, 3, 4, 5, generator=generator).to(dtype)
        yield Case({"query": query, "key": torch.randn(2, 3, 6, 5, generator=generator).to(dtype)})


def temperatures(generator):
    query, key = torch.randn(4, 5, generator=generator), torch.randn(6, 5, generator=generator)
    yield Case({"query": query, "key": key, "temperature": 0.5})


def gradients(generator):
    query, key = torch.randn(4, 5, generator=generator), torch.randn(6, 5, generator=generator)
    yield Case({"query": query, "key": key}, gradient=True)


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    """No test writes into a learner's progress."""
    monkeypatch.setenv("AUTOGRADER_PROGRESS", str(tmp_path / "progress.jsonl"))


@pytest.fixture
def exercise():
    return Exercise(
        name="attention.scaled",
        number="3.1",
        title="scores",
        minutes=5,
        difficulty=1,
        checks=(
            Check("divides by √d_k", 2, values),
            Check("obeys the temperature", 1, temperatures),
            Check("lets gradients through", 1, gradients),
        ),
        hints=("What grows with d_k?", "Its standard deviation."),
        reference=scaled,
        forbidden=("torch.nn.functional.linear", "aten::einsum"),
        misconceptions=(
            Misconception(
                "no-scale", "the scores are not divided by √d_k", "Compare d_k = 1 and 100.", no_scale
            ),
            Misconception("by-d-k", "the scores are divided by d_k, not √d_k", "Take the root.", by_d_k),
        ),
        alternatives=(Alternative("the query is divided first", query_first),),
    )


def no_scale(query, key, temperature=1.0):
    return query @ key.transpose(-2, -1) / temperature


def by_d_k(query, key, temperature=1.0):
    return query @ key.transpose(-2, -1) / (query.shape[-1] * temperature)


def query_first(query, key, temperature=1.0):
    return (query / query.shape[-1] ** 0.5 / temperature) @ key.mT
