"""Exercise 7.9: the model of the forty lines, with four faults of which none raises an error."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import probes
from llmlib.attention import causal_mask, merge_heads, scaled_dot_product_attention, split_heads
from llmlib.forty_lines import FortyLines

STARTER = '''\
class FortyLines(nn.Module):
    """A language model of one pre-norm block with learned positions, out of PyTorch's own parts."""

    def __init__(self, vocab_size: int, context_length: int, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(context_length, d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.attention = nn.MultiheadAttention(d_model, n_heads)
        self.mlp = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))
        self.head = nn.Linear(d_model, vocab_size)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocab_size"]:
        x = self.norm1(self.embedding(tokens))
        x, _ = self.attention(x, x, x)
        x = self.mlp(self.norm2(x))
        return self.head(self.norm3(x))
'''

SHAPE = {"vocab_size": 6, "context_length": 5, "d_model": 4, "n_heads": 2}

# --- Probes that show one fault at a time. One token alone has no future and no neighbours; a table of zeros
# tells no places apart; and beside results of a hundred million, what is added to them does not show.


def _case(
    g: torch.Generator,
    batch: int,
    length: int,
    *,
    places: bool = False,
    added: bool = False,
    dtype: torch.dtype = torch.float32,
    gradient: bool = False,
) -> Case:
    weights = probes.weights(FortyLines(**SHAPE), g)
    if not places:
        weights["positions.weight"] = torch.zeros_like(weights["positions.weight"])
    if not added:
        for name, size in (("attention.out_proj", 1e8), ("mlp.2", 1e16)):
            for part in ("weight", "bias"):
                weights[f"{name}.{part}"] = size * weights[f"{name}.{part}"]
    # Texts whose tokens differ, so that neither order nor neighbour can be mixed up unseen.
    tokens = torch.stack([torch.randperm(SHAPE["vocab_size"], generator=g)[:length] for _ in range(batch)])
    tokens = (tokens + torch.arange(batch)[:, None]) % SHAPE["vocab_size"]
    return Case(
        {"tokens": tokens},
        construct=SHAPE,
        weights={name: weight.to(dtype) for name, weight in weights.items()},
        gradient=gradient,
    )


def _one_token(g: torch.Generator) -> Iterator[Case]:
    for _ in range(2):
        yield _case(g, 1, 1, added=True)


def _short_texts(g: torch.Generator) -> Iterator[Case]:
    for batch in (3, 2):
        yield _case(g, batch, 1)


def _one_place(g: torch.Generator) -> Iterator[Case]:
    for _ in range(2):
        yield _case(g, 1, 1, places=True)


def _long_texts(g: torch.Generator) -> Iterator[Case]:
    for batch, length in ((1, 3), (2, 4)):
        yield _case(g, batch, length)


def _everything(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 4, places=True, added=True)
    yield _case(g, 3, 5, places=True, added=True)
    yield _case(g, 1, 2, places=True, added=True)
    yield _case(g, 2, 3, places=True, added=True, dtype=torch.float64, gradient=True)


# --- Repairs that stop too early or go wrong

LEFT = {
    "mask": "the causal mask is still missing",
    "positions": "no place knows yet where it stands",
    "residual": "nothing is added to the stream yet",
    "batch": "attention still runs over the texts of the batch",
}
ADVICE = {
    "mask": "Change the last token of a text. Which logits may move?",
    "positions": "Turn the tokens of a text round. What must not come out is the same logits, turned round.",
    "residual": "Silence attention by setting its output weights to 0. What should the next layer still see?",
    "batch": "Put another text beside the first. The logits of the first must stay as they are.",
}


def _future(length: int) -> Tensor:
    return ~causal_mask(length)


def _variant(
    *,
    mask=_future,
    places="stream",
    second: str = "no",
    skip: tuple[str, str] = ("stream", "stream"),
    after=lambda x: x,
    hint: bool = False,
    weights: bool = False,
) -> type[FortyLines]:
    """The repaired model with one step of it done in another way.

    mask:   from the length, what attention is given as its mask.
    places: to what the positions are added, and which.
    second: whether attention takes the length first: "all", or only on the way "in", or by "view".
    skip:   for attention and for the small network, what their results are added to.
    weights: whether attention is asked for its weights: a place that sees nothing is then NaN, and not 0.
    """

    class HalfRepaired(FortyLines):
        def forward(self, tokens):
            batch, length = tokens.shape
            x = first = self.embedding(tokens)
            table = self.positions.weight
            if places == "stream":
                x = x + table[:length]
            elif places == "twice":
                x = x + 2 * table[:length]
            elif places == "last":
                x = x + table[len(table) - length :]
            elif places == "from one":
                x = x + table[(torch.arange(length) + 1).clamp(max=len(table) - 1)]
            elif places == "batch":
                x = x + table[torch.arange(batch).clamp(max=len(table) - 1)][:, None]
            elif places == "token":
                x = x + table[tokens.clamp(max=len(table) - 1)]
            h = self.norm1(x)
            if places == "normed":
                h = h + table[:length]
            x = self._joined(skip[0], x, h, self._attend(h, length))
            if places == "after":
                x = x + table[:length]
            h = self.norm2(x)
            x = self._joined(skip[1], x, h, self.mlp(h))
            if skip == ("none", "around"):
                x = x + first
            return self.head(self.norm3(after(x)))

        def _attend(self, h, length):
            self.attention.batch_first = second == "no"
            seen, shape = mask(length), h.shape
            seen = None if seen is None else seen.to(h.device)
            if second == "in":
                h = h.transpose(0, 1)
            elif second == "view":
                h = h.reshape(length, -1, h.shape[-1])
            result = self.attention(h, h, h, attn_mask=seen, need_weights=weights, is_causal=hint)[0]
            return result.reshape(shape) if second == "view" else result

        def _joined(self, how, x, h, result):
            return {"stream": x, "normed": h}.get(how, 0.0) + result

    return HalfRepaired


def _unrepaired(*left: str) -> type[FortyLines]:
    return _variant(
        mask=(lambda length: None) if "mask" in left else _future,
        places="none" if "positions" in left else "stream",
        second="all" if "batch" in left else "no",
        skip=("none", "none") if "residual" in left else ("stream", "stream"),
    )


def _left(*left: str) -> Misconception:
    count = {1: "one fault is", 2: "two faults are", 3: "three faults are", 4: "all four faults are still"}
    title = f"{count[len(left)]} there: " + "; ".join(LEFT[name] for name in left)
    if len(left) == 1:
        title = LEFT[left[0]]
    return Misconception("left-" + "-".join(left), title, ADVICE[left[0]], _unrepaired(*left))


STILL_THERE = tuple(
    _left(*left)
    for count in (4, 1, 2, 3)
    for left in combinations(("residual", "batch", "positions", "mask"), count)
)


class _PostNorm(FortyLines):
    """The norms stand behind the sums, as in the first transformer."""

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.embedding(tokens) + self.positions.weight[:length]
        x = self.norm1(x + self.attention(x, x, x, attn_mask=_future(length).to(x.device))[0])
        return self.head(self.norm3(self.norm2(x + self.mlp(x))))


class _AskedForTokens(FortyLines):
    """The table of the positions has no row for the larger tokens: an IndexError."""

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions(tokens)
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=_future(tokens.shape[1]).to(x.device))[0]
        return self.head(self.norm3(x + self.mlp(self.norm2(x))))


class _WholeTable(FortyLines):
    """All positions are added to a text that is shorter: one token becomes many, or the sizes do not fit."""

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions.weight
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=_future(x.shape[1]).to(x.device))[0]
        return self.head(self.norm3(x + self.mlp(self.norm2(x))))


class _WholeMask(FortyLines):
    """A mask for the whole context does not fit the scores of a shorter text."""

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=_future(len(self.positions.weight)).to(x.device))[0]
        return self.head(self.norm3(x + self.mlp(self.norm2(x))))


class _PlacesOfTheBatch(FortyLines):
    """As many positions as there are texts, added along the last axis that fits."""

    def forward(self, tokens):
        places = torch.arange(len(tokens), device=tokens.device)
        x = self.embedding(tokens) + self.positions(places)
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=_future(x.shape[1]).to(x.device))[0]
        return self.head(self.norm3(x + self.mlp(self.norm2(x))))


class _InPlace(FortyLines):
    """What the norms have read is overwritten, and the backward pass needs it."""

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.embedding(tokens) + self.positions.weight[:length]
        h = self.norm1(x)
        x += self.attention(h, h, h, attn_mask=_future(length).to(x.device))[0]
        x += self.mlp(self.norm2(x))
        return self.head(self.norm3(x))


def _minus_infinity_times(hidden: Tensor) -> Tensor:
    return float("-inf") * hidden.float()


WRONG_REPAIRS = (
    Misconception(
        "mask-inverted-and-nan",
        "the mask is the wrong way round, and a place that may see nothing becomes NaN",
        "Our masks say where to look. Read in PyTorch's documentation what True means in this layer's "
        "`attn_mask`.",
        _variant(mask=causal_mask, weights=True),
    ),
    Misconception(
        "post-norm",
        "the norms stand behind the sums: that is a post-norm block",
        "In a pre-norm block (chapter 5) a layer reads the norm of the stream, and nothing norms the stream "
        "itself.",
        _PostNorm,
    ),
    Misconception(
        "table-asked-for-tokens",
        "the table of the positions is asked for the tokens, and has no row for some of them",
        "Its rows belong to the places 0, 1, 2, …, whatever stands there.",
        _AskedForTokens,
    ),
    Misconception(
        "whole-table",
        "the whole table of positions is added, also to a text that is shorter than the context",
        "A text of 3 tokens has the places 0, 1 and 2. Which rows of the table does it need?",
        _WholeTable,
    ),
    Misconception(
        "as-long-as-the-context",
        "the mask, or the table of positions, is as long as the context, and the text is shorter",
        "A text of 3 tokens has the places 0, 1 and 2. How many rows and columns does its mask need?",
        _WholeMask,
    ),
    Misconception(
        "in-place",
        "the stream is changed in place, and the backward pass misses what stood there",
        "`x += …` writes over what a norm has read and needs again on the way back. `x = x + …` makes "
        "something new.",
        _InPlace,
    ),
    Misconception(
        "mask-of-nan",
        "a mask of zeros and ones is multiplied by minus infinity, and 0 times minus infinity is NaN",
        "Put minus infinity where it belongs and leave 0 everywhere else, without multiplying: `torch.full` "
        "with `triu`, `masked_fill` or `where`.",
        _variant(mask=lambda length: _minus_infinity_times(_future(length))),
    ),
    Misconception(
        "mask-hides-the-past",
        "the mask hides the past and shows the future: it is the wrong half",
        "Write the mask of three tokens down: True hides. What must be hidden from the first of them?",
        _variant(mask=lambda length: _future(length).T),
    ),
    Misconception(
        "mask-of-large-numbers-hides-itself",
        "every place is hidden from itself too, and the first, from which all is hidden, sees everything",
        "A place has read its own token already. At which diagonal does the future begin?",
        _variant(mask=lambda length: torch.full((length, length), -1e9).triu()),
    ),
    Misconception(
        "positions-of-the-batch-added-to-the-places",
        "there are as many positions as texts in the batch",
        "Which axis counts the places of a text?",
        _PlacesOfTheBatch,
    ),
    Misconception(
        "network-on-normed",
        "the small network's result is added to the normed vectors",
        "If `x` is normed before it is kept, the stream itself is gone.",
        _variant(skip=("stream", "normed")),
    ),
    Misconception(
        "mask-inverted",
        "the mask is the wrong way round: the past is hidden and the future is seen",
        "Our masks say where to look. Read in PyTorch's documentation what True means in this layer's "
        "`attn_mask`.",
        _variant(mask=causal_mask),
    ),
    Misconception(
        "mask-hides-itself",
        "every place is hidden from itself, too",
        "A place has read its own token already; what it must not see comes after it.",
        _variant(mask=lambda length: torch.ones(length, length, dtype=torch.bool).triu()),
    ),
    Misconception(
        "mask-one-ahead",
        "every place sees one token of the future, the very one that it has to guess",
        "Write the mask of three tokens down and count the places in its first row.",
        _variant(mask=lambda length: torch.ones(length, length, dtype=torch.bool).triu(2)),
    ),
    Misconception(
        "mask-of-numbers",
        "a mask of the numbers 0 and 1 is added to the scores, which hides nothing",
        "A mask of floats is added. Which number, added to a score, makes its weight 0?",
        _variant(mask=lambda length: torch.ones(length, length).tril()),
    ),
    Misconception(
        "hint-without-mask",
        "`is_causal` is set and no mask is given",
        "In this layer `is_causal` is only a hint that the mask you give is a causal one.",
        _variant(mask=lambda length: None, hint=True),
    ),
    Misconception(
        "axes-in-only",
        "the axes are exchanged on the way into attention, and not on the way out",
        "What comes out lies as what went in. The line that adds it up needs the old order.",
        _variant(second="in"),
    ),
    Misconception(
        "axes-by-view",
        "the axes are exchanged by `view` or `reshape`, which deals the numbers out anew",
        "`view` keeps the numbers in their order and only counts them off differently. To exchange two axes "
        "there is another method.",
        _variant(second="view"),
    ),
    Misconception(
        "normed-stream",
        "the results are added to the normed vectors, not to the stream",
        "The norm is for what a layer reads. Its result is added to the stream as it was before.",
        _variant(skip=("normed", "normed")),
    ),
    Misconception(
        "attention-on-normed",
        "attention's result is added to the normed vectors",
        "If `x` is normed before it is kept, the stream itself is gone.",
        _variant(skip=("normed", "stream")),
    ),
    Misconception(
        "only-attention-adds",
        "attention adds to the stream, and the small network overwrites it",
        "A block has two layers, and each of them adds.",
        _variant(skip=("stream", "none")),
    ),
    Misconception(
        "only-the-network-adds",
        "the small network adds to the stream, and attention overwrites it",
        "A block has two layers, and each of them adds.",
        _variant(skip=("none", "stream")),
    ),
    Misconception(
        "around-the-block",
        "the embedding is added once, behind both layers",
        "Each layer adds to the stream for itself. What should the small network read?",
        _variant(skip=("none", "around"), places="stream"),
    ),
    Misconception(
        "positions-after",
        "the positions are added behind attention",
        "Who needs to know the places first?",
        _variant(places="after"),
    ),
    Misconception(
        "positions-beside-the-stream",
        "the positions are given to attention, and are not in the stream",
        "Add them where the stream begins; everything that reads it then knows them.",
        _variant(places="normed"),
    ),
    Misconception(
        "positions-twice",
        "the positions are added twice",
        "Once, where the stream begins.",
        _variant(places="twice"),
    ),
    Misconception(
        "positions-of-the-batch",
        "each text gets the position of its row in the batch",
        "Which axis counts the places of a text?",
        _variant(places="batch"),
    ),
    Misconception(
        "positions-by-token",
        "the table of the positions is asked for the tokens",
        "Its rows belong to the places 0, 1, 2, …, whatever stands there.",
        _variant(places="token"),
    ),
    Misconception(
        "positions-from-one",
        "the places are counted from 1",
        "Row 0 of the table belongs to the first token.",
        _variant(places="from one"),
    ),
    Misconception(
        "positions-from-the-end",
        "a short text gets the last places of the context",
        "The first token of a text stands at place 0, however short the text is.",
        _variant(places="last"),
    ),
    Misconception(
        "detached",
        "no gradient reaches the layers below the head",
        "Look for `.detach()`, `no_grad` or `.data` on the way.",
        _variant(after=Tensor.detach),
    ),
)


# --- Right answers in another form


class _LengthFirst(FortyLines):
    """PyTorch's default order, and both axes exchanged on the way in and out."""

    def __init__(self, vocab_size, context_length, d_model, n_heads):
        super().__init__(vocab_size, context_length, d_model, n_heads)
        self.attention = nn.MultiheadAttention(d_model, n_heads)

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.embedding(tokens) + self.positions(torch.arange(length, device=tokens.device))
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=x.device, dtype=x.dtype)
        h = self.norm1(x).transpose(0, 1)
        mixed, _ = self.attention(h, h, h, attn_mask=mask, is_causal=True)
        x = x + mixed.transpose(0, 1)
        return self.head(self.norm3(x + self.mlp(self.norm2(x))))


class _OurAttention(FortyLines):
    """The course's attention on the layer's weights."""

    def forward(self, tokens):
        length = tokens.shape[1]
        stream = self.embedding.weight[tokens] + self.positions.weight[:length]
        layer = self.attention
        projected = F.linear(self.norm1(stream), layer.in_proj_weight, layer.in_proj_bias)
        heads = [split_heads(part, layer.num_heads) for part in projected.chunk(3, dim=-1)]
        mixed = scaled_dot_product_attention(*heads, causal_mask(length).to(tokens.device))
        stream = stream + layer.out_proj(merge_heads(mixed))
        stream = stream + self.mlp(self.norm2(stream))
        return self.head(self.norm3(stream))


class _EachTextAlone(FortyLines):
    """Without a batch axis there is nothing to mistake for the text."""

    def forward(self, tokens):
        length = tokens.shape[1]
        hidden = torch.full((length, length), float("-inf"), device=tokens.device).triu(1)
        rows = []
        for text in tokens:
            x = self.embedding(text) + self.positions.weight[:length]
            h = self.norm1(x)
            x = x + self.attention(h, h, h, attn_mask=hidden.to(x.dtype))[0]
            rows.append(x + self.mlp(self.norm2(x)))
        return self.head(self.norm3(torch.stack(rows)))


class _BatchFirst(FortyLines):
    """The keyword argument, and a mask of truths made by comparing places."""

    def __init__(self, vocab_size, context_length, d_model, n_heads):
        super().__init__(vocab_size, context_length, d_model, n_heads)
        self.attention = nn.MultiheadAttention(d_model, n_heads, batch_first=True)

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.positions(places)[None] + self.embedding(tokens)
        h = self.norm1(x)
        x = self.attention(h, h, h, attn_mask=places[None, :] > places[:, None])[0] + x
        x = self.mlp(self.norm2(x)) + x
        return self.head(self.norm3(x))


class _PlaceByPlace(FortyLines):
    """Each place reads a text that ends there: no future is there to hide."""

    def forward(self, tokens):
        rows = []
        for end in range(1, tokens.shape[1] + 1):
            x = self.embedding(tokens[:, :end]) + self.positions.weight[:end]
            h = self.norm1(x).transpose(0, 1)
            last = x[:, -1] + self.attention(h[-1:], h, h, need_weights=False)[0][0]
            rows.append(last + self.mlp(self.norm2(last)))
        return self.head(self.norm3(torch.stack(rows, dim=1)))

    def __init__(self, vocab_size, context_length, d_model, n_heads):
        super().__init__(vocab_size, context_length, d_model, n_heads)
        self.attention = nn.MultiheadAttention(d_model, n_heads)


class _PyTorchsBlock(FortyLines):
    """A whole block of PyTorch's, with these weights."""

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        block = nn.TransformerEncoderLayer(
            x.shape[-1],
            self.attention.num_heads,
            self.mlp[0].out_features,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        block.self_attn, block.norm1, block.norm2 = self.attention, self.norm1, self.norm2
        block.linear1, block.linear2 = self.mlp[0], self.mlp[2]
        future = ~causal_mask(tokens.shape[1]).to(tokens.device)
        return self.head(self.norm3(block(x, src_mask=future)))


ALTERNATIVES = (
    Alternative("`batch_first`, and a mask of truths", _BatchFirst),
    Alternative("axes exchanged on the way in and out, and PyTorch's own mask", _LengthFirst),
    Alternative("the course's attention on the layer's weights", _OurAttention),
    Alternative("each text alone", _EachTextAlone),
    Alternative("PyTorch's whole block", _PyTorchsBlock),
    Alternative("place by place, without a mask", _PlaceByPlace),
)

RESIDUAL = "adds each layer's result to the stream"
BATCH = "keeps the texts of a batch apart"
POSITIONS = "tells every place where it stands"
MASK = "lets no place see the future"

EXERCISE = Exercise(
    name="forty_lines.FortyLines",
    number="7.9",
    title="Bug hunt: repair the model",
    kind="bug hunt",
    minutes=15,
    difficulty=2,
    reference=FortyLines,
    starter=STARTER,
    checks=(
        # Each stands alone but the mask: along the wrong axis there is no future to hide.
        Check(RESIDUAL, 1, _one_token),
        Check(BATCH, 1, _short_texts, after=()),
        Check(POSITIONS, 1, _one_place, after=()),
        Check(MASK, 1, _long_texts, after=(BATCH,)),
        Check("is right all together", 1, _everything, after=(RESIDUAL, BATCH, POSITIONS, MASK)),
    ),
    hints=(
        "Take one fault at a time, and the experiment that shows it: run it before and after your change.",
        "Two of them are about `nn.MultiheadAttention`. Its documentation says which axis it takes for the "
        "text unless it is told otherwise, and what its mask means: not what ours means.",
        "Write the stream down as chapter 5 does: what a layer reads is normed, what it gives is added to "
        "what was there before the norm. And the stream starts with two tables, not with one.",
    ),
    misconceptions=(*STILL_THERE, *WRONG_REPAIRS),
    alternatives=ALTERNATIVES,
    equivalents={
        "x = x + self.attention(h, h, h, attn_mask=future, need_weights=False)[0]  ⟶  "
        "False becomes True": "the weights that come back beside the result are not used",
    },
)
