"""Against learning a text by heart: dropout.

Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014), section
4, with the scaling moved from use to training (section 10).
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def dropout(
    x: Float[Tensor, "*shape"], kept: Bool[Tensor, "*shape"], p: float, training: bool = True
) -> Float[Tensor, "*shape"]:
    """While training, zero where `kept` is False, and x / (1 - p) where it is True. Afterwards, x itself.

    `p` is the probability with which a number was dropped when `kept` was drawn, for example by
    `torch.rand(x.shape, generator=generator) >= p`. The division keeps the mean of each number as it was.

    Raises:
        ValueError: p is not at least 0 and less than 1.

    Source: Srivastava et al. (2014), section 10, with 1 - p for their probability of keeping.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p must be at least 0 and less than 1: got {p!r}")
    return x * kept / (1 - p) if training else x
