"""Wrong filters of logits: misconceptions of exercises 8.2 and 8.3, and mutants of 8.5.

Those that no probe of 8.5 is asked to expose stand apart, in `TOP_P_DETAILS` and `REPETITION_DETAILS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from autograder.exercise import Misconception

# --- top-p


def _kept(logits, keep):
    return logits.masked_fill(~keep, -torch.inf)


def _nucleus(logits, p, before=True, shift=0):
    """Which tokens stay, in their own order; `before` compares what was reached without the token."""
    ordered, order = logits.sort(dim=-1, descending=True)
    shares = ordered.softmax(dim=-1)
    reached = shares.cumsum(dim=-1) - (1 + shift) * shares if before else shares.cumsum(dim=-1)
    return order, reached < p


def _stops_short(logits, p):
    order, keep = _nucleus(logits, p, before=False)
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def _stops_short_of_all_but_one(logits, p):
    order, keep = _nucleus(logits, p, before=False)
    keep[..., 0] = True
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def _one_too_many(logits, p):
    order, keep = _nucleus(logits, p)
    keep = torch.cat([keep[..., :1], keep[..., :-1]], dim=-1)
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def _least_likely_first(logits, p):
    ordered, order = logits.sort(dim=-1)
    shares = ordered.softmax(dim=-1)
    keep = shares.cumsum(dim=-1) - shares < p
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def _left_sorted(logits, p):
    order, keep = _nucleus(logits, p)
    return _kept(logits.gather(-1, order), keep)


def _mask_left_sorted(logits, p):
    return _kept(logits, _nucleus(logits, p)[1])


def _gathered_back(logits, p):
    order, keep = _nucleus(logits, p)
    return _kept(logits.gather(-1, order), keep).gather(-1, order)


def _not_sorted(logits, p):
    shares = logits.softmax(dim=-1)
    return _kept(logits, shares.cumsum(dim=-1) - shares < p)


def _own_probability(logits, p):
    return _kept(logits, logits.softmax(dim=-1) >= p)


def _above_one_less_p(logits, p):
    return _kept(logits, logits.softmax(dim=-1) >= 1 - p)


def _like_min_p(logits, p):
    shares = logits.softmax(dim=-1)
    return _kept(logits, shares >= p * shares.amax(dim=-1, keepdim=True))


def _logits_added_up(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    keep = ordered.cumsum(dim=-1) - ordered < p
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def _share_of_the_tokens(logits, p):
    count = math.ceil(p * logits.shape[-1])
    return _kept(logits, logits >= logits.topk(count, dim=-1).values[..., -1:])


def _zeros(logits, p):
    order, keep = _nucleus(logits, p)
    return logits.masked_fill(~torch.zeros_like(keep).scatter(-1, order, keep), 0.0)


def _probabilities(logits, p):
    order, keep = _nucleus(logits, p)
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep)).softmax(dim=-1)


def _over_the_whole_batch(logits, p):
    order, keep = _nucleus(logits.flatten(), p * logits[..., 0].numel())
    keep = torch.zeros_like(keep).scatter(-1, order, keep).reshape(logits.shape)
    return _kept(logits, keep)


def _first_row_for_all(logits, p):
    order, keep = _nucleus(logits.flatten(0, -2)[0] if logits.dim() > 1 else logits, p)
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep).expand_as(logits))


TOP_P = (
    Misconception(
        "stops-short",
        "the token with which the sum reaches p is ruled out too",
        "The kept tokens must reach p together. Compare what was reached *before* a token with p.",
        _stops_short,
    ),
    Misconception(
        "stops-short-of-all-but-one",
        "the token with which the sum reaches p is ruled out, unless it is the likeliest",
        "Rescuing the first token alone is not enough: with every p the kept ones must reach p together.",
        _stops_short_of_all_but_one,
    ),
    Misconception(
        "one-too-many",
        "one token more than needed is kept",
        "Once the sum has reached p, nothing further may stay.",
        _one_too_many,
    ),
    Misconception(
        "least-likely-first",
        "the sum begins with the least likely token",
        "In which order does your sort run?",
        _least_likely_first,
    ),
    Misconception(
        "left-sorted",
        "the logits come back in sorted order, so every token has another's logit",
        "Position in the row *is* the token. Undo the sort at the end.",
        _left_sorted,
    ),
    Misconception(
        "mask-left-sorted",
        "what to keep is decided in sorted order and applied in the tokens' own order",
        "Sort order and tokens' order are two things. Which of them does your mask live in?",
        _mask_left_sorted,
    ),
    Misconception(
        "gathered-back",
        "the sort is undone by reading with its order a second time",
        "Reading with an order twice is not the way back: `scatter` writes where `gather` reads.",
        _gathered_back,
    ),
    Misconception(
        "not-sorted",
        "the probabilities are added up in the order of the vocabulary",
        "The most likely tokens come first, wherever they stand in the row.",
        _not_sorted,
    ),
    Misconception(
        "own-probability",
        "each token's own probability is compared with p",
        "p is what the kept tokens reach *together*.",
        _own_probability,
    ),
    Misconception(
        "above-one-less-p",
        "each token's own probability is compared with 1 - p",
        "p is what the kept tokens reach *together*; no single token has to reach anything.",
        _above_one_less_p,
    ),
    Misconception(
        "like-min-p",
        "tokens are compared with p times the most likely one: that is min-p",
        "Top-p adds probabilities up.",
        _like_min_p,
    ),
    Misconception(
        "logits-added-up",
        "the logits are added up, not the probabilities",
        "What turns logits into numbers that add up to 1?",
        _logits_added_up,
    ),
    Misconception(
        "share-of-the-tokens",
        "a share p of the tokens is kept, however likely they are",
        "p is a probability, not a share of the vocabulary.",
        _share_of_the_tokens,
    ),
    Misconception(
        "zeros",
        "what is ruled out gets the logit 0",
        "Softmax makes of a logit 0 a positive number. Which logit becomes probability 0?",
        _zeros,
    ),
    Misconception(
        "probabilities",
        "probabilities are returned, not logits",
        "The next step takes logits, and applies softmax itself.",
        _probabilities,
    ),
    Misconception(
        "over-the-whole-batch",
        "all rows share one sum",
        "Every row is a distribution of its own.",
        _over_the_whole_batch,
    ),
    Misconception(
        "first-row-for-all",
        "the first row decides for all rows",
        "Every row is a distribution of its own.",
        _first_row_for_all,
    ),
)


# --- Wrong in a detail, or in a form of its own


def _stops_short_above(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    keep = ordered.softmax(dim=-1).cumsum(dim=-1) <= p
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def _certain_tail_lost(logits, p):
    order, keep = _nucleus(logits, p)
    return _kept(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def _right(logits, p):
    return logits if p == 1 else _certain_tail_lost(logits, p)


def _finite(lowest: float) -> Callable[..., Tensor]:
    def filled(logits, p):
        kept = _certain_tail_lost(logits, p)
        return kept.where(kept.isfinite(), lowest)

    return filled


def _the_other_ones(logits, p):
    kept = _certain_tail_lost(logits, p)
    return logits.masked_fill(kept.isfinite(), -torch.inf)


def _taken_out(logits, p):
    return logits[_certain_tail_lost(logits, p).isfinite()]


def _zero_probabilities(logits, p):
    return logits.softmax(dim=-1) * _certain_tail_lost(logits, p).isfinite()


def _log_probabilities_first(logits, p):
    return _certain_tail_lost(logits.log_softmax(dim=-1), p)


def _along_the_first_axis(logits, p):
    return _certain_tail_lost(logits.movedim(0, -1), p).movedim(-1, 0)


def _tail_up_to_p(logits, p):
    ordered, order = logits.sort(dim=-1)
    goes = ordered.softmax(dim=-1).cumsum(dim=-1) <= p
    goes[..., -1] = False
    return logits.masked_fill(torch.zeros_like(goes).scatter(-1, order, goes), -torch.inf)


def _shifted_back(logits, p):
    """The mask of what goes is moved by one place in the wrong direction."""
    ordered, order = logits.sort(dim=-1, descending=True)
    goes = ordered.softmax(dim=-1).cumsum(dim=-1) >= p
    goes = torch.cat([goes[..., 1:], goes[..., -1:]], dim=-1)
    goes[..., 0] = False
    return logits.masked_fill(torch.zeros_like(goes).scatter(-1, order, goes), -torch.inf)


def right_at_one(mistakes: tuple[Misconception, ...]) -> tuple[Misconception, ...]:
    """The same mistakes of somebody who knows that nothing is ruled out where p is 1."""

    def spared(answer: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda logits, p: logits.clone() if p == 1 else answer(logits, p)

    return tuple(
        replace(m, id=f"{m.id}-below-one", title=f"{m.title} (where p is below 1)", answer=spared(m.answer))
        for m in mistakes
    )


TOP_P_DETAILS = (
    Misconception(
        "stops-short-above",
        "a token is ruled out if the sum *with* it is above p",
        "Then a token of probability 0.95 rules itself out. What was reached *before* it?",
        _stops_short_above,
    ),
    Misconception(
        "certain-tail-lost",
        "with p = 1 tokens are lost whose probability is so small that the sum is 1 without them",
        "In float32 the sum before a very unlikely token may be exactly 1, and 1 is not less than 1. p = 1 "
        "is a case of its own.",
        _certain_tail_lost,
    ),
    Misconception(
        "nearly-infinite",
        "a large negative number stands in the place of minus infinity",
        "The next filter may ask which logits are infinite. Python writes minus infinity as `-torch.inf` or "
        "`-math.inf`.",
        _finite(-1e9),
    ),
    Misconception(
        "smallest-number",
        "the smallest finite number stands in the place of minus infinity",
        "The next filter may ask which logits are infinite. Python writes minus infinity as `-torch.inf` or "
        "`-math.inf`.",
        _finite(torch.finfo(torch.float32).min),
    ),
    Misconception(
        "the-other-ones",
        "what should stay is ruled out, and what should go stays",
        "Say in words what your mask is True for, and what is done where it is True.",
        _the_other_ones,
    ),
    Misconception(
        "taken-out",
        "what is ruled out is taken out of the row, which becomes shorter",
        "A token is known by its place in the row. The row keeps its length.",
        _taken_out,
    ),
    Misconception(
        "zero-probabilities",
        "probabilities are returned, with 0 for what is ruled out",
        "The next step takes logits, and applies softmax itself. Which logit becomes probability 0?",
        _zero_probabilities,
    ),
    Misconception(
        "along-the-first-axis",
        "the first axis is taken for the vocabulary, and it is the batch as soon as there is one",
        "The vocabulary is the last axis, `dim=-1`: for the sort, for the softmax and for the sum.",
        _along_the_first_axis,
    ),
    Misconception(
        "tail-up-to-p",
        "the least likely tokens go until *they* have p together",
        "What stays has to reach p. How much may go, at most?",
        _tail_up_to_p,
    ),
    Misconception(
        "shifted-back",
        "the mask is moved by one place in the wrong direction, and two tokens too many go",
        "The token with which the sum reaches p has to stay. Does it, in the worked example?",
        _shifted_back,
    ),
    Misconception(
        "log-probabilities-first",
        "log-probabilities stand in the result, not the logits that came",
        "Compare with probabilities if you like, but a token that stays keeps its logit as it is.",
        _log_probabilities_first,
    ),
    Misconception(
        "log-probabilities",
        "the result is right as a distribution, but it holds log-probabilities, not the logits that came",
        "Nothing has to add up to 1 yet. A token that stays keeps its logit as it is.",
        lambda logits, p: _right(logits, p).log_softmax(dim=-1),
    ),
)


# --- The repetition penalty


def _seen(logits, tokens):
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, tokens, True)


def _lowered(logits, penalty):
    return torch.where(logits > 0, logits / penalty, logits * penalty)


def _always_divided(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens), logits / penalty, logits)


def _always_multiplied(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens), logits * penalty, logits)


def _the_other_way(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens), _lowered(logits, 1 / penalty), logits)


def _every_token(logits, tokens, penalty):
    return _lowered(logits, penalty)


def _unseen_tokens(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens), logits, _lowered(logits, penalty))


def _once_for_each_time(logits, tokens, penalty):
    times = torch.zeros_like(logits).scatter_add(-1, tokens, torch.ones_like(tokens, dtype=logits.dtype))
    return _lowered(logits, penalty**times)


def _subtracted(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens), logits - penalty, logits)


def _last_token_only(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens[..., -1:]), _lowered(logits, penalty), logits)


def _tokens_of_all_rows(logits, tokens, penalty):
    seen = torch.zeros(logits.shape[-1], dtype=torch.bool)
    seen[tokens.flatten()] = True
    return torch.where(seen, _lowered(logits, penalty), logits)


def _tokens_of_the_first_row(logits, tokens, penalty):
    first = tokens.flatten(0, -2)[:1].squeeze(0) if tokens.dim() > 1 else tokens
    seen = torch.zeros(logits.shape[-1], dtype=torch.bool)
    seen[first] = True
    return torch.where(seen, _lowered(logits, penalty), logits)


def _ruled_out(logits, tokens, penalty):
    return logits.masked_fill(_seen(logits, tokens), -torch.inf)


def _log_probabilities(logits, tokens, penalty):
    logits = logits.log_softmax(dim=-1)
    return torch.where(_seen(logits, tokens), logits * penalty, logits)


def _places_for_tokens(logits, tokens, penalty):
    places = torch.arange(logits.shape[-1]) < tokens.shape[-1]
    return torch.where(places, _lowered(logits, penalty), logits)


REPETITION = (
    Misconception(
        "always-divided",
        "negative logits are divided too, which makes their tokens likelier",
        "Divide -4 by 2. Has the token become more likely or less?",
        _always_divided,
    ),
    Misconception(
        "always-multiplied",
        "positive logits are multiplied too, which makes their tokens likelier",
        "Multiply 4 by 2. Has the token become more likely or less?",
        _always_multiplied,
    ),
    Misconception(
        "the-other-way",
        "the tokens that occurred become likelier",
        "A penalty above 1 has to lower the logits. Try it with 4 and with -4.",
        _the_other_way,
    ),
    Misconception(
        "every-token",
        "all tokens are lowered, whether they occurred or not",
        "Only what stands in `tokens` is meant.",
        _every_token,
    ),
    Misconception(
        "unseen-tokens",
        "the tokens that did not occur are lowered",
        "Is the mask the right way round?",
        _unseen_tokens,
    ),
    Misconception(
        "once-for-each-time",
        "a token that occurred three times is lowered three times",
        "Here it counts *that* a token occurred, not how often.",
        _once_for_each_time,
    ),
    Misconception(
        "subtracted",
        "the penalty is subtracted from the logits",
        "There is such a penalty, by another name (presence penalty). This one divides or multiplies.",
        _subtracted,
    ),
    Misconception(
        "last-token-only",
        "only the last token of each text is lowered",
        "All tokens of the row have been written.",
        _last_token_only,
    ),
    Misconception(
        "tokens-of-all-rows",
        "each text is punished for what the other texts of the batch said",
        "Each row of logits goes with one row of tokens.",
        _tokens_of_all_rows,
    ),
    Misconception(
        "tokens-of-the-first-row",
        "every text is punished for what the first one said",
        "Each row of logits goes with one row of tokens.",
        _tokens_of_the_first_row,
    ),
    Misconception(
        "ruled-out",
        "the tokens that occurred are ruled out",
        "They should become less likely, not impossible: a text needs its spaces again.",
        _ruled_out,
    ),
    Misconception(
        "log-probabilities",
        "the logits are turned into log-probabilities first",
        "The rule speaks of the logits as they come.",
        _log_probabilities,
    ),
    Misconception(
        "places-for-tokens",
        "the first logits are lowered, as many as there are tokens: places are taken for tokens",
        "`tokens` holds numbers of tokens. Use them as the places in the row of logits.",
        _places_for_tokens,
    ),
)


def _every_time_for_all_rows(logits, tokens, penalty):
    result = logits.clone()
    for token in tokens.flatten():
        result[..., token] = _lowered(result[..., token], penalty)
    return result


def _each_time_and_always_divided(logits, tokens, penalty):
    times = torch.zeros_like(logits).scatter_add(-1, tokens, torch.ones_like(tokens, dtype=logits.dtype))
    return logits / penalty**times


def _negative_left_alone(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens) & (logits > 0), logits / penalty, logits)


def _never_raised(logits, tokens, penalty):
    return torch.where(_seen(logits, tokens), torch.minimum(logits / penalty, logits * penalty), logits)


def _said_alone(logits, tokens, penalty):
    return _lowered(logits.gather(-1, tokens), penalty)


def _probabilities_divided(logits, tokens, penalty):
    shares = logits.softmax(dim=-1)
    return torch.where(_seen(logits, tokens), shares / penalty, shares)


def _zeroed(logits, tokens, penalty):
    return logits.masked_fill(_seen(logits, tokens), 0.0)


REPETITION_DETAILS = (
    Misconception(
        "each-time-and-always-divided",
        "the logit is divided at every occurrence, and negative ones too",
        "Two things: a token counts once, however often it occurs; and -4 divided by 2 is larger than -4.",
        _each_time_and_always_divided,
    ),
    Misconception(
        "negative-left-alone",
        "negative logits stay as they are",
        "A token with the logit -4 has been said as well. What makes -4 smaller: division or multiplication?",
        _negative_left_alone,
    ),
    Misconception(
        "never-raised",
        "the smaller of both results is taken, so a penalty below 1 lowers too",
        "The sign of the logit decides, not which result is smaller. A penalty of 0.5 invites repetition.",
        _never_raised,
    ),
    Misconception(
        "said-alone",
        "only the logits of the tokens in `tokens` come back",
        "They were read and lowered. Now they belong back in the whole row: `scatter` writes where `gather` "
        "reads.",
        _said_alone,
    ),
    Misconception(
        "probabilities-divided",
        "probabilities are divided by the penalty, and returned",
        "The rule speaks of the logits as they come, and logits come back.",
        _probabilities_divided,
    ),
    Misconception(
        "zeroed",
        "the tokens that occurred get the logit 0",
        "A logit of 0 is no small one: for a token with the logit -4 it is a reward.",
        _zeroed,
    ),
    Misconception(
        "every-time-for-all-rows",
        "every token that anybody said lowers the logits of all rows, each time it was said",
        "Each row of logits goes with one row of tokens, and a token counts once in it.",
        _every_time_for_all_rows,
    ),
)


# --- Further mutants: top-k and min-p


def _k_smallest(logits, k):
    k = min(k, logits.shape[-1])
    return _kept(logits, logits <= logits.topk(k, dim=-1, largest=False).values[..., -1:])


def _one_token_less(logits, k):
    return _kept(logits, logits >= logits.topk(max(1, k - 1), dim=-1).values[..., -1:])


def _one_token_more(logits, k):
    k = min(k + 1, logits.shape[-1])
    return _kept(logits, logits >= logits.topk(k, dim=-1).values[..., -1:])


def _k_of_the_first_row(logits, k):
    k = min(k, logits.shape[-1])
    return _kept(logits, logits >= logits[0].topk(k).values[-1])


def _first_k_places(logits, k):
    return _kept(logits, (torch.arange(logits.shape[-1]) < k).expand_as(logits))


def _k_with_zeros(logits, k):
    k = min(k, logits.shape[-1])
    return logits.masked_fill(logits < logits.topk(k, dim=-1).values[..., -1:], 0.0)


def _exactly_k(logits, k):
    best = logits.topk(min(k, logits.shape[-1]), dim=-1)
    return torch.full_like(logits, -torch.inf).scatter(-1, best.indices, best.values)


TOP_K = (
    Misconception("k-smallest", "the k least likely tokens are kept", "Try two tokens.", _k_smallest),
    Misconception("k-less-one", "one token too few is kept", "Count what is left.", _one_token_less),
    Misconception("k-and-one", "one token too many is kept", "Count what is left.", _one_token_more),
    Misconception("k-of-the-first-row", "the first row's limit holds for all", "Rows.", _k_of_the_first_row),
    Misconception("first-k-places", "the first k places of the row are kept", "Order.", _first_k_places),
    Misconception("k-with-zeros", "what is ruled out gets the logit 0", "Minus infinity.", _k_with_zeros),
    Misconception(
        "exactly-k", "of tokens as likely as the k-th only some are kept", "Equal logits.", _exactly_k
    ),
)


def _least_of_the_logits(logits, p):
    return _kept(logits, logits >= p * logits.amax(dim=-1, keepdim=True))


def _least_absolute(logits, p):
    keep = logits.softmax(dim=-1) >= p
    return _kept(logits, keep | (logits == logits.amax(dim=-1, keepdim=True)))


def _least_of_the_batch(logits, p):
    return _kept(logits, logits >= logits.amax() + math.log(p))


def _least_to_lower(logits, p):
    return _kept(logits, logits >= logits.amax(dim=-1, keepdim=True) - p)


MIN_P = (
    Misconception(
        "least-of-the-logits",
        "the logits are compared, not the probabilities",
        "Softmax.",
        _least_of_the_logits,
    ),
    Misconception(
        "least-absolute", "p is compared with the probabilities themselves", "Ratio.", _least_absolute
    ),
    Misconception(
        "least-of-the-batch", "the likeliest token of all rows sets the limit", "Rows.", _least_of_the_batch
    ),
    Misconception(
        "least-to-lower", "tokens stay if their logit is at most p lower", "log p.", _least_to_lower
    ),
)
