"""From logits to text: which token comes next, and the loop that writes one after the other.

Every choice is a pure function of the logits, whose last dimension is the vocabulary; leading dimensions
are free. A token that is ruled out gets the logit -inf, which softmax turns into probability 0.

Sources: Fan, Lewis and Dauphin, "Hierarchical Neural Story Generation" (2018), section 5.4 (top-k);
Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), section 3 (top-p, temperature).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmlib.attention import softmax
from llmlib.gpt import GPT


def greedy(logits: Float[Tensor, "*batch vocab_size"]) -> Int[Tensor, "*batch"]:
    """The most likely token."""
    return logits.argmax(dim=-1)


def temperature(
    logits: Float[Tensor, "*batch vocab_size"], value: float
) -> Float[Tensor, "*batch vocab_size"]:
    """Divide the logits: below 1 the likely tokens become likelier, above 1 all become more alike.

    Raises:
        ValueError: `value` is not a positive, finite number.

    Source: Holtzman et al. (2020), section 3.3.
    """
    if not 0 < value < math.inf:
        raise ValueError(f"temperature must be a positive number: got {value!r}")
    return logits / value


def top_k(logits: Float[Tensor, "*batch vocab_size"], k: int) -> Float[Tensor, "*batch vocab_size"]:
    """Rule out all but the k most likely tokens. Tokens as likely as the k-th stay too.

    Raises:
        ValueError: `k` is less than 1.

    Source: Fan, Lewis and Dauphin (2018), section 5.4.
    """
    if k < 1:
        raise ValueError(f"top_k must keep at least 1 token: got {k!r}")
    k = min(k, logits.shape[-1])
    kth_largest = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < kth_largest, -torch.inf)


def top_p(logits: Float[Tensor, "*batch vocab_size"], p: float) -> Float[Tensor, "*batch vocab_size"]:
    """Keep the fewest tokens, the most likely first, whose probabilities reach p; rule out the others.

    The most likely token always stays.

    Raises:
        ValueError: `p` is not above 0 and at most 1.

    Source: Holtzman et al. (2020), equation 2.
    """
    if not 0 < p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1: got {p!r}")
    if p == 1:
        return logits  # The sum below, rounded, may reach 1 before the last tokens.
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = softmax(ordered)
    reached_before = probabilities.cumsum(dim=-1) - probabilities
    ordered = ordered.masked_fill(reached_before >= p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, order, ordered)


def sample(
    logits: Float[Tensor, "*batch vocab_size"], generator: torch.Generator | None = None
) -> Int[Tensor, "*batch"]:
    """Draw a token with the probabilities softmax(logits).

    The draw happens where the generator lives, so a CPU generator serves a model on any device.
    """
    probabilities = softmax(logits).flatten(0, -2) if logits.dim() > 1 else softmax(logits)
    where = logits.device if generator is None else generator.device
    drawn = torch.multinomial(probabilities.to(where), num_samples=1, generator=generator)
    return drawn.to(logits.device).reshape(logits.shape[:-1])


def next_token(
    logits: Float[Tensor, "*batch vocab_size"],
    heat: float = 1.0,
    k: int | None = None,
    p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "*batch"]:
    """Choose one token: greedily at `heat` 0, else drawn after temperature, top-k and top-p, in this order.

    Raises:
        ValueError: `heat`, `k` or `p` is outside its range.
    """
    if heat == 0:
        return greedy(logits)
    logits = temperature(logits, heat)
    if k is not None:
        logits = top_k(logits, k)
    if p is not None:
        logits = top_p(logits, p)
    return sample(logits, generator)


@torch.no_grad()
def generate(
    model: GPT,
    tokens: Int[Tensor, "batch length"],
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch longer"]:
    """Continue each sequence by `max_new_tokens` tokens, each chosen from what the model says so far.

    The model sees the last `model.config.context_length` tokens. `temperature=0` is greedy. The
    model runs without dropout and is left in the mode (training or not) in which it came.

    Raises:
        ValueError: there is no token to start from, `max_new_tokens` is negative, or a setting is outside
            its range.
    """
    if tokens.dim() != 2 or tokens.shape[1] == 0:
        raise ValueError(
            f"tokens must have the shape (batch, length) with at least one token: got {tuple(tokens.shape)}"
        )
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must not be negative: got {max_new_tokens!r}")
    was_training = model.training
    model.eval()
    try:
        for _ in range(max_new_tokens):
            logits = model(tokens[:, -model.config.context_length :])[:, -1]
            chosen = next_token(logits, temperature, top_k, top_p, generator)
            tokens = torch.cat([tokens, chosen[:, None]], dim=1)
    finally:
        model.train(was_training)
    return tokens
