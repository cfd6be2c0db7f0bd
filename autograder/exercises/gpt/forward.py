"""Exercise 6.3: a GPT from its parts."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from autograder.exercise import Alternative, Case, Check, Exercise
from autograder.exercises import probes
from autograder.exercises.gpt.wrong_gpt import MISCONCEPTIONS
from llmlib.attention import causal_mask
from llmlib.gpt import GPT, GPTConfig

TINY = {"vocab_size": 11, "context_length": 7, "d_model": 6, "n_layers": 2, "n_heads": 2, "d_ff": 5}


def _case(
    g: torch.Generator,
    batch: int,
    length: int,
    *,
    dtype: torch.dtype = torch.float32,
    gradient: bool = False,
    training: bool = False,
    **changes: Any,
) -> Case:
    config = GPTConfig(**{**TINY, **changes})
    weights = probes.weights(GPT(config, generator=0), g)
    tokens = torch.randint(0, config.vocab_size, (batch, length), generator=g)
    return Case(
        {"tokens": tokens},
        construct={"config": config},
        weights={name: weight.to(dtype) for name, weight in weights.items()},
        gradient=gradient,
        training=training,
    )


# --- Probes: one block and one token hide what stands between blocks and tokens; then they come in.


def _one_token(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 1, n_layers=1)
    yield _case(g, 1, 1, n_layers=1, tie_weights=False)


def _many_blocks(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 1, n_layers=3)
    yield _case(g, 2, 1)


def _many_tokens(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 5)
    yield _case(g, 3, 7, n_layers=1, tie_weights=False)


def _waves(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 5, positions="sinusoidal")
    yield _case(g, 1, 7, positions="sinusoidal", n_layers=1)


def _training(g: torch.Generator) -> Iterator[Case]:
    # All of the stream is dropped, but for one number in a thousand millions: the head reads a norm of zeros.
    yield _case(g, 2, 3, training=True, dropout=1 - 1e-9)
    yield _case(g, 1, 4, training=True, dropout=1 - 1e-9, positions="sinusoidal", n_layers=1)


def _gradients(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 4, dtype=torch.float64, gradient=True)
    yield _case(g, 2, 3, dtype=torch.float64, gradient=True, tie_weights=False, bias=False)


# --- Right answers in another form


class ByHand(GPT):
    """Lookups as indexing, and the mask handed over instead of asked for."""

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        x = self.token_embedding.weight[tokens]
        if self.config.positions == "learned":
            x = x + self.positions.weight[torch.arange(length, device=tokens.device)]
        else:
            x = self.config.d_model**0.5 * x + self.position_table[:length]
        mask = causal_mask(length).to(tokens.device)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask)
        return F.linear(self.norm(x), self.head.weight)


class OneHot(GPT):
    """A lookup is a product with one-hot vectors, and the blocks are one composed function."""

    def forward(self, tokens: Tensor) -> Tensor:
        table = self.token_embedding.weight
        x = F.one_hot(tokens, len(table)).to(table.dtype) @ table
        if self.config.positions == "learned":
            x = x + self.positions(tokens.shape[1])
        else:
            x = x * math.sqrt(table.shape[1]) + self.position_table[: tokens.shape[1]]
        x = functools.reduce(lambda x, block: block(x, is_causal=True), self.blocks, self.dropout(x))
        return self.norm(x) @ self.head.weight.T


class TextByText(GPT):
    """Each text of the batch alone."""

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat([self._one(text) for text in tokens.split(1)])

    def _one(self, text: Tensor) -> Tensor:
        x = F.embedding(text, self.token_embedding.weight)
        if self.config.positions == "learned":
            places = torch.arange(text.shape[1], device=text.device)
            x = x + F.embedding(places, self.positions.weight)
        else:
            x = x * math.sqrt(x.shape[-1]) + self.position_table[: text.shape[1]]
        x = F.dropout(x, self.config.dropout, self.training)
        for i in range(len(self.blocks)):
            x = self.blocks[i](x, is_causal=True)
        return self.head(self.norm(x))


class PlaceByPlace(GPT):
    """For each place the text up to it, and of the result the last row: slow, and right."""

    def forward(self, tokens: Tensor) -> Tensor:
        rows = [self._last(tokens[:, : i + 1]) for i in range(tokens.shape[1])]
        return torch.stack(rows, dim=1)

    def _last(self, tokens: Tensor) -> Tensor:
        x = self.token_embedding(tokens)
        if self.config.positions == "learned":
            x = x + self.positions(tokens.shape[1])
        else:
            x = x * math.sqrt(self.config.d_model) + self.position_table[: tokens.shape[1]]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.head(self.norm(x[:, -1]))


ALTERNATIVES = (
    Alternative("lookups as indexing, the mask made by hand", ByHand),
    Alternative("one-hot vectors, the blocks composed", OneHot),
    Alternative("each text of the batch alone", TextByText),
    Alternative("each place from the text up to it", PlaceByPlace),
)

ONE = "takes one token through one block to its logits"
BLOCKS = "lets the blocks work one after the other"
TOKENS = "keeps the places of a text apart and hides the future"

EXERCISE = Exercise(
    name="gpt.GPT.forward",
    number="6.3",
    title="The whole model",
    minutes=15,
    difficulty=2,
    reference=GPT,
    checks=(
        Check(ONE, 1, _one_token),
        Check(BLOCKS, 1, _many_blocks),
        Check(TOKENS, 2, _many_tokens, after=(ONE, BLOCKS)),
        Check("takes sinusoidal positions too", 1, _waves, after=(TOKENS,)),
        Check("drops parts of the stream while training", 1, _training, after=(TOKENS,)),
        Check("lets a gradient reach every weight", 1, _gradients, after=(TOKENS,)),
    ),
    hints=(
        "Follow the diagram from top to bottom: each box is an attribute that `__init__` has made. What does "
        "each of them take?",
        "Six lines are enough: the tokens' vectors, the positions added, the dropout, a loop over the "
        "blocks, the norm and the head. Look up what a block needs in order to hide the future.",
        "`self.positions` takes a length, `self.blocks` is a list to loop over, and every block gives back "
        "the stream for the next. Only after the last block comes `self.norm`.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
