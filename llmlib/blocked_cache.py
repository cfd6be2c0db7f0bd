"""The cache for many texts at once on a CPU: places in blocks, so that what is read lies side by side.

In `KeyValueCache` each head of each text has a stretch of memory of its own, and what is still free of it
parts it from the next. For every new token a processor reads all stretches. It fetches ahead only what
follows, so at the beginning of each it waits: for 16 texts of 4 heads that is 128 waits a layer.

Here the first block of places comes first, of all heads of all texts, then the second block. What is filled
is one stretch of keys and one of values. The blocks are the batch of a batched product, and one softmax goes
over all blocks of a head.

Source: Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention"
(2023), section 4.1, for attention over blocks of keys and values.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmlib.cache import KeyValueCache

BLOCK = 32  # places: smaller blocks make many small products, larger ones leave more of the last one unused
FEWEST_HEADS = 16  # of all texts together: with fewer, the waits are too few to matter


class BlockedCache(KeyValueCache):
    """A `KeyValueCache` with its memory cut into blocks of places, and attention for one new token a text."""

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
        blocks = -(-capacity // BLOCK)
        super().__init__(n_layers, batch, n_heads, blocks * BLOCK, d_head, dtype=dtype, device=device)
        self.capacity = capacity
        self.memory = self.memory.view(n_layers, 2, blocks, batch, n_heads, BLOCK, d_head)
        # What is added to the scores: 0 at places that are filled and no padding, -inf at all others.
        self.hidden = self.memory.new_full((blocks, batch, n_heads, 1, BLOCK), -math.inf)
        self._columns = torch.arange(blocks * BLOCK, device=device).view(blocks, 1, 1, 1, BLOCK)
        self._blocks = 0  # how many blocks the views below show
        self._filled: list[tuple[Tensor, Tensor]] = []
        self._added = self.hidden
        self._free: tuple[Tensor, ...] = ()

    def write(
        self, layer: int, new: Float[Tensor, "2 batch n_heads new d_head"]
    ) -> tuple[Float[Tensor, "batch n_heads length d_head"], Float[Tensor, "batch n_heads length d_head"]]:
        """As in `KeyValueCache`, for a piece of any length. What comes back is a copy."""
        self.require_room(new.shape[-2])
        end = self.length + new.shape[-2]
        for begin in range(self.length - self.length % BLOCK, end, BLOCK):  # each block that it falls into
            first, last = max(begin, self.length), min(begin + BLOCK, end)
            part = new[..., first - self.length : last - self.length, :]
            self.memory[layer, :, begin // BLOCK, :, :, first - begin : last - begin] = part
        filled = self.memory[layer, :, : -(-end // BLOCK)].permute(0, 2, 3, 1, 4, 5).flatten(3, 4)
        keys, values = filled[..., :end, :].unbind()
        return keys, values

    def attend(
        self, layer: int, projected: Float[Tensor, "3 batch n_heads 1 d_head"]
    ) -> Float[Tensor, "batch d_model"]:
        """Write each text's new key and value; what its new query finds, the heads side by side.

        Raises:
            ValueError: there is no room for them.
        """
        _, batch, n_heads, _, d_head = projected.shape
        if self._place != (self.length, 1):
            self._look()
        self._free[layer].copy_(projected[1:, :, :, 0])
        keys, values = self._filled[layer]
        query = projected[0].expand(self._blocks, -1, -1, -1, -1).reshape(-1, 1, d_head)
        scores = torch.baddbmm(self._added, query, keys, alpha=1 / math.sqrt(d_head))
        by_head = scores.view(self._blocks, batch * n_heads, BLOCK).transpose(0, 1)
        weights = by_head.flatten(1).softmax(-1).view(by_head.shape).transpose(0, 1)
        heads = torch.bmm(weights.reshape(-1, 1, BLOCK), values)
        return heads.view(self._blocks, batch, n_heads * d_head).sum(0)

    def advance(self, new: int) -> None:
        """Every layer has written `new` positions; from now on they are seen."""
        if self._place != (self.length, new):  # else `_look` has shown the only one
            written = (self._columns >= self.length) & (self._columns < self.length + new)
            self.hidden.masked_fill_(written, 0)
        super().advance(new)

    def hide(self, padding: Int[Tensor, " batch"]) -> None:
        """No query sees the places of padding with which each text begins."""
        self.hidden.masked_fill_(self._columns < padding[:, None, None, None], -math.inf)

    def clear(self) -> None:
        """Forget the text; the memory stays."""
        super().clear()
        self._place = None
        self.hidden.fill_(-math.inf)

    def _look(self) -> None:
        """The views for one more place: all layers write at the same, so they are made for the first."""
        self.require_room(1)
        block, place = divmod(self.length, BLOCK)
        if self._blocks != block + 1:
            self._blocks = block + 1
            # (n_layers, 2, blocks · batch · n_heads, BLOCK, d_head)
            filled = self.memory[:, :, : block + 1].flatten(2, 4)
            self._filled = [(keys.mT, values) for keys, values in filled.unbind()]
            self._added = self.hidden[: block + 1].flatten(0, 2)
        self._free = self.memory[:, :, block, :, :, place].unbind()
        self.hidden[block, ..., place] = 0  # the new query sees its own key
        self._place = self.length, 1
