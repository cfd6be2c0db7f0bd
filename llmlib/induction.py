"""Induction: a model that continues a pattern because it has seen it before, and the heads that do it.

The task is a sequence of random tokens, given twice. The first time nothing can be known; the second time
everything, but only to a model that finds the previous occurrence of a token and reads what came after it.

Sources: Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021); Olsson et al.,
"In-context Learning and Induction Heads" (2022).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmlib.attention import MultiHeadAttention, causal_mask
from llmlib.embedding import LearnedPositions, TokenEmbedding
from llmlib.heads import head_weights


def repeated_sequences(
    batch: int, period: int, vocab_size: int, generator: torch.Generator, repeats: int = 2
) -> Int[Tensor, "batch repeats*period"]:
    """Random tokens, `period` of them in each row, the same ones again and again.

    Raises:
        ValueError: `period` or `repeats` is not positive.
    """
    if period < 1 or repeats < 1:
        raise ValueError(f"period and repeats must be at least 1: got {period} and {repeats}")
    once = torch.randint(vocab_size, (batch, period), generator=generator)
    return once.repeat(1, repeats)


def induction_score(
    weights: Float[Tensor, "batch n_heads length length"], period: int
) -> Float[Tensor, " n_heads"]:
    """How much each head attends to the token after the previous occurrence, on average, from 0 to 1.

    `weights` are the attention weights, (…, query, key), on a sequence that repeats after `period` tokens.
    Only queries whose token has occurred before count.

    Raises:
        ValueError: `period` is not between 1 and length - 1, so that no token has occurred before.

    Source: Olsson et al. (2022), the "prefix matching score".
    """
    length = weights.shape[-1]
    if not 1 <= period < length:
        raise ValueError(f"period must lie between 1 and length - 1 = {length - 1}: got {period}")
    queries = torch.arange(period, length, device=weights.device)
    after_the_previous = queries - period + 1
    return weights[:, :, queries, after_the_previous].mean(dim=(0, 2))


class AttentionOnly(nn.Module):
    """A language model of attention layers and nothing else: each layer's output is added to its input.

    attention: makes a layer from (d_model, n_heads, bias=…): our own, or the reader's.

    Source: Elhage et al. (2021), the attention-only models.
    """

    def __init__(
        self,
        vocab_size: int,
        context_length: int,
        *,
        d_model: int = 64,
        n_heads: int = 4,
        n_layers: int = 2,
        attention: Callable[..., nn.Module] = MultiHeadAttention,
    ) -> None:
        super().__init__()
        self.tokens = TokenEmbedding(vocab_size, d_model)
        self.positions = LearnedPositions(context_length, d_model)
        self.layers = nn.ModuleList(attention(d_model, n_heads, bias=False) for _ in range(n_layers))
        self.logits = nn.Linear(d_model, vocab_size, bias=False)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        x = self.tokens(tokens) + self.positions(tokens.shape[1])
        for layer in self.layers:
            x = x + layer(x, is_causal=True)
        return self.logits(x)

    @torch.no_grad()
    def weights(
        self, tokens: Int[Tensor, "batch length"]
    ) -> list[Float[Tensor, "batch n_heads length length"]]:
        """Where each head of each layer looks, the first layer first."""
        x = self.tokens(tokens) + self.positions(tokens.shape[1])
        past = causal_mask(tokens.shape[1]).to(tokens.device)
        maps = []
        for layer in self.layers:
            # Ours, or the reader's own, which has the same parts.
            maps.append(head_weights(cast(MultiHeadAttention, layer), x, past))
            x = x + layer(x, is_causal=True)
        return maps


def accuracy_on_repeats(model: nn.Module, tokens: Int[Tensor, "batch length"], period: int) -> float:
    """How often the most likely next token is the right one, where the sequence repeats itself."""
    with torch.no_grad():
        guesses = model(tokens[:, :-1])[:, period:].argmax(dim=-1)
    return float((guesses == tokens[:, period + 1 :]).float().mean())


def train_on_repeats(
    model: nn.Module,
    vocab_size: int,
    generator: torch.Generator,
    *,
    periods: tuple[int, int] = (4, 20),
    steps: int = 800,
    batch: int = 32,
    learning_rate: float = 3e-3,
) -> list[float]:
    """Train a model on repeated sequences; returns the loss at each step, in nats per token.

    Every step draws its period between the two of `periods`. If the period were always the same, a head
    could find the previous occurrence by counting places, without looking at the tokens.
    Only predictions within the repetition count: the first time the tokens are chance.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.98))
    losses = []
    for _ in range(steps):
        low, high = periods
        period = int(torch.randint(low, high + 1, (), generator=generator))
        tokens = repeated_sequences(batch, period, vocab_size, generator)
        logits = model(tokens[:, :-1])[:, period:]
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, period + 1 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
