"""Cross-entropy: how surprised a model is by the token that came."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

IGNORED = -100  # a target that asks for no prediction, as in PyTorch


def cross_entropy(
    logits: Float[Tensor, "*batch vocab_size"], targets: Int[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """The mean surprise in nats: minus the logarithm of the probability that each target was given.

    The probabilities are the softmax of the logits, and they are never written down: the logarithm of a tiny
    one would be minus infinity. Places whose target is `IGNORED` take no part, neither in the sum nor in the
    number that it is divided by.

    Source: Bishop, *Pattern Recognition and Machine Learning* (2006), equation 4.108.
    """
    highest = logits.amax(dim=-1, keepdim=True)
    log_total = (logits - highest).exp().sum(dim=-1).log() + highest[..., 0]
    asked = targets != IGNORED
    chosen = logits.gather(-1, targets.where(asked, 0)[..., None])[..., 0]
    return (log_total - chosen)[asked].mean()
