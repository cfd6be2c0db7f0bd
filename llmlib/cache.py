"""Keys and values that are computed once: what attention remembers of a text while it grows.

A token's key and value depend on that token and on what came before it. Under a causal mask nothing that
comes later changes them, so they need not be computed again: the new token's query is all that asks anew.

Source: Shazeer, "Fast Transformer Decoding: One Write-Head is All You Need" (2019), section 2.4.1.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from llmlib.attention import causal_mask, scaled_dot_product_attention


def cached_mask(past: int, new: int) -> Bool[Tensor, "new past_and_new"]:
    """The causal mask of `new` queries at the end of a text, behind `past` positions that are in the cache.

    These are the last rows of the whole text's causal mask.
    """
    return causal_mask(past + new)[past:]


def attend_with_cache(
    query: Float[Tensor, "*batch new d_k"],
    key: Float[Tensor, "*batch new d_k"],
    value: Float[Tensor, "*batch new d_v"],
    past_key: Float[Tensor, "*batch past d_k"],
    past_value: Float[Tensor, "*batch past d_v"],
) -> tuple[
    Float[Tensor, "*batch new d_v"],
    Float[Tensor, "*batch past_and_new d_k"],
    Float[Tensor, "*batch past_and_new d_v"],
]:
    """Causal attention for the new positions of a text whose past is already in the cache.

    Returns the outputs of the new positions, and the grown cache: all keys and all values, the past first.

    Source: Shazeer (2019), section 2.4.1.
    """
    keys = torch.cat([past_key, key], dim=-2)
    values = torch.cat([past_value, value], dim=-2)
    mask = cached_mask(past_key.shape[-2], key.shape[-2]).to(query.device)
    return scaled_dot_product_attention(query, keys, values, mask), keys, values


class KeyValueCache:
    """The keys and values of all layers, in memory that is taken once, for a text of up to `capacity` tokens.

    Growing by `torch.cat` copies the whole past for every new token. Here the new keys and values are written
    behind those of the past, and what is read are views.

    length: how many positions are filled. It is the same for all layers, except while the model reads.
    """

    def __init__(
        self,
        n_layers: int,
        batch: int,
        n_heads: int,
        capacity: int,
        d_head: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (n_layers, 2, batch, n_heads, capacity, d_head)
        self.memory = torch.zeros(shape, dtype=dtype, device=device)
        self.capacity = capacity
        self.length = 0
        self._place: tuple[int, int] | None = None  # where the views in `_kept` are
        self._kept: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] = (), ()

    @property
    def bytes(self) -> int:
        """The memory that it takes, filled or not."""
        return self.memory.numel() * self.memory.element_size()

    def write(
        self, layer: int, new: Float[Tensor, "2 batch n_heads new d_head"]
    ) -> tuple[Float[Tensor, "batch n_heads length d_head"], Float[Tensor, "batch n_heads length d_head"]]:
        """Put a layer's new keys and values behind its past; all keys and all values come back.

        The length stays as it is until `advance`, so that every layer writes at the same place.

        Raises:
            ValueError: there is no room for them.
        """
        filled, free = self._views(new.shape[-2])
        free[layer].copy_(new)
        return filled[2 * layer], filled[2 * layer + 1]

    def _views(self, new: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The memory up to and with `new` positions (keys of a layer, its values, keys of the next, ...), and
        for each layer that of these positions alone.

        All layers write at the same place, so the views are made for the first and kept for the others.
        """
        if (self.length, new) != self._place:
            self.require_room(new)
            filled = self.memory.flatten(0, 1).narrow(-2, 0, self.length + new)
            self._kept = filled.unbind(), self.memory.narrow(-2, self.length, new).unbind()
            self._place = self.length, new
        return self._kept

    def require_room(self, new: int) -> None:
        """
        Raises:
            ValueError: there is no room for `new` more positions.
        """
        if self.length + new > self.capacity:
            raise ValueError(
                f"the cache holds {self.capacity} positions, and {self.length} are filled: got {new} more. "
                "Clear it and read the last part of the text anew"
            )

    def advance(self, new: int) -> None:
        """Every layer has written `new` positions."""
        self.length += new

    def clear(self) -> None:
        """Forget the text; the memory stays."""
        self.length = 0
