"""A GPT that reads a text piece by piece and remembers what it has read.

The weights and the logits are those of `GPT`; what is read once is not computed again. The prompt is read in
one piece (the prefill), and then one token at a time.

Where a token stands is decided in one place, `CachedGPT.places`. It counts from the beginning of the text, so
when the context is full and the window slides, *every* token moves: all keys and values are out of date. Then
the window has to be read anew (`clear`, and `read` the last tokens); `llmlib.generation` does so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from llmlib.attention import MultiHeadAttention, scaled_dot_product_attention
from llmlib.cache import KeyValueCache, cached_mask
from llmlib.embedding import TokenEmbedding
from llmlib.feedforward import FeedForward, gelu
from llmlib.gpt import GPT
from llmlib.normalization import LayerNorm
from llmlib.transformer import TransformerBlock

Function = Callable[[Tensor], Tensor]
Product = Callable[..., Tensor]  # takes `out` as well, as PyTorch's do


@dataclass(frozen=True)
class _Projected:
    """Memory for the new queries, keys and values, side by side, and two views of it."""

    memory: Float[Tensor, "batch_and_new three_d_model"]
    query: Float[Tensor, "batch n_heads new d_head"]
    key_and_value: Float[Tensor, "2 batch n_heads new d_head"]


@dataclass(frozen=True)
class _Block:
    """A block's parts as functions; `projections` is query, key and value side by side."""

    attention_norm: Function
    projections: Product
    output: Function
    feedforward_norm: Function
    feedforward: Function


class CachedGPT:
    """The logits of a GPT for a batch of texts that grow, without dropout and without gradients.

    The weights are taken as they are when this is made: after more training, make a new one.

    Raises:
        ValueError: the model's class has a `forward` of its own, or positions of an unknown kind.
    """

    def __init__(self, model: GPT, batch: int) -> None:
        config, weight = model.config, model.head.weight
        if type(model).forward is not GPT.forward:
            raise ValueError(
                f"the cache follows GPT.forward, and {type(model).__name__} has a forward of its own. "
                "Generate without the cache"
            )
        if config.positions not in ("learned", "sinusoidal"):
            raise ValueError(
                f"the cache knows learned and sinusoidal positions: got {config.positions!r}. "
                "Generate without the cache"
            )
        self.n_heads, self.d_head = config.n_heads, config.d_model // config.n_heads
        self.embed = _lookup_of(model.token_embedding)
        self.table = model.positions.weight if config.positions == "learned" else model.position_table
        self.scale = 1.0 if config.positions == "learned" else math.sqrt(config.d_model)
        self.attend = F.scaled_dot_product_attention if config.fused else scaled_dot_product_attention
        with torch.no_grad():
            self.blocks = [_functions_of(block) for block in model.blocks]  # type: ignore[arg-type]
        self.norm, self.head = _function_of(model.norm), _function_of(model.head)
        self.cache = KeyValueCache(
            config.n_layers,
            batch,
            self.n_heads,
            config.context_length,
            self.d_head,
            dtype=weight.dtype,
            device=weight.device,
        )
        self.batch = batch
        # For a single token of each text, taken once for all layers and tokens: views cost time as well.
        self._single = self._memory_for(1)
        self.padding: Int[Tensor, " batch"] | None = None  # how many places of padding each text begins with

    @property
    def length(self) -> int:
        """How many positions have been read, padding included."""
        return self.cache.length

    def clear(self) -> None:
        """Forget the text."""
        self.cache.clear()
        self.padding = None

    @torch.no_grad()
    def read(
        self,
        tokens: Int[Tensor, "batch new"],
        real: Bool[Tensor, "batch new"] | None = None,
        *,
        last: bool = False,
    ) -> Float[Tensor, "batch new vocab_size"]:
        """The logits after each of these tokens, which follow what was read before.

        real: with the first piece, False at padding, which stands on the left. No token sees padding, and a
              text's places are counted from its first real token. The logits after padding mean nothing.
        last: only the logits after the last token, (batch, 1, vocab_size).

        Raises:
            ValueError: there are more or fewer texts than this was made for, more tokens than the context has
                room for, or `real` is not as said above.
        """
        if tokens.shape[0] != self.batch:
            raise ValueError(
                f"this cache was made for {self.batch} texts: got {tokens.shape[0]}. "
                "Make a new one for another number of texts"
            )
        if real is not None and not real.all():
            self.padding = self._padding(real)
        new = tokens.shape[1]
        self.cache.require_room(new)
        x = self.embed(tokens)
        if self.scale != 1:
            x = x * self.scale
        # All tokens of all texts in one dimension: all parts but attention take each token alone.
        x = (x + self.table[self.places(new)]).flatten(0, 1)
        mask = self._mask(new)
        projected = self._single if new == 1 else self._memory_for(new)
        for layer, block in enumerate(self.blocks):
            block.projections(block.attention_norm(x), out=projected.memory)
            x += block.output(self._attention(layer, projected, mask))
            x += block.feedforward(block.feedforward_norm(x))
        self.cache.advance(new)
        if last and new > 1:
            x = x.view(self.batch, new, -1)[:, -1]
        return self.head(self.norm(x)).view(self.batch, 1 if last else new, -1)

    def places(self, new: int) -> slice | Int[Tensor, "batch new"]:
        """Where the next `new` tokens stand, each in its own text."""
        if self.padding is None:
            return slice(self.length, self.length + new)
        columns = torch.arange(self.length, self.length + new, device=self.padding.device)
        # Padding itself gets place 0; nobody looks there.
        return (columns - self.padding[:, None]).clamp(min=0)

    def _mask(self, new: int) -> Bool[Tensor, "*batch new length"] | None:
        """What the new tokens may see: everything before them that is not padding."""
        if new == 1 and self.padding is None:
            return None  # a single query comes last and sees all
        mask = cached_mask(self.length, new).to(self.table.device)
        if self.padding is None:
            return mask
        columns = torch.arange(self.length + new, device=self.padding.device)
        return mask & (columns >= self.padding[:, None])[:, None, None, :]

    def _memory_for(self, new: int) -> _Projected:
        memory = self.cache.memory.new_empty(self.batch * new, 3 * self.n_heads * self.d_head)
        separate = memory.view(self.batch, new, 3, self.n_heads, self.d_head).permute(2, 0, 3, 1, 4)
        return _Projected(memory, separate[0], separate[1:])

    def _attention(
        self, layer: int, projected: _Projected, mask: Bool[Tensor, "*batch new length"] | None
    ) -> Float[Tensor, "batch_and_new d_model"]:
        """The heads' results, side by side."""
        key, value = self.cache.write(layer, projected.key_and_value)
        heads = self.attend(projected.query, key, value, mask)
        return heads.transpose(1, 2).reshape(-1, self.n_heads * self.d_head)

    def _padding(self, real: Bool[Tensor, "batch new"]) -> Int[Tensor, " batch"]:
        if self.length:
            raise ValueError(
                "padding stands on the left, so it can only come with the first piece of the texts: "
                f"{self.length} places have been read"
            )
        if not real[:, -1].all() or (real[:, :-1] & ~real[:, 1:]).any():
            raise ValueError(
                "padding must stand on the left of its text, and the last token must be real: "
                f"got {real.int().tolist()}"
            )
        return (~real).sum(dim=1)


def _lookup_of(embedding: TokenEmbedding) -> Function:
    """The rows of tokens, without a check of each token: for a single one that takes as long as a layer."""
    weight = embedding.weight.detach()
    if not weight.is_cpu:  # a GPU's lookup does not refuse a wrong token, it ends the program
        return embedding

    def look_up(tokens: Tensor) -> Tensor:
        try:
            return F.embedding(tokens, weight)
        except IndexError:
            return embedding(tokens)  # says which token is wrong

    return look_up


def _functions_of(block: TransformerBlock) -> _Block:
    return _Block(
        _function_of(block.attention_norm),
        _projections_of(block.attention),
        _function_of(block.attention.output),
        _function_of(block.feedforward_norm),
        _function_of(block.feedforward),
    )


def _function_of(module: nn.Module) -> Function:
    """What a module does, without dropout and without the way through `nn.Module.__call__`.

    For a single token that way takes about as long as the arithmetic.
    """
    if isinstance(module, nn.Linear):
        return _product(module.weight.detach(), None if module.bias is None else module.bias.detach())
    if isinstance(module, LayerNorm) and module.fused:
        shape, scale, shift, eps = module.weight.shape, module.weight, module.bias, module.eps
        return lambda x: torch.layer_norm(x, shape, scale, shift, eps)
    if isinstance(module, FeedForward):
        widen, narrow = _function_of(module.hidden), _function_of(module.output)
        activation, form = F.gelu if module.fused else gelu, module.approximate
        return lambda x: narrow(activation(widen(x), approximate=form))
    return module


def _projections_of(attention: MultiHeadAttention) -> Product:
    """Query, key and value by one matrix: one large product is faster than three small ones."""
    layers = (attention.query, attention.key, attention.value)
    weight = torch.cat([layer.weight for layer in layers])
    bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
    return _product(weight, bias)


def _product(weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, " outputs"] | None) -> Product:
    transposed = weight.t()
    if bias is None:
        return lambda x, out=None: torch.mm(x, transposed, out=out)
    return lambda x, out=None: torch.addmm(bias, x, transposed, out=out)
