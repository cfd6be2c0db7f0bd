"""Exercise 8.7: attention that does not compute the past again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import cache
from llmlib.attention import causal_mask, scaled_dot_product_attention


def _case(
    g: torch.Generator, batch: tuple[int, ...], past: int, new: int, d_k: int = 4, d_v: int = 3, **more
) -> Case:
    return Case(
        {
            "query": normal(g, *batch, new, d_k),
            "key": normal(g, *batch, new, d_k),
            "value": normal(g, *batch, new, d_v),
            "past_key": normal(g, *batch, past, d_k),
            "past_value": normal(g, *batch, past, d_v),
        },
        **more,
    )


def _one_token(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, (), 3, 1, d_k=6)  # d_k differs from the number of keys: a forgotten transpose shows
    yield _case(g, (), 5, 1, d_k=2, d_v=5)


def _many_texts(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, (2, 3), 4, 1)
    yield _case(g, (3,), 2, 1)


def _several_tokens(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, (2,), 4, 3)
    yield _case(g, (2, 2), 2, 5)
    yield _case(g, (), 3, 3)  # past and new may be equally long


def _no_past(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, (2,), 0, 5)
    yield _case(g, (2, 3), 0, 1)


# --- Mistakes


def _grown(past, new):
    return torch.cat([past, new], dim=-2)


def _mask(past, new):
    return causal_mask(past + new)[past:]


def _attention(query, keys, values, mask=None):
    mask = mask if mask is None else mask.to(query.device)
    return scaled_dot_product_attention(query, keys, values, mask)


def _variant(mask):
    def attend(query, key, value, past_key, past_value):
        keys, values = _grown(past_key, key), _grown(past_value, value)
        return _attention(query, keys, values, mask(past_key.shape[-2], key.shape[-2])), keys, values

    return attend


def _behind(past, new):
    """The new tokens see each other as they should, and the past not at all."""
    return torch.cat([torch.zeros(new, past, dtype=torch.bool), causal_mask(new)], dim=-1)


def _past_only(query, key, value, past_key, past_value):
    output = _attention(query, past_key, past_value)
    return output, _grown(past_key, key), _grown(past_value, value)


def _new_in_front(query, key, value, past_key, past_value):
    keys, values = _grown(key, past_key), _grown(value, past_value)
    return _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2])), keys, values


def _cache_not_grown(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    output = _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2]))
    return output, past_key, past_value


def _only_the_new_kept(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    output = _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2]))
    return output, key, value


def _sliding(query, key, value, past_key, past_value):
    """The cache forgets its oldest positions, so that its length stays."""
    keys, values = _grown(past_key, key), _grown(past_value, value)
    output = _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2]))
    new = key.shape[-2]
    return output, keys[..., new:, :], values[..., new:, :]


def _key_for_value(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    output = _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2]))
    return output, values, keys


def _last_output_only(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    output = _attention(query[..., -1:, :], keys, values)
    return output, keys, values


def _query_kept(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, query), _grown(past_value, value)
    return _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2])), keys, values


def _not_scaled(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    scores = query @ keys.transpose(-2, -1)
    hidden = ~_mask(past_key.shape[-2], key.shape[-2])
    return scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ values, keys, values


def _two_softmaxes(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    output = _attention(query, key, value, causal_mask(key.shape[-2]))
    if past_key.shape[-2]:
        output = (output + _attention(query, past_key, past_value)) / 2
    return output, keys, values


def _masked_with_zero(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    scores = query @ keys.transpose(-2, -1) / query.shape[-1] ** 0.5
    hidden = ~_mask(past_key.shape[-2], key.shape[-2])
    return scores.masked_fill(hidden, 0.0).softmax(dim=-1) @ values, keys, values


def _variant_after(join):
    def attend(query, key, value, past_key, past_value):
        keys, values = join(past_key, key), join(past_value, value)
        return _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2])), keys, values

    return attend


def _first_axis_counted(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    return _attention(query, keys, values, _mask(len(past_key), len(key))), keys, values


def _cache_first(query, key, value, past_key, past_value):
    keys, values = _grown(past_key, key), _grown(past_value, value)
    return keys, values, _attention(query, keys, values, _mask(past_key.shape[-2], key.shape[-2]))


MISCONCEPTIONS = (
    Misconception(
        "mask-of-the-piece",
        "the mask is that of the new tokens alone, too narrow for the keys",
        "The scores have a column for each key, those of the past too. What do the new tokens see of these?",
        _variant(lambda past, new: causal_mask(new)),
    ),
    Misconception(
        "mask-of-the-whole-text",
        "the mask has a row for every token of the text, and the queries are only those of the new ones",
        "Which rows of the whole text's mask belong to the new tokens?",
        _variant(lambda past, new: causal_mask(past + new)),
    ),
    Misconception(
        "past-and-new-swapped",
        "past and new are swapped when the mask is made",
        "The mask has a row for each *new* token. Count the rows of the one you made.",
        _variant(lambda past, new: _mask(new, past)),
    ),
    Misconception(
        "lengths-of-the-first-axis",
        "the past is counted along the first axis, which is the batch as soon as there is one",
        "`len` counts the first axis. Which axis holds the positions, counted from the end?",
        _first_axis_counted,
    ),
    Misconception(
        "joined-along-the-first-axis",
        "past and new are joined along the first axis, which is the batch as soon as there is one",
        "Count the axis of the positions from the end: it is the last but one, however many stand before it.",
        _variant_after(lambda past, new: torch.cat([past, new])),
    ),
    Misconception(
        "cache-first",
        "the cache comes before the output in the result",
        "The output first, then the keys, then the values.",
        _cache_first,
    ),
    Misconception(
        "no-mask",
        "there is no mask: within a piece the first token sees the last",
        "One new token needs no mask. What does the first of three new tokens see?",
        _variant(lambda past, new: None),
    ),
    Misconception(
        "mask-of-the-beginning",
        "the new queries get the first rows of the whole text's mask, not the last",
        "The new tokens stand at the end of the text. How many positions does the first of them see?",
        _variant(lambda past, new: causal_mask(past + new)[:new]),
    ),
    Misconception(
        "mask-of-the-beginning-for-pieces",
        "a piece of several tokens gets the first rows of the whole text's mask",
        "PyTorch's `is_causal=True` begins its mask at the first *key*, too. The new tokens stand at the "
        "end: how many positions does the first of them see?",
        _variant(lambda past, new: None if new == 1 else causal_mask(past + new)[:new]),
    ),
    Misconception(
        "no-mask-at-the-beginning",
        "there is no mask where there is no past",
        "Nothing is in the cache yet, but the first of four new tokens must not see the other three.",
        _variant(lambda past, new: _mask(past, new) if past else None),
    ),
    Misconception(
        "inverted",
        "the mask is the wrong way round: the new tokens see the future alone",
        "In this course a mask is True where a token may look.",
        _variant(lambda past, new: ~_mask(past, new)),
    ),
    Misconception(
        "masked-with-zero",
        "hidden scores become 0, not minus infinity",
        "Softmax makes of a score 0 a positive weight.",
        _masked_with_zero,
    ),
    Misconception(
        "strictly-earlier",
        "no token sees itself",
        "A token's own key and value belong to what it sees.",
        _variant(lambda past, new: torch.ones(new, past + new, dtype=torch.bool).tril(past - 1)),
    ),
    Misconception(
        "one-too-many",
        "every new token sees one token of the future",
        "Count for the first new token: the whole past, and itself.",
        _variant(lambda past, new: torch.ones(new, past + new, dtype=torch.bool).tril(past + 1)),
    ),
    Misconception(
        "past-hidden",
        "the new tokens see each other, and the past not at all",
        "What is the cache for?",
        _variant(_behind),
    ),
    Misconception(
        "past-only",
        "the new tokens see the past, and not themselves",
        "The new keys and values are among those that the queries meet.",
        _past_only,
    ),
    Misconception(
        "new-in-front",
        "the new keys and values are put in front of the past",
        "The text grows at its end, and the mask counts on that.",
        _new_in_front,
    ),
    Misconception(
        "cache-not-grown",
        "the cache comes back as it was",
        "What will the next token need of this one?",
        _cache_not_grown,
    ),
    Misconception(
        "only-the-new-kept",
        "the cache that comes back holds the new positions alone",
        "The next token wants to see the whole past.",
        _only_the_new_kept,
    ),
    Misconception(
        "sliding",
        "the cache forgets as much as it learns, so it never grows",
        "Nothing is to be forgotten here: all keys and values come back.",
        _sliding,
    ),
    Misconception(
        "key-for-value",
        "keys and values are swapped in the result",
        "The output, then the keys, then the values.",
        _key_for_value,
    ),
    Misconception(
        "last-output-only",
        "only the last of the new tokens gets an output",
        "A piece of several tokens needs an output for each: the next layer makes its keys from them.",
        _last_output_only,
    ),
    Misconception(
        "query-kept",
        "queries are kept in the place of keys",
        "A query is used once. What do later tokens look for?",
        _query_kept,
    ),
    Misconception(
        "not-scaled",
        "the scores are not divided by √d_k",
        "This is the attention of chapter 3, only with a longer list of keys.",
        _not_scaled,
    ),
    Misconception(
        "two-softmaxes",
        "past and new positions get a softmax each, and the results are averaged",
        "The weights of all positions together add up to 1: one softmax over all of them.",
        _two_softmaxes,
    ),
)


# --- Right answers in another form


def _fused(query, key, value, past_key, past_value):
    keys, values = torch.cat((past_key, key), -2), torch.cat((past_value, value), -2)
    new, length = key.shape[-2], keys.shape[-2]
    mask = torch.ones(new, length, dtype=torch.bool, device=query.device).tril(length - new)
    return F.scaled_dot_product_attention(query, keys, values, mask), keys, values


def _token_by_token(query, key, value, past_key, past_value):
    keys, values, outputs = past_key, past_value, []
    for i in range(key.shape[-2]):
        keys = torch.cat([keys, key[..., i : i + 1, :]], dim=-2)
        values = torch.cat([values, value[..., i : i + 1, :]], dim=-2)
        outputs.append(scaled_dot_product_attention(query[..., i : i + 1, :], keys, values))
    return torch.cat(outputs, dim=-2), keys, values


def _by_places(query, key, value, past_key, past_value):
    keys, values = torch.cat([past_key, key], dim=-2), torch.cat([past_value, value], dim=-2)
    places = torch.arange(keys.shape[-2], device=keys.device)
    mask = places <= places[past_key.shape[-2] :, None]
    scores = query @ keys.transpose(-2, -1) / query.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1) @ values, keys, values


def _scores_in_two_parts(query, key, value, past_key, past_value):
    """The scores of the past and of the new positions side by side: only the latter need a mask."""
    new = key.shape[-2]
    among_the_new = (query @ key.mT).masked_fill(~causal_mask(new).to(query.device), -torch.inf)
    weights = (torch.cat([query @ past_key.mT, among_the_new], dim=-1) / query.shape[-1] ** 0.5).softmax(-1)
    past = past_key.shape[-2]
    output = weights[..., :past] @ past_value + weights[..., past:] @ value
    return output, torch.cat([past_key, key], dim=-2), torch.cat([past_value, value], dim=-2)


ALTERNATIVES = (
    Alternative("torch's fused attention", _fused),
    Alternative("token by token, without a mask", _token_by_token),
    Alternative("a mask from the places", _by_places),
    Alternative("the scores in two parts", _scores_in_two_parts),
)

ONE = "attends from one new token to the past and to itself, and gives back the grown cache"

EXERCISE = Exercise(
    name="cache.attend_with_cache",
    number="8.7",
    title="Attention with a cache",
    minutes=12,
    difficulty=2,
    reference=cache.attend_with_cache,
    checks=(
        Check(ONE, 1, _one_token),
        Check("leaves the dimensions in front alone", 1, _many_texts),
        Check("hides the future within a piece of several tokens", 2, _several_tokens),
        Check("begins with an empty past", 1, _no_past),
    ),
    hints=(
        "Two lists grow: the keys and the values. `torch.cat([…], dim=-2)` puts one behind the other along "
        "the axis of the positions.",
        "Which rows of the whole text's causal mask belong to the new tokens? Write the mask down for a past "
        "of two and three new tokens.",
        "`cached_mask(past, new)` from the text above is that mask, and `scaled_dot_product_attention` from "
        "chapter 3 does the rest.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
)
