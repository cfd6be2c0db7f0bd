"""A small GPT as the years after GPT-2 would build it, for a minute of training on two cores.

Three changes. Positions turn queries and keys instead of being added (rotary). What a part of a block reads
is made of several neighbours: half of the columns are the token's own, the rest those of the tokens before it
(token shift), so that the parts begin with short pieces of text, and no head is spent on "the letter before".
And a table has a vector for each *pair* of neighbouring tokens: looking a pair up costs nothing, and what
often follows "th" need not be worked out by the first layers any more.

Whatever writes to the stream starts at zero: the first step sees each block as if it were not there.

RMS norms, normed queries and keys, and the square of a ReLU, which larger models have, are not here: in a
minute they cost more time than they are worth (`benchmarks/recipe.py` measures each).

Sources: Su et al., "RoFormer" (2021), section 3.2.2; Peng et al., "RWKV" (2023), section 3.1, for the token
shift; Huang et al., "Over-Tokenized Transformer" (2025), for embeddings of n-grams; Zhang, Dauphin and Ma,
"Fixup Initialization" (2019), for the zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmlib.attention import merge_heads, split_heads
from llmlib.feedforward import FeedForward
from llmlib.normalization import LayerNorm
from llmlib.rotary import rotary_angles


@dataclass(frozen=True)
class ModernGPTConfig:
    """The shape of a `ModernGPT`.

    d_bigram: the length of the vectors for pairs of tokens; 0 for none. There are vocab_size² of them, so
              this is for characters and other small vocabularies.
    shares:   of the columns that a part of a block reads: the token's own, then those from the token before,
              from the one before that, and so on. (1.0,) shifts nothing.
    dropout:  the share of attention's weights, and of each part's output, set to zero while training. A
              minute needs none; a larger model that reads a small text many times learns it by heart without.
    embedding_dropout: the same for what the first block reads.

    Raises:
        ValueError: a field is outside its range, the shares do not cut d_model into whole columns, or d_model
            does not divide into heads of even width.
    """

    vocab_size: int
    context_length: int = 128
    d_model: int = 128
    n_layers: int = 3
    n_heads: int = 4
    d_ff: int = 512
    d_bigram: int = 32
    shares: tuple[float, ...] = (0.5, 0.25, 0.25)
    dropout: float = 0.0
    embedding_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "n_layers", "n_heads", "d_ff"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1: got {getattr(self, name)!r}")
        if not isinstance(self.d_bigram, int) or self.d_bigram < 0:
            raise ValueError(f"d_bigram must be a whole number of at least 0: got {self.d_bigram!r}")
        for name in ("dropout", "embedding_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and less than 1: got {getattr(self, name)!r}")
        object.__setattr__(self, "shares", tuple(self.shares))  # a list, where it was read from a file
        columns = [share * self.d_model for share in self.shares]
        if sum(columns) != self.d_model or any(n < 0 or n % 1 for n in columns):
            raise ValueError(
                f"shares must add up to 1 and cut the {self.d_model} columns of d_model into whole ones: "
                f"got {self.shares}"
            )
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"d_model must be a multiple of 2 · n_heads, since rotary positions turn columns in pairs: "
                f"got {self.d_model} and {self.n_heads}"
            )


class TokenShift(nn.Module):
    """Vectors made of several neighbours: the first columns are a token's own, the next those of the token
    before it, and so on, by the shares given. Where the text begins, what is missing is zero.

    The shares are fixed and nothing is learned here. The next layer's weights decide what to make of it.

    Sources: Bo Peng, "minGPT-tuned" (2021), who shifts half of the columns by one; Peng et al. (2023),
    section 3.1, with learned mixtures in the place of shares.
    """

    def __init__(self, shares: tuple[float, ...], d_model: int) -> None:
        super().__init__()
        self.columns = [int(share * d_model) for share in shares]

    def forward(self, x: Float[Tensor, "batch length d_model"]) -> Float[Tensor, "batch length d_model"]:
        parts = x.split(self.columns, dim=-1)
        return torch.cat([_later(part, by) for by, part in enumerate(parts)], dim=-1)


def _later(x: Float[Tensor, "batch length d"], by: int) -> Float[Tensor, "batch length d"]:
    """Each vector `by` places later; the last ones fall out, and zeros come in."""
    return F.pad(x, (0, 0, by, 0))[:, : x.shape[1]] if by else x


class RotaryAttention(nn.Module):
    """Causal attention in heads, with turned queries and keys.

    The columns are paired in halves, i with i + d_head / 2: two slices that lie together in memory, which is
    faster than neighbours (see `llmlib.rotary` on the two conventions).
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = nn.Dropout(dropout)
        self.query, self.key, self.value, self.output = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )

    def forward(
        self,
        x: Float[Tensor, "batch length d_model"],
        cosine: Float[Tensor, "length n_pairs"],
        sine: Float[Tensor, "length n_pairs"],
        hidden: Float[Tensor, "length length"],
    ) -> Float[Tensor, "batch length d_model"]:
        """`hidden` is added to the scores: -inf where a key lies in the future, else 0."""
        # One product instead of three, since a large one keeps the cores busier.
        weights = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        query, key, value = (split_heads(part, self.n_heads) for part in F.linear(x, weights).chunk(3, -1))
        query, key = (self.turned(part, cosine, sine).to(value.dtype) for part in (query, key))
        if value.is_cuda:
            dropout = self.dropout.p if self.training else 0.0
            heads = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
            return self.output(merge_heads(heads))
        # Written out: on a CPU, and at such sizes, faster than PyTorch's fused kernel (measured).
        scores = torch.baddbmm(
            hidden.to(value.dtype),
            query.flatten(0, 1),
            key.flatten(0, 1).mT,
            alpha=1 / math.sqrt(query.shape[-1]),
        )
        heads = self.dropout(scores.softmax(-1)).to(value.dtype) @ value.flatten(0, 1)
        return self.output(merge_heads(heads.view_as(value)))

    def turned(
        self,
        x: Float[Tensor, "batch n_heads length d_head"],
        cosine: Float[Tensor, "length n_pairs"],
        sine: Float[Tensor, "length n_pairs"],
    ) -> Float[Tensor, "batch n_heads length d_head"]:
        """Queries or keys, turned by their places."""
        return turn(x, cosine, sine)


def turn(
    x: Float[Tensor, "*batch length d_head"],
    cosine: Float[Tensor, "length n_pairs"],
    sine: Float[Tensor, "length n_pairs"],
) -> Float[Tensor, "*batch length d_head"]:
    """Each pair of columns i and i + d_head / 2, turned by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class ModernBlock(nn.Module):
    """Pre-norm: attention, then the feed-forward layer, each of the shifted norm and added to the stream."""

    def __init__(self, config: ModernGPTConfig) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(config.d_model, bias=False, fused=True)
        self.attention = RotaryAttention(config.d_model, config.n_heads, config.dropout)
        self.feedforward_norm = LayerNorm(config.d_model, bias=False, fused=True)
        self.feedforward = FeedForward(config.d_model, config.d_ff, bias=False, fused=True)
        self.shift = TokenShift(config.shares, config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch length d_model"], *places: Tensor
    ) -> Float[Tensor, "batch length d_model"]:
        x = x + self.dropout(self.attention(self.shift(self.attention_norm(x)), *places))
        return x + self.dropout(self.feedforward(self.shift(self.feedforward_norm(x))))


class ModernGPT(nn.Module):
    """For each position, a score for every token that might come next, as `llmlib.gpt.GPT` gives it.

    generator: where the first weights come from: a `torch.Generator`, or a seed for one. None draws from
               PyTorch's global generator.
    """

    cosine: Float[Tensor, "context_length n_pairs"]
    sine: Float[Tensor, "context_length n_pairs"]
    hidden: Float[Tensor, "context_length context_length"]

    def __init__(self, config: ModernGPTConfig, generator: torch.Generator | int | None = None) -> None:
        super().__init__()
        self.config = config
        if isinstance(generator, int):
            generator = torch.Generator().manual_seed(generator)
        with torch.random.fork_rng(devices=[]):  # the layers' own first draws leave no trace
            self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
            if config.d_bigram:
                self.bigram_embedding = nn.Embedding(config.vocab_size**2, config.d_bigram)
                self.bigram_projection = nn.Linear(config.d_bigram, config.d_model, bias=False)
            self.dropout = nn.Dropout(config.embedding_dropout)
            self.blocks = nn.ModuleList(ModernBlock(config) for _ in range(config.n_layers))
            self.norm = LayerNorm(config.d_model, bias=False, fused=True)
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self._initialize(generator)
        angles = rotary_angles(torch.arange(config.context_length), config.d_model // config.n_heads)
        future = torch.full((config.context_length, config.context_length), -math.inf).triu(1)
        self.register_buffer("cosine", angles.cos().float(), persistent=False)
        self.register_buffer("sine", angles.sin().float(), persistent=False)
        self.register_buffer("hidden", future, persistent=False)

    def _initialize(self, generator: torch.Generator | None) -> None:
        """Zero for what writes to the stream or to the logits; the rest of about the size of its inputs."""
        for name, parameter in self.named_parameters():
            layer = name.split(".")[-2] if "." in name else ""
            if layer in ("output", "head", "bigram_projection"):
                nn.init.zeros_(parameter)
            elif layer == "token_embedding":
                nn.init.normal_(parameter, generator=generator)
            elif layer == "bigram_embedding":
                nn.init.normal_(parameter, std=0.5, generator=generator)
            elif parameter.dim() == 2:
                bound = math.sqrt(3 / parameter.shape[1]) / 2  # standard deviation 1 / (2 √inputs)
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        """The logits of the token after each position.

        Raises:
            ValueError: `tokens` is not (batch, length), or is longer than the context.
        """
        if tokens.dim() != 2:
            raise ValueError(f"tokens must have the shape (batch, length): got {tuple(tokens.shape)}")
        length = tokens.shape[1]
        if length > self.config.context_length:
            raise ValueError(
                f"tokens must be no longer than context_length={self.config.context_length}: got {length}. "
                "Crop the sequence, or make a model with a longer context"
            )
        x = self.token_embedding(tokens)
        if self.config.d_bigram:
            pairs = tokens[:, :-1] * self.config.vocab_size + tokens[:, 1:]
            # The first position has no neighbour before it, and gets nothing.
            x = x + F.pad(self.bigram_projection(self.bigram_embedding(pairs)), (0, 0, 1, 0))
        x = self.dropout(F.layer_norm(x, x.shape[-1:]))
        hidden = self.hidden[:length, :length]
        hidden = hidden.expand(tokens.shape[0] * self.config.n_heads, length, length)
        for block in self.blocks:
            x = block(x, self.cosine[:length], self.sine[:length], hidden)
        return self.head(self.norm(x))

    def parameter_count(self) -> int:
        """How many numbers training can change."""
        return sum(parameter.numel() for parameter in self.parameters())
