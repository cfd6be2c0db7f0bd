"""Wrong ways to put a GPT together: the misconceptions of exercise 6.3, and with more the mutants of 6.8.

Each is a GPT with a `forward` of its own, assembled from the steps below with one of them changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from autograder.exercise import Misconception
from llmlib.attention import MultiHeadAttention
from llmlib.gpt import GPT

Step = Callable[..., Tensor]


def _positions(model: GPT, tokens: Tensor) -> Tensor:
    if model.config.positions == "learned":
        return model.positions.weight[: tokens.shape[1]]
    return model.position_table[: tokens.shape[1]]


def _embedded(model: GPT, tokens: Tensor) -> Tensor:
    x = model.token_embedding(tokens)
    return x if model.config.positions == "learned" else x * math.sqrt(model.config.d_model)


def _begin(model: GPT, tokens: Tensor) -> Tensor:
    return _embedded(model, tokens) + _positions(model, tokens)


def _dropped(model: GPT, x: Tensor) -> Tensor:
    return model.dropout(x)


def _through(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for block in model.blocks:
        x = block(x, is_causal=True)
    return x


def _end(model: GPT, x: Tensor) -> Tensor:
    return model.head(model.norm(x))


def _variant(
    begin: Step = _begin, dropped: Step = _dropped, through: Step = _through, end: Step = _end
) -> type[GPT]:
    class WrongGPT(GPT):
        def forward(self, tokens):
            return end(self, through(self, dropped(self, begin(self, tokens)), tokens))

    return WrongGPT


# --- Into the stream


def _learned_only(model: GPT, tokens: Tensor) -> Tensor:
    return model.token_embedding(tokens) + model.positions(tokens.shape[1])


def _waves_unscaled(model: GPT, tokens: Tensor) -> Tensor:
    return model.token_embedding(tokens) + _positions(model, tokens)


def _always_scaled(model: GPT, tokens: Tensor) -> Tensor:
    x = model.token_embedding(tokens) * math.sqrt(model.config.d_model)
    return x + _positions(model, tokens)


def _last_places(model: GPT, tokens: Tensor) -> Tensor:
    table = model.positions.weight if model.config.positions == "learned" else model.position_table
    return _embedded(model, tokens) + table[len(table) - tokens.shape[1] :]


def _places_from_one(model: GPT, tokens: Tensor) -> Tensor:
    table = model.positions.weight if model.config.positions == "learned" else model.position_table
    places = (torch.arange(tokens.shape[1], device=table.device) + 1).clamp(max=len(table) - 1)
    return _embedded(model, tokens) + table[places]


def _length_from_axis_0(model: GPT, tokens: Tensor) -> Tensor:
    table = model.positions.weight if model.config.positions == "learned" else model.position_table
    return _embedded(model, tokens) + table[: tokens.shape[0]]


def _waves_scaled_too(model: GPT, tokens: Tensor) -> Tensor:
    x = model.token_embedding(tokens) + _positions(model, tokens)
    return x if model.config.positions == "learned" else x * math.sqrt(model.config.d_model)


def _waves_forgotten(model: GPT, tokens: Tensor) -> Tensor:
    x = _embedded(model, tokens)
    return x + _positions(model, tokens) if model.config.positions == "learned" else x


def _whole_table(model: GPT, tokens: Tensor) -> Tensor:
    table = model.positions.weight if model.config.positions == "learned" else model.position_table
    return _embedded(model, tokens) + table


def _places_by_token(model: GPT, tokens: Tensor) -> Tensor:
    table = model.positions.weight if model.config.positions == "learned" else model.position_table
    return _embedded(model, tokens) + table[tokens.clamp(max=len(table) - 1)]


def _tokens_handed_over(model: GPT, tokens: Tensor) -> Tensor:
    if model.config.positions == "learned":
        return model.token_embedding(tokens) + model.positions(tokens)
    return _begin(model, tokens)


def _detached(model: GPT, tokens: Tensor) -> Tensor:
    return _begin(model, tokens).detach()


# --- Dropped, or not


def _not_dropped(model: GPT, x: Tensor) -> Tensor:
    return x


class DroppedBeforePositions(GPT):
    def forward(self, tokens):
        x = self.dropout(_embedded(self, tokens)) + _positions(self, tokens)
        return _end(self, _through(self, x, tokens))


class DroppedAtTheEnd(GPT):
    def forward(self, tokens):
        x = self.norm(_through(self, _begin(self, tokens), tokens))
        return self.head(self.dropout(x))


# --- Through the blocks


def _results_lost(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for block in model.blocks:
        block(x, is_causal=True)
    return x


def _causal_as_mask(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for block in model.blocks:
        x = block(x, True)
    return x


def _list_called(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    return model.blocks(x)


def _unmasked(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for block in model.blocks:
        x = block(x)
    return x


def _one_ahead(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril(diagonal=1)
    for block in model.blocks:
        x = block(x, seen)
    return x


def _positions_again(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for place, block in enumerate(model.blocks):
        x = block(x + _positions(model, tokens) if place else x, is_causal=True)
    return x


def _first_block_again(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for _ in model.blocks:
        x = model.blocks[0](x, is_causal=True)
    return x


def _side_by_side(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    result = x
    for block in model.blocks:
        result = block(x, is_causal=True)
    return result


def _backwards(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for block in reversed(model.blocks):
        x = block(x, is_causal=True)
    return x


def _residual_twice(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for block in model.blocks:
        x = x + block(x, is_causal=True)
    return x


def _norm_between(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for place, block in enumerate(model.blocks):
        x = block(model.norm(x) if place else x, is_causal=True)
    return x


def _one_head(model: GPT, x: Tensor, tokens: Tensor) -> Tensor:
    for block in model.blocks:
        attention = block.attention
        assert isinstance(attention, MultiHeadAttention)
        heads, attention.n_heads = attention.n_heads, 1
        x = block(x, is_causal=True)
        attention.n_heads = heads
    return x


# --- Out of the stream


def _not_normed(model: GPT, x: Tensor) -> Tensor:
    return model.head(x)


def _probabilities(model: GPT, x: Tensor) -> Tensor:
    return torch.softmax(_end(model, x), dim=-1)


def _log_probabilities(model: GPT, x: Tensor) -> Tensor:
    return torch.log_softmax(_end(model, x), dim=-1)


def _best_token(model: GPT, x: Tensor) -> Tensor:
    return _end(model, x).argmax(dim=-1)


def _no_head(model: GPT, x: Tensor) -> Tensor:
    return model.norm(x)


def _always_tied(model: GPT, x: Tensor) -> Tensor:
    return model.norm(x) @ model.token_embedding.weight.T


def _head_not_turned(model: GPT, x: Tensor) -> Tensor:
    return model.norm(x) @ model.head.weight


def _last_place(model: GPT, x: Tensor) -> Tensor:
    return _end(model, x)[:, -1]


def _last_place_everywhere(model: GPT, x: Tensor) -> Tensor:
    return _end(model, x[:, -1:]).expand(-1, x.shape[1], -1)


def _scaled_down(model: GPT, x: Tensor) -> Tensor:
    return _end(model, x) / math.sqrt(model.config.d_model)


class NormFirst(GPT):
    def forward(self, tokens):
        return self.head(_through(self, self.norm(self.dropout(_begin(self, tokens))), tokens))


# --- At the edges: right on most inputs


class Cropping(GPT):
    def forward(self, tokens):
        tokens = tokens[:, -self.config.context_length :]
        return _end(self, _through(self, _begin(self, tokens), tokens))


class FromTheEnd(GPT):
    def forward(self, tokens):
        size = self.config.vocab_size
        return GPT.forward(self, torch.where(tokens < 0, tokens + size, tokens))


class Clamping(GPT):
    def forward(self, tokens):
        return GPT.forward(self, tokens.clamp(min=0, max=self.config.vocab_size - 1))


class ZeroIsPadding(GPT):
    def forward(self, tokens):
        x = _embedded(self, tokens).masked_fill((tokens == 0)[..., None], 0.0)
        return _end(self, _through(self, x + _positions(self, tokens), tokens))


class LastTokenLost(GPT):
    def forward(self, tokens):
        return GPT.forward(self, tokens.clamp(max=max(self.config.vocab_size - 2, 0)))


class Squeezing(GPT):
    def forward(self, tokens):
        return GPT.forward(self, tokens).squeeze()


class FirstTextOnly(GPT):
    def forward(self, tokens):
        return GPT.forward(self, tokens[:1]).expand(len(tokens), -1, -1)


MISCONCEPTIONS = (
    Misconception(
        "no-positions",
        "the positions are never added",
        "Without them the model hardly knows one order of the tokens from another. Chapter 2 has the table.",
        _variant(begin=_embedded),
    ),
    Misconception(
        "positions-again",
        "the positions are added before every block, not once",
        "The stream carries what was added at its start to every block.",
        _variant(through=_positions_again),
    ),
    Misconception(
        "last-places",
        "a short text gets the last places of the context, not the first",
        "The first token of a text stands at place 0, however short the text is.",
        _variant(begin=_last_places),
    ),
    Misconception(
        "places-from-one",
        "the places are counted from 1",
        "Row 0 of the table belongs to the first token.",
        _variant(begin=_places_from_one),
    ),
    Misconception(
        "length-from-axis-0",
        "the number of places is read from the batch axis",
        "`tokens` has the shape (batch, length). Which of the two counts the places?",
        _variant(begin=_length_from_axis_0),
    ),
    Misconception(
        "always-scaled",
        "the tokens' vectors are multiplied by √d_model, with learned positions too",
        "That factor belongs to the fixed waves. A learned table has learned its own size.",
        _variant(begin=_always_scaled),
    ),
    Misconception(
        "waves-unscaled",
        "beside the fixed waves the tokens' vectors are too small",
        "Waves are of size 1. Read again what the exercise says of sinusoidal positions.",
        _variant(begin=_waves_unscaled),
    ),
    Misconception(
        "learned-only",
        "only learned positions work, and sinusoidal ones raise an error",
        "`self.config.positions` says which kind this model has.",
        _variant(begin=_learned_only),
    ),
    Misconception(
        "waves-scaled-too",
        "the fixed waves are multiplied by √d_model as well",
        "The factor brings the tokens' vectors up to the waves. The waves stay as they are.",
        _variant(begin=_waves_scaled_too),
    ),
    Misconception(
        "waves-forgotten",
        "with sinusoidal positions the waves are never added",
        "Both kinds of positions are added. Only where they come from differs.",
        _variant(begin=_waves_forgotten),
    ),
    Misconception(
        "whole-table",
        "the whole table of positions is added, however short the text is",
        "A text of five tokens needs five rows of the table: the first five.",
        _variant(begin=_whole_table),
    ),
    Misconception(
        "places-by-token",
        "the row of the position table is chosen by the token, not by its place",
        "Which token it is says the token embedding. The position table is asked where it stands.",
        _variant(begin=_places_by_token),
    ),
    Misconception(
        "tokens-handed-over",
        "`self.positions` is called with the tokens",
        "It takes a plain number: how many places there are.",
        _variant(begin=_tokens_handed_over),
    ),
    Misconception(
        "not-dropped",
        "`self.dropout` is never applied",
        "In evaluation it does nothing, so only a model in training shows that it is missing.",
        _variant(dropped=_not_dropped),
    ),
    Misconception(
        "dropped-before-positions",
        "dropout comes before the positions are added",
        "Add first: what is dropped is part of the stream, places included.",
        DroppedBeforePositions,
    ),
    Misconception(
        "dropped-at-the-end",
        "dropout stands behind the blocks, not in front of them",
        "Follow the order of the exercise: look up, add, drop, then the blocks.",
        DroppedAtTheEnd,
    ),
    Misconception(
        "results-lost",
        "what the blocks return is not kept",
        "A block changes nothing that you hand it: it returns a new stream. Give that a name.",
        _variant(through=_results_lost),
    ),
    Misconception(
        "causal-as-mask",
        "`is_causal` is handed over in the place of the mask",
        "The second place belongs to a mask. Pass `is_causal` by its name.",
        _variant(through=_causal_as_mask),
    ),
    Misconception(
        "list-called",
        "the list of blocks is called as if it were one layer",
        "A `ModuleList` only holds its modules. Loop over it.",
        _variant(through=_list_called),
    ),
    Misconception(
        "no-mask",
        "the blocks see the future",
        "A block hides the future only when it is asked to.",
        _variant(through=_unmasked),
    ),
    Misconception(
        "first-block-again",
        "the first block is used again and again, and the others never",
        "Every block of the list should work once, in its order.",
        _variant(through=_first_block_again),
    ),
    Misconception(
        "side-by-side",
        "every block reads the embeddings, and only the last one counts",
        "Each block reads what the one before it wrote.",
        _variant(through=_side_by_side),
    ),
    Misconception(
        "backwards",
        "the blocks run in the wrong order",
        "The first of the list reads the embeddings.",
        _variant(through=_backwards),
    ),
    Misconception(
        "residual-twice",
        "the stream is added a second time around each block",
        "A block already adds its results to what it was given.",
        _variant(through=_residual_twice),
    ),
    Misconception(
        "norm-between",
        "the last norm also stands between the blocks",
        "The stream itself is never normed on its way. Each block norms what it reads, for itself.",
        _variant(through=_norm_between),
    ),
    Misconception(
        "norm-first",
        "the norm stands in front of the blocks, not behind them",
        "What has no norm yet is what the head reads.",
        NormFirst,
    ),
    Misconception(
        "not-normed",
        "the head reads the stream without a norm",
        "Each part of a block has a norm in front of it. What stands in front of the head?",
        _variant(end=_not_normed),
    ),
    Misconception(
        "probabilities",
        "softmax has been applied, so these are probabilities",
        "The model stops at the logits: the loss and the sampling do the rest.",
        _variant(end=_probabilities),
    ),
    Misconception(
        "log-probabilities",
        "log-softmax has been applied",
        "The model stops at the logits: the loss takes the logarithm itself.",
        _variant(end=_log_probabilities),
    ),
    Misconception(
        "best-token",
        "only the number of the best token comes back",
        "A score for every token of the vocabulary is wanted. Choosing comes later.",
        _variant(end=_best_token),
    ),
    Misconception(
        "no-head",
        "the head is missing: the stream comes back",
        "The last axis should be as long as the vocabulary.",
        _variant(end=_no_head),
    ),
    Misconception(
        "always-tied",
        "the token embedding is always the head",
        "With `tie_weights=False` the head has a matrix of its own, and `self.head` knows which it is.",
        _variant(end=_always_tied),
    ),
    Misconception(
        "head-not-turned",
        "the stream is multiplied by the head's matrix as it is stored",
        "A linear layer stores (outputs, inputs). Call `self.head`, or turn the matrix.",
        _variant(end=_head_not_turned),
    ),
    Misconception(
        "last-place-only",
        "only the last place has logits",
        "Training needs a guess at every place: the result has one row for each token.",
        _variant(end=_last_place),
    ),
    Misconception(
        "scaled-down",
        "the logits are divided by √d_model",
        "That division belongs to attention's scores.",
        _variant(end=_scaled_down),
    ),
    Misconception(
        "detached",
        "no gradient flows back to the embeddings",
        "Look for `.detach()`, `no_grad` or `.data` on the way into the blocks.",
        _variant(begin=_detached),
    ),
)

EDGES = (
    Misconception(
        "one-ahead",
        "every place sees one token of the future",
        "Change the token after a place.",
        _variant(through=_one_ahead),
    ),
    Misconception(
        "one-head",
        "all heads are merged into one",
        "Use more than one head.",
        _variant(through=_one_head),
    ),
    Misconception(
        "last-place-everywhere",
        "every place repeats the logits of the last one",
        "Compare the rows.",
        _variant(end=_last_place_everywhere),
    ),
    Misconception(
        "cropping",
        "a text that is too long is cut without a word",
        "Give it one token too many.",
        Cropping,
    ),
    Misconception(
        "from-the-end",
        "a negative token reads the table from its end",
        "Give it a token that is none.",
        FromTheEnd,
    ),
    Misconception(
        "clamping",
        "a token that is not in the vocabulary is taken for the nearest one",
        "Give it a token that is none.",
        Clamping,
    ),
    Misconception(
        "zero-is-padding",
        "token 0 is taken for padding and gets no vector",
        "Let token 0 occur.",
        ZeroIsPadding,
    ),
    Misconception(
        "last-token-lost",
        "the last token of the vocabulary is taken for the one before it",
        "Let the last token occur.",
        LastTokenLost,
    ),
    Misconception(
        "squeezing",
        "axes of length 1 get lost",
        "Give it a single text, or a single token.",
        Squeezing,
    ),
    Misconception(
        "first-text-only",
        "every text of the batch gets the logits of the first",
        "Give it two texts.",
        FirstTextOnly,
    ),
)
