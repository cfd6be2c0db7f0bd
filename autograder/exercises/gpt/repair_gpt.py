"""Exercise 6.7: a small GPT with four bugs that raise no error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import probes
from llmlib.attention import causal_mask
from llmlib.embedding import LearnedPositions, TokenEmbedding
from llmlib.normalization import LayerNorm
from llmlib.transformer import TransformerBlock

STARTER = '''\
class SmallGPT(nn.Module):
    """A GPT on one page: learned positions, a tied head."""

    def __init__(
        self, vocab_size: int, context_length: int, d_model: int, n_layers: int, n_heads: int
    ) -> None:
        super().__init__()
        self.token_embedding = TokenEmbedding(vocab_size, d_model)
        self.positions = LearnedPositions(context_length, d_model)
        self.blocks = nn.ModuleList(TransformerBlock(d_model, n_heads) for _ in range(n_layers))
        self.norm = LayerNorm(d_model)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        length = tokens.shape[1]
        x = self.norm(self.token_embedding(tokens))
        for i in range(len(self.blocks)):
            x = x + self.positions(length)
            x = self.blocks[i - 1](x)
        return x @ self.token_embedding.weight.T
'''


class SmallGPT(nn.Module):
    """A GPT on one page: learned positions, a tied head."""

    def __init__(
        self, vocab_size: int, context_length: int, d_model: int, n_layers: int, n_heads: int
    ) -> None:
        super().__init__()
        self.token_embedding = TokenEmbedding(vocab_size, d_model)
        self.positions = LearnedPositions(context_length, d_model)
        self.blocks = nn.ModuleList(TransformerBlock(d_model, n_heads) for _ in range(n_layers))
        self.norm = LayerNorm(d_model)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positions(length)
        for i in range(len(self.blocks)):
            x = self.blocks[i](x, is_causal=True)
        return self.norm(x) @ self.token_embedding.weight.T


# --- Probes that show one bug at a time


def _case(
    g: torch.Generator,
    batch: int,
    length: int,
    n_layers: int,
    *,
    same_blocks: bool = False,
    no_positions: bool = False,
    dtype: torch.dtype = torch.float32,
    gradient: bool = False,
) -> Case:
    shape = {"vocab_size": 7, "context_length": 6, "d_model": 4, "n_layers": n_layers, "n_heads": 2}
    weights = probes.weights(SmallGPT(**shape), g)
    if same_blocks:
        for name in weights:
            if name.startswith("blocks."):
                weights[name] = weights["blocks.0." + name.split(".", 2)[2]].clone()
    if no_positions:
        weights["positions.weight"] = torch.zeros_like(weights["positions.weight"])
    return Case(
        {"tokens": torch.randint(0, 7, (batch, length), generator=g)},
        construct=shape,
        weights={name: weight.to(dtype) for name, weight in weights.items()},
        gradient=gradient,
    )


def _one_block_one_token(g: torch.Generator) -> Iterator[Case]:
    # No future to see, no second block to take wrongly or to add positions before.
    yield _case(g, 3, 1, 1)
    yield _case(g, 1, 1, 1)


def _one_block(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 5, 1)


def _blocks_without_positions(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 1, 2, no_positions=True)
    yield _case(g, 2, 1, 3, no_positions=True)


def _equal_blocks(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 1, 2, same_blocks=True)
    yield _case(g, 2, 1, 3, same_blocks=True)


def _everything(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 4, 3)
    yield _case(g, 3, 6, 2)
    yield _case(g, 2, 3, 2, dtype=torch.float64, gradient=True)


# --- Repairs that stop too early or go wrong


def _variant(
    *, norm: str = "last", once: bool = True, causal: bool = True, shift: int = 0, extra: bool = False
) -> type[SmallGPT]:
    class HalfRepaired(SmallGPT):
        def forward(self, tokens):
            places = self.positions(tokens.shape[1])
            x = self.token_embedding(tokens)
            x = self.norm(x) if norm in ("first", "both") else x
            x = x + places if once else x
            for i in range(len(self.blocks)):
                x = x if once else x + places
                x = self.blocks[(i - shift) % len(self.blocks)](x, is_causal=causal)
                x = self.norm(x) if norm == "every" else x
            x = self.norm(x) if norm in ("last", "both") else x
            x = x + places if extra else x
            return x @ self.token_embedding.weight.T

    return HalfRepaired


class PositionsGone(SmallGPT):
    def forward(self, tokens):
        x = self.token_embedding(tokens)
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.norm(x) @ self.token_embedding.weight.T


class NormedWithPositions(SmallGPT):
    def forward(self, tokens):
        x = self.norm(self.token_embedding(tokens) + self.positions(tokens.shape[1]))
        for block in self.blocks:
            x = block(x, is_causal=True)
        return x @ self.token_embedding.weight.T


def _in_turn(order: Callable[[int], Iterable[int]]) -> type[SmallGPT]:
    """All is repaired, and the blocks work in this order."""

    class InTurn(SmallGPT):
        def forward(self, tokens):
            x = self.token_embedding(tokens) + self.positions(tokens.shape[1])
            for i in order(len(self.blocks)):
                x = self.blocks[i](x, is_causal=True)
            return self.norm(x) @ self.token_embedding.weight.T

    return InTurn


class PositionsLast(SmallGPT):
    def forward(self, tokens):
        x = self.token_embedding(tokens)
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.norm(x + self.positions(tokens.shape[1])) @ self.token_embedding.weight.T


MISCONCEPTIONS = (
    Misconception(
        "nothing-repaired",
        "all four bugs are still there",
        "Follow the diagram of the model from top to bottom, and put a finger on each line of `forward`.",
        _variant(norm="first", once=False, causal=False, shift=1),
    ),
    Misconception(
        "only-the-norm",
        "one bug is repaired, the norm, and three are left",
        "Change the last token: which logits may change? Then count how often the positions are added.",
        _variant(once=False, causal=False, shift=1),
    ),
    Misconception(
        "only-the-future",
        "one bug is repaired, the mask, and three are left",
        "What does the head read? And which block is the first to work?",
        _variant(norm="first", once=False, shift=1),
    ),
    Misconception(
        "not-the-norm",
        "three bugs are repaired, and the norm does not stand where it belongs",
        "The stream runs through the blocks as it is. Where is it normed at last?",
        _variant(norm="first"),
    ),
    Misconception(
        "not-the-positions",
        "three bugs are repaired, and the positions are still added more than once",
        "The stream keeps what is added to it. How many times does a token need to hear its place?",
        _variant(once=False),
    ),
    Misconception(
        "not-the-future",
        "three bugs are repaired, and every place still sees the future",
        "Change the last token: the logits of the places before it must stay as they are.",
        _variant(causal=False),
    ),
    Misconception(
        "not-the-order",
        "three bugs are repaired, and the blocks still do not work in their order",
        "Print the index of the block in each turn of the loop.",
        _variant(shift=1),
    ),
    Misconception(
        "order-forwards",
        "the order of the blocks is shifted the other way now",
        "The first turn of the loop should use the first block.",
        _variant(shift=-1),
    ),
    Misconception(
        "norm-twice",
        "the norm stands at both ends now",
        "It was in the wrong place: move it, and leave nothing behind.",
        _variant(norm="both"),
    ),
    Misconception(
        "norm-in-every-turn",
        "the norm stands inside the loop",
        "The blocks have norms of their own. This one comes once, behind the last block.",
        _variant(norm="every"),
    ),
    Misconception(
        "norm-around-positions",
        "the norm now holds the positions too, but still stands in front of the blocks",
        "What the head reads has no norm yet.",
        NormedWithPositions,
    ),
    Misconception(
        "positions-gone",
        "the positions are not added at all any more",
        "Once is right: not before each block, and not never.",
        PositionsGone,
    ),
    Misconception(
        "positions-at-the-end",
        "the positions are added once more before the head",
        "Everything that the blocks need to know comes in front of them.",
        _variant(extra=True),
    ),
    Misconception(
        "only-the-positions",
        "one bug is repaired, the positions, and three are left",
        "Change the last token: which logits may change? Then ask what the head reads.",
        _variant(norm="first", causal=False, shift=1),
    ),
    Misconception(
        "only-the-order",
        "one bug is repaired, the order of the blocks, and three are left",
        "Change the last token: which logits may change? Then count how often the positions are added.",
        _variant(norm="first", once=False, causal=False),
    ),
    Misconception(
        "norm-gone",
        "the norm is gone altogether",
        "It stood in the wrong place. The head needs it.",
        _variant(norm="none"),
    ),
    Misconception(
        "backwards",
        "the blocks work in the reverse order",
        "The first turn of the loop should use the first block.",
        _in_turn(lambda n: reversed(range(n))),
    ),
    Misconception(
        "first-block-left-out",
        "the first block never works",
        "`range(1, n)` begins at 1, and lists begin at 0.",
        _in_turn(lambda n: range(1, n)),
    ),
    Misconception(
        "last-block-left-out",
        "the last block never works",
        "`range(n)` ends at n − 1 by itself.",
        _in_turn(lambda n: range(n - 1)),
    ),
    Misconception(
        "positions-behind-the-blocks",
        "the positions are added behind the blocks, where none of them can use them",
        "The blocks need to know the places: add them first.",
        PositionsLast,
    ),
)


# --- Right answers in another form


class MaskByHand(SmallGPT):
    def forward(self, tokens):
        seen = causal_mask(tokens.shape[1]).to(tokens.device)
        x = self.token_embedding.weight[tokens] + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, seen)
        return nn.functional.linear(self.norm(x), self.token_embedding.weight)


class Enumerated(SmallGPT):
    def forward(self, tokens):
        x = self.token_embedding(tokens)
        for number, block in enumerate(self.blocks):
            if number == 0:
                x = x + self.positions(tokens.shape[1])
            x = block(x, is_causal=True)
        return torch.einsum("bld,vd->blv", self.norm(x), self.token_embedding.weight)


class Shifted(SmallGPT):
    def forward(self, tokens):
        x = self.positions(tokens.shape[1]) + self.token_embedding(tokens)
        for i in range(1, len(self.blocks) + 1):
            x = self.blocks[i - 1](x, is_causal=True)
        x = self.norm(x)
        return x @ self.token_embedding.weight.transpose(0, 1)


class OneText(SmallGPT):
    def forward(self, tokens):
        rows = []
        for text in tokens:
            x = self.token_embedding(text[None]) + self.positions(len(text))
            for block in list(self.blocks):
                x = block(x, is_causal=True)
            rows.append(self.norm(x[0]) @ self.token_embedding.weight.T)
        return torch.stack(rows)


ALTERNATIVES = (
    Alternative("tables read by index, the mask made by hand", MaskByHand),
    Alternative("the positions added before the first block only", Enumerated),
    Alternative("the loop shifted instead of the index", Shifted),
    Alternative("each text alone", OneText),
)

NORM = "norms what the head reads, and nothing else"

EXERCISE = Exercise(
    name="gpt.SmallGPT",
    number="6.7",
    title="Bug hunt: a GPT that runs and is wrong",
    kind="bug hunt",
    minutes=15,
    difficulty=2,
    reference=SmallGPT,
    starter=STARTER,
    checks=(
        Check(NORM, 1, _one_block_one_token),
        Check("lets no place see the future", 1, _one_block),
        Check("uses every block in its order", 1, _blocks_without_positions),
        Check("adds the positions once", 1, _equal_blocks),
        Check("is right all together", 1, _everything),
    ),
    hints=(
        "Every shape is right, so shapes will not help. Hold `forward` beside the diagram of the model: "
        "what comes between which boxes, and how often?",
        "Ask four questions. What does the head read? What does a place see? How often does a token hear its "
        "place? Which block works first?",
        "Three questions have their answer in the loop; one needs a line to move from before the loop to "
        "behind it.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
