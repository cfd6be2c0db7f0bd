"""Which token comes next: choices that are pure functions of the logits.

The last dimension of the logits is the vocabulary; leading dimensions are free. A token that is ruled out
gets the logit -inf, which softmax turns into probability 0.

Sources: Fan, Lewis and Dauphin, "Hierarchical Neural Story Generation" (2018), section 5.4 (top-k);
Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), section 3 (top-p, temperature); Nguyen
et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs" (2025), section 3 (min-p);
Keskar et al., "CTRL: A Conditional Transformer Language Model for Controllable Generation" (2019), section
4.1 (the repetition penalty).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmlib.attention import softmax


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


def min_p(logits: Float[Tensor, "*batch vocab_size"], p: float) -> Float[Tensor, "*batch vocab_size"]:
    """Rule out every token that is less than p times as likely as the most likely one.

    Raises:
        ValueError: `p` is not above 0 and at most 1.

    Source: Nguyen et al. (2025), section 3.
    """
    if not 0 < p <= 1:
        raise ValueError(f"min_p must be above 0 and at most 1: got {p!r}")
    # A ratio of probabilities is a difference of logits, so no softmax is needed.
    least = logits.amax(dim=-1, keepdim=True) + math.log(p)
    return logits.masked_fill(logits < least, -torch.inf)


def repetition_penalty(
    logits: Float[Tensor, "*batch vocab_size"], tokens: Int[Tensor, "*batch length"], penalty: float
) -> Float[Tensor, "*batch vocab_size"]:
    """Make each token that already stands in its row of `tokens` less likely: once, however often it stands.

    A positive logit is divided by the penalty, a negative one multiplied: both lower it, if the penalty is
    above 1.

    Raises:
        ValueError: `penalty` is not a positive, finite number.

    Source: Keskar et al. (2019), section 4.1, for the division. The multiplication of negative logits came
    with later implementations: divided, they would grow.
    """
    if not 0 < penalty < math.inf:
        raise ValueError(f"the repetition penalty must be a positive number: got {penalty!r}")
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, tokens, True)
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, lowered, logits)


def gumbel(
    shape: Sequence[int], generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Float[Tensor, "*shape"]:
    """Numbers drawn from Gumbel's distribution, -log(-log u) with u uniform between 0 and 1.

    Source: Maddison, Tarlow and Minka, "A* Sampling" (2014), section 2.
    """
    uniform = torch.rand(shape, generator=generator, device=device)
    uniform.clamp_(min=torch.finfo(uniform.dtype).tiny)  # once in 16 million it is 0, which has no logarithm
    return uniform.log_().neg_().log_().neg_()


def sample(
    logits: Float[Tensor, "*batch vocab_size"],
    generator: torch.Generator | None = None,
    noise: Float[Tensor, "*batch vocab_size"] | None = None,
) -> Int[Tensor, "*batch"]:
    """Draw a token with the probabilities softmax(logits).

    Add to each logit a number of its own from Gumbel's distribution and take the largest: that is such a
    draw. It needs no softmax, and takes half of the time of `torch.multinomial`, which draws exponential
    numbers.

    The draw happens where the generator lives, so a CPU generator serves a model on any device.

    noise: what `gumbel` drew for these logits, where it was drawn before; the generator is then not asked.

    Raises:
        ValueError: the logits of a text (on the CPU) are not numbers, or rule out every token.

    Source: Maddison, Tarlow and Minka (2014), section 2 (the Gumbel-max trick).
    """
    if noise is None:
        where = logits.device if generator is None else generator.device
        noise = gumbel(logits.shape, generator, where)
    largest, drawn = (logits.to(noise.device) + noise).max(dim=-1)
    # A GPU would have to be waited for.
    if largest.is_cpu and not math.isfinite(largest.sum()):
        raise ValueError(
            "no token can be drawn: the logits hold nan or inf, or are all -inf. Look at the model's weights "
            "(training with too large a learning rate makes nan of them) and at what rules tokens out"
        )
    return drawn.to(logits.device)


def next_token(
    logits: Float[Tensor, "*batch vocab_size"],
    heat: float = 1.0,
    k: int | None = None,
    p: float | None = None,
    generator: torch.Generator | None = None,
    *,
    least: float | None = None,
    noise: Float[Tensor, "*batch vocab_size"] | None = None,
) -> Int[Tensor, "*batch"]:
    """Choose one token: at `heat` 0 greedily, else drawn after temperature, top-k, top-p and min-p.

    noise: as for `sample`.

    Raises:
        ValueError: `heat`, `k`, `p` or `least` is outside its range.
    """
    if heat == 0:
        return greedy(logits)
    if heat != 1:
        logits = temperature(logits, heat)
    if k is not None:
        logits = top_k(logits, k)
    if p is not None:
        logits = top_p(logits, p)
    if least is not None:
        logits = min_p(logits, least)
    return sample(logits, generator, noise)
