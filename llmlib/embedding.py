"""What a token is and where it stands, as vectors.

Sources: Vaswani et al., "Attention Is All You Need" (2017), sections 3.4 and 3.5; Radford et al., "Improving
Language Understanding by Generative Pre-Training" (2018), section 4.1, for learned positions. Rotary
positions, which turn vectors instead of adding to them, are in `llmlib.rotary`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """A table with one vector for each token of the vocabulary; embedding a token looks up its row."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, d_model))

    def forward(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d_model"]:
        """The row of each token.

        Raises:
            ValueError: a token is negative or not smaller than the vocabulary.
        """
        vocab_size = self.weight.shape[0]
        # Without this check a negative token would silently read the table from its end.
        unknown = (tokens < 0) | (tokens >= vocab_size)
        if unknown.any():
            raise ValueError(
                f"every token must lie between 0 and vocab_size - 1 = {vocab_size - 1}: "
                f"got {int(tokens[unknown][0])}"
            )
        return self.weight[tokens]


def one_hot(tokens: Int[Tensor, "*shape"], vocab_size: int) -> Float[Tensor, "*shape vocab_size"]:
    """Each token as a vector of zeros with a single 1, at the token's own place.

    Raises:
        ValueError: a token is negative or not smaller than the vocabulary.
    """
    if ((tokens < 0) | (tokens >= vocab_size)).any():
        raise ValueError(
            f"every token must lie between 0 and vocab_size - 1 = {vocab_size - 1}: got tokens from "
            f"{int(tokens.min())} to {int(tokens.max())}"
        )
    places = torch.arange(vocab_size, device=tokens.device)
    return (tokens[..., None] == places).to(torch.get_default_dtype())


def embedding_gradient(
    tokens: Int[Tensor, "*shape"], gradient: Float[Tensor, "*shape d_model"], vocab_size: int
) -> Float[Tensor, "vocab_size d_model"]:
    """The gradient of an embedding table, from the gradient of the vectors that were looked up in it.

    Row v is the sum of the gradients at all places where token v stood; a token that stood nowhere has a
    row of zeros.

    Raises:
        ValueError: a token is negative or not smaller than the vocabulary.
    """
    rows = one_hot(tokens.reshape(-1), vocab_size).to(gradient.dtype)
    # Column v of `rows` has a 1 at each place of token v, so the product adds up what arrived there.
    return rows.T @ gradient.reshape(-1, gradient.shape[-1])


def cosine_similarity(
    a: Float[Tensor, "*#batch d_model"], b: Float[Tensor, "*#batch d_model"]
) -> Float[Tensor, "*#batch"]:
    """The cosine of the angle between two vectors: 1 in the same direction, 0 at right angles, -1 opposite.

    A vector of zeros has no direction; its similarity to every vector is 0.
    """
    lengths = a.norm(dim=-1) * b.norm(dim=-1)
    return (a * b).sum(dim=-1) / lengths.masked_fill(lengths == 0, 1.0)


def nearest_neighbours(
    vector: Float[Tensor, " d_model"], table: Float[Tensor, "vocab_size d_model"], k: int
) -> tuple[Float[Tensor, " k"], Int[Tensor, " k"]]:
    """The k rows of a table that are most similar to a vector, by cosine: similarities and rows, best first.

    Raises:
        ValueError: k is negative or larger than the table.
    """
    if not 0 <= k <= len(table):
        raise ValueError(f"k must lie between 0 and {len(table)}, the rows of the table: got {k}")
    # Stable: of rows that are equally near the first comes first, on every machine.
    similarities, rows = cosine_similarity(vector, table).sort(descending=True, stable=True)
    return similarities[:k], rows[:k]


class LearnedPositions(nn.Module):
    """A table with one vector for each place of the context, learned like every other weight."""

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(context_length, d_model))

    def forward(self, length: int) -> Float[Tensor, "length d_model"]:
        """The vectors of the first `length` places.

        Raises:
            ValueError: `length` is larger than the context.
        """
        context_length = self.weight.shape[0]
        if length > context_length:
            raise ValueError(f"there are positions for at most {context_length} tokens: got {length}")
        return self.weight[:length]


def sinusoidal_positions(length: int, d_model: int, base: float = 10000.0) -> Float[Tensor, "length d_model"]:
    """A vector for each place from waves of many lengths; nothing is learned.

    Columns 2i and 2i + 1 are the sine and cosine of position / base^(2i / d_model): the wavelengths grow
    from 2π towards 2π · base.

    Raises:
        ValueError: d_model is odd, so that a sine would have no cosine.

    Source: Vaswani et al. (2017), section 3.5.
    """
    if d_model % 2:
        raise ValueError(f"d_model must be even, a sine and a cosine for each wavelength: got {d_model}")
    positions = torch.arange(length, dtype=torch.float64)
    even_columns = torch.arange(0, d_model, 2, dtype=torch.float64)
    # In float64, because an angle of thousands of radians would lose its last digits in float32.
    angles = positions[:, None] / base ** (even_columns / d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2).to(torch.get_default_dtype())
