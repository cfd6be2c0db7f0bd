"""GPT: a language model from a stack of transformer blocks that see only the past.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3 (GPT-2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmlib.embedding import LearnedPositions, TokenEmbedding, sinusoidal_positions
from llmlib.normalization import LayerNorm
from llmlib.transformer import TransformerBlock


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT. The defaults are small enough to train on a laptop in a minute or two.

    vocab_size:     how many different tokens there are: the tokenizer's `vocab_size`.
    context_length: the longest sequence; attention's cost grows with its square.
    d_model:        the width of the vector that stands for a position, from the first layer to the last.
    n_layers:       how many blocks; each lets information travel one more step between positions.
    n_heads:        how many attention patterns a block has; each works on d_model / n_heads numbers.
    d_ff:           the feed-forward network's inner width; None means the usual 4 · d_model.
    dropout:        the share of activations set to zero while training, on the embeddings and on each
                    part's output: against learning a small corpus by heart. 0 for one pass over much text.
    bias:           linear layers and norms add a learned constant, as in GPT-2; many later models do not.
    tie_weights:    the output layer reuses the token embedding: vocab_size · d_model fewer weights, and
                    tokens with similar vectors get similar logits.
    positions:      "learned", a table as in GPT-2, or "sinusoidal", fixed waves without weights.
    fused:          PyTorch's kernels for attention, norm and GELU in the place of the written-out ones: the
                    same function, less time and memory.
    init_std:       the standard deviation of the first weights. GPT-2's 0.02 suits models about a thousand
                    wide; a narrow model learns faster from somewhat larger ones.
    approximate:    the form of GELU: "none" is exact; "tanh" is what GPT-2's weights were trained with.

    Raises:
        ValueError: a field is outside its range, or d_model is not a multiple of n_heads.
    """

    vocab_size: int
    context_length: int = 64
    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    d_ff: int | None = None
    dropout: float = 0.0
    bias: bool = True
    tie_weights: bool = True
    positions: Literal["learned", "sinusoidal"] = "learned"
    fused: bool = False
    init_std: float = 0.02
    approximate: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "n_layers", "n_heads", "d_ff"):
            size = getattr(self, name)
            if name == "d_ff" and size is None:
                continue
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(f"{name} must be a whole number of at least 1: got {size!r}")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads: got {self.d_model} and {self.n_heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1: got {self.dropout!r}")
        if self.positions not in ("learned", "sinusoidal"):
            raise ValueError(f"positions must be 'learned' or 'sinusoidal': got {self.positions!r}")
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model: got {self.d_model}")
        if not self.init_std > 0:
            raise ValueError(f"init_std must be positive: got {self.init_std!r}")
        if self.approximate not in ("none", "tanh"):
            raise ValueError(f"approximate must be 'none' or 'tanh': got {self.approximate!r}")


def initial_std(name: str, n_layers: int, init_std: float = 0.02) -> float:
    """The standard deviation with which a GPT's parameter is drawn; 0 for what starts as a constant.

    name: the parameter's name in the model, as "blocks.3.attention.query.weight".

    The constants are the biases (0) and the norms' scales (1). Each block adds the outputs of two layers to
    the stream. These layers start smaller by √(2 · n_layers), so that what all of them add up to does not
    depend on the depth.

    Source: Radford et al. (2019), section 2.3.
    """
    *_, layer, kind = name.split(".")
    if kind == "bias" or layer.endswith("norm"):
        return 0.0
    return init_std / math.sqrt(2 * n_layers) if layer == "output" else init_std


def count_parameters(
    vocab_size: int,
    context_length: int,
    d_model: int,
    n_layers: int,
    d_ff: int | None = None,
    bias: bool = True,
    tie_weights: bool = True,
) -> int:
    """How many numbers a GPT with learned positions learns, without making it.

    The number of heads does not matter: they share out the same matrices.

    d_ff:        None means 4 · d_model.
    bias:        whether linear layers and norms add a learned constant. The head never does.
    tie_weights: whether the head is the token embedding, which then counts once.
    """
    d_ff = 4 * d_model if d_ff is None else d_ff
    attention = 4 * (d_model * d_model + bias * d_model)  # query, key, value, output
    feedforward = (d_model * d_ff + bias * d_ff) + (d_ff * d_model + bias * d_model)
    norm = d_model + bias * d_model
    tables = (vocab_size + context_length) * d_model
    head = 0 if tie_weights else d_model * vocab_size
    return tables + n_layers * (attention + feedforward + 2 * norm) + norm + head


class GPT(nn.Module):
    """For each position, a score for every token that might come next, seeing only what came before.

    The weights are made on the CPU, so that one seed gives one model everywhere; move it with `.to(device)`.

    generator: where the first weights come from: a `torch.Generator`, or a seed for one. None draws from
               PyTorch's global generator.
    """

    position_table: Float[Tensor, "context_length d_model"]

    def __init__(self, config: GPTConfig, generator: torch.Generator | int | None = None) -> None:
        super().__init__()
        self.config = config
        if isinstance(generator, int):
            generator = torch.Generator().manual_seed(generator)

        # Layers draw weights when they are made, and `_initialize` draws them anew. The fork leaves
        # the global generator as if the first draw had never been.
        with torch.random.fork_rng(devices=[]):
            self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
            if config.positions == "learned":
                self.positions = LearnedPositions(config.context_length, config.d_model)
            else:
                table = sinusoidal_positions(config.context_length, config.d_model)
                self.register_buffer("position_table", table, persistent=False)
            self.dropout = nn.Dropout(config.dropout)
            self.blocks = nn.ModuleList(
                TransformerBlock(
                    config.d_model,
                    config.n_heads,
                    config.d_ff,
                    bias=config.bias,
                    dropout=config.dropout,
                    fused=config.fused,
                    approximate=config.approximate,
                )
                for _ in range(config.n_layers)
            )
            self.norm = LayerNorm(config.d_model, bias=config.bias, fused=config.fused)
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_weights:
            self.head.weight = self.token_embedding.weight
        self._initialize(generator)

    def _initialize(self, generator: torch.Generator | None) -> None:
        """Normal weights as `initial_std` says; biases 0. The norms are made with scale 1."""
        for name, parameter in self.named_parameters():
            if std := initial_std(name, self.config.n_layers, self.config.init_std):
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        """The logits of the token after each position.

        Raises:
            ValueError: `tokens` is not (batch, length), is longer than the context, or holds a token that
                is not in the vocabulary.
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
        if self.config.positions == "learned":
            x = x + self.positions(length)
        else:
            # The waves are of size 1: the paper brings the token's vector up to them (section 3.4).
            x = x * math.sqrt(self.config.d_model) + self.position_table[:length]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.head(self.norm(x))

    def parameter_count(self) -> int:
        """How many numbers training can change; tied weights count once."""
        return sum(parameter.numel() for parameter in self.parameters())
