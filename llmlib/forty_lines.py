"""The language model of chapter 7's bug hunt, repaired, and with its faults put back one by one.

A whole language model fits on a page when PyTorch's own parts are used. So do the classic faults of the
field, and most of them raise no error. `Faulty` keeps those that are asked for, so that each can be watched
alone: what does it do to the loss, and which experiment shows it?
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from llmlib.attention import causal_mask
from llmlib.clipping import clip_gradients
from llmlib.data import get_batch

FAULTS = ("no mask", "no positions", "no residual", "batch second")


class FortyLines(nn.Module):
    """A language model of one pre-norm block with learned positions, out of PyTorch's own parts."""

    def __init__(self, vocab_size: int, context_length: int, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(context_length, d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.attention = nn.MultiheadAttention(d_model, n_heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))
        self.head = nn.Linear(d_model, vocab_size)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        """For every place the logits of the token that comes next.

        Raises:
            ValueError: the text is longer than the context.
        """
        length = tokens.shape[1]
        if length > self.positions.num_embeddings:
            raise ValueError(f"the context has {self.positions.num_embeddings} places: got {length} tokens")
        x = self.embedding(tokens) + self.positions.weight[:length]
        future = ~causal_mask(length).to(tokens.device)  # here True hides, the other way round than in ours
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=future, need_weights=False)[0]
        x = x + self.mlp(self.norm2(x))
        return self.head(self.norm3(x))


class Faulty(FortyLines):
    """The model with faults: those of `FAULTS` that are named, by default all four.

    "batch second" is PyTorch's default order for attention, (length, batch, d_model), on tensors that have
    the batch first: attention then runs over the texts of the batch, place by place. A causal mask does not
    fit there, so it goes with "no mask" unless the batch is as large as the text is long.

    Raises:
        ValueError: there is no such fault.
    """

    def __init__(
        self,
        vocab_size: int,
        context_length: int,
        d_model: int,
        n_heads: int,
        faults: Iterable[str] = FAULTS,
    ) -> None:
        super().__init__(vocab_size, context_length, d_model, n_heads)
        self.faults = frozenset(faults)
        if unknown := sorted(self.faults - set(FAULTS)):
            raise ValueError(f"faults must be of {', '.join(FAULTS)}: got {', '.join(unknown)}")
        self.attention.batch_first = "batch second" not in self.faults

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        length = tokens.shape[1]
        x = self.embedding(tokens)
        if "no positions" not in self.faults:
            x = x + self.positions.weight[:length]
        future = None if "no mask" in self.faults else ~causal_mask(length).to(tokens.device)
        h = self.norm1(x)
        x = self._stream(x) + self.attention(h, h, h, attn_mask=future, need_weights=False)[0]
        x = self._stream(x) + self.mlp(self.norm2(x))
        return self.head(self.norm3(x))

    def _stream(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"] | float:
        """What a layer's result is added to."""
        return 0.0 if "no residual" in self.faults else x


class Bigrams(nn.Module):
    """The smallest language model: a row of logits for each last token, and one row added to them all.

    With a context length there is a row for each place as well, and no text may be longer.
    """

    def __init__(self, vocab_size: int, generator: torch.Generator, context_length: int = 0) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(vocab_size, vocab_size, generator=generator))
        self.bias = nn.Parameter(torch.randn(vocab_size, generator=generator))
        if context_length:
            self.places = nn.Parameter(torch.randn(context_length, vocab_size, generator=generator))
        self.context_length = context_length

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        """For every place the logits of the token that comes next.

        Raises:
            ValueError: the text is longer than the context, if there is one.
        """
        logits = self.table[tokens] + self.bias
        if not self.context_length:
            return logits
        length = tokens.shape[1]
        if length > self.context_length:
            raise ValueError(f"the context has {self.context_length} places: got {length} tokens")
        return logits + self.places[:length]


def train_and_score(
    model: nn.Module,
    tokens: Int[Tensor, " corpus"],
    context_length: int,
    batch_size: int,
    steps: int,
    learning_rate: float,
    clip: float,
    train_share: float,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Train on the first `train_share` of the tokens; the loss and the accuracy on the rest.

    Each step draws a batch of windows, shortens the gradient to `clip` and lets AdamW change the model. The
    rest is scored in consecutive windows of the context length; what is left over at its end is not.
    """
    end = int(train_share * len(tokens))
    train_tokens, validation_tokens = tokens[:end], tokens[end:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    with torch.enable_grad():
        for _ in range(steps):
            inputs, targets = get_batch(train_tokens, batch_size, context_length, generator)
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            clip_gradients(model.parameters(), clip)
            optimizer.step()
    n = (len(validation_tokens) - 1) // context_length * context_length
    inputs, targets = validation_tokens[:n], validation_tokens[1 : n + 1]
    with torch.no_grad():
        logits = model(inputs.view(-1, context_length)).flatten(0, 1)
    loss = F.cross_entropy(logits, targets)
    accuracy = (logits.argmax(dim=-1) == targets).float().mean()
    return loss.item(), accuracy.item()
