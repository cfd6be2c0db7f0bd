"""Texts of different lengths in one batch that goes on writing: the padding goes to the left.

Every text then ends in the last column, where its next token is asked for. Two things have to know of the
padding: the mask, since no token may see it, and the positions, which count from a text's first real token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def left_pad(
    texts: Sequence[Sequence[int]], filler: int
) -> tuple[Int[Tensor, "batch longest"], Bool[Tensor, "batch longest"], Int[Tensor, "batch longest"]]:
    """The texts as one rectangle, each at the right edge, with `filler` on the left of the shorter ones.

    Returns the tokens; what is real, False at padding; and each token's place in its own text, 0 at padding.

    Raises:
        ValueError: there is no text, or one of them is empty.
    """
    if not texts or not all(len(text) for text in texts):
        raise ValueError(f"left_pad needs texts of at least one token: got lengths {[len(t) for t in texts]}")
    lengths = torch.tensor([len(text) for text in texts])
    longest = int(lengths.max())
    tokens = torch.tensor([[filler] * (longest - len(text)) + list(text) for text in texts])
    places = torch.arange(longest) - (longest - lengths)[:, None]
    return tokens, places >= 0, places.clamp(min=0)
