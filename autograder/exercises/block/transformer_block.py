"""Exercise 5.9: the block, pre-norm and post-norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal, random_mask, weights
from llmlib.transformer import TransformerBlock

SHAPE = {"d_model": 6, "n_heads": 2, "d_ff": 5}


def _case(
    g: torch.Generator,
    x: Tensor,
    *,
    norm_first: bool = True,
    bias: bool = True,
    gradient: bool = False,
    **masks: Any,
) -> Case:
    construct: dict[str, Any] = {**SHAPE, "bias": bias, **({} if norm_first else {"norm_first": False})}
    drawn = {n: w.to(x.dtype) for n, w in weights(TransformerBlock(**construct), g).items()}
    return Case({"x": x, **masks}, construct=construct, weights=drawn, gradient=gradient)


def _pre_norm(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2 * normal(g, 1, 3, 6))
    yield _case(g, normal(g, 2, 4, 6) + 1, bias=False)


def _masks(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, normal(g, 2, 4, 6), is_causal=True)
    yield _case(g, normal(g, 2, 4, 6), mask=random_mask(g, 4, 4))
    yield _case(g, normal(g, 2, 4, 6), mask=random_mask(g, 2, 1, 1, 4))
    # A padding mask in a text that is written from left to right: both count.
    mask = random_mask(g, 2, 1, 1, 4).index_fill(-1, torch.tensor(0), True)
    yield _case(g, normal(g, 2, 4, 6), mask=mask, is_causal=True)


def _post_norm(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2 * normal(g, 1, 3, 6), norm_first=False)
    yield _case(g, normal(g, 2, 4, 6) + 1, norm_first=False, bias=False)


def _everything(g: torch.Generator) -> Iterator[Case]:
    for norm_first in (True, False):
        x = normal(g, 2, 3, 6, dtype=torch.float64)
        yield _case(g, x, norm_first=norm_first, is_causal=True, gradient=True)
    yield _case(g, normal(g, 2, 4, 6), norm_first=False, mask=random_mask(g, 4, 4))


# --- Mistakes: the two parts stand in `_Parts`, so that each wrong block shows one thing


class _Parts(TransformerBlock):
    def attend(self, x, mask, is_causal):
        return self.attention(x, mask, is_causal=is_causal)

    def pre(self, x, mask, is_causal):
        x = x + self.attend(self.attention_norm(x), mask, is_causal)
        return x + self.feedforward(self.feedforward_norm(x))

    def post(self, x, mask, is_causal):
        x = self.attention_norm(x + self.attend(x, mask, is_causal))
        return self.feedforward_norm(x + self.feedforward(x))

    def forward(self, x, mask=None, *, is_causal=False):
        return (self.pre if self.norm_first else self.post)(x, mask, is_causal)


class _AlwaysPre(_Parts):
    def post(self, x, mask, is_causal):
        return self.pre(x, mask, is_causal)


class _AlwaysPost(_Parts):
    def pre(self, x, mask, is_causal):
        return self.post(x, mask, is_causal)


class _FlagInverted(_Parts):
    def forward(self, x, mask=None, *, is_causal=False):
        return (self.post if self.norm_first else self.pre)(x, mask, is_causal)


class _NoSkips(_Parts):
    def pre(self, x, mask, is_causal):
        x = self.attend(self.attention_norm(x), mask, is_causal)
        return self.feedforward(self.feedforward_norm(x))

    def post(self, x, mask, is_causal):
        x = self.attention_norm(self.attend(x, mask, is_causal))
        return self.feedforward_norm(self.feedforward(x))


class _NoSkipAroundAttention(_Parts):
    def pre(self, x, mask, is_causal):
        x = self.attend(self.attention_norm(x), mask, is_causal)
        return x + self.feedforward(self.feedforward_norm(x))

    def post(self, x, mask, is_causal):
        x = self.attention_norm(self.attend(x, mask, is_causal))
        return self.feedforward_norm(x + self.feedforward(x))


class _NoSkipAroundFeedforward(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.attend(self.attention_norm(x), mask, is_causal)
        return self.feedforward(self.feedforward_norm(x))

    def post(self, x, mask, is_causal):
        x = self.attention_norm(x + self.attend(x, mask, is_causal))
        return self.feedforward_norm(self.feedforward(x))


class _SkipFromNormed(_Parts):
    def pre(self, x, mask, is_causal):
        x = self.attention_norm(x)
        x = x + self.attend(x, mask, is_causal)
        x = self.feedforward_norm(x)
        return x + self.feedforward(x)


class _SkipFromTheInput(_Parts):
    def pre(self, x, mask, is_causal):
        attended = x + self.attend(self.attention_norm(x), mask, is_causal)
        return x + self.feedforward(self.feedforward_norm(attended))

    def post(self, x, mask, is_causal):
        attended = self.attention_norm(x + self.attend(x, mask, is_causal))
        return self.feedforward_norm(x + self.feedforward(attended))


class _Parallel(_Parts):
    def pre(self, x, mask, is_causal):
        attended = self.attend(self.attention_norm(x), mask, is_causal)
        return x + attended + self.feedforward(self.feedforward_norm(x))


class _FeedforwardFirst(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.feedforward(self.feedforward_norm(x))
        return x + self.attend(self.attention_norm(x), mask, is_causal)

    def post(self, x, mask, is_causal):
        x = self.feedforward_norm(x + self.feedforward(x))
        return self.attention_norm(x + self.attend(x, mask, is_causal))


class _OneNormForBoth(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.attend(self.attention_norm(x), mask, is_causal)
        return x + self.feedforward(self.attention_norm(x))

    def post(self, x, mask, is_causal):
        x = self.attention_norm(x + self.attend(x, mask, is_causal))
        return self.attention_norm(x + self.feedforward(x))


class _NormsExchanged(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.attend(self.feedforward_norm(x), mask, is_causal)
        return x + self.feedforward(self.attention_norm(x))

    def post(self, x, mask, is_causal):
        x = self.feedforward_norm(x + self.attend(x, mask, is_causal))
        return self.attention_norm(x + self.feedforward(x))


class _AttentionNotNormed(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.attend(x, mask, is_causal)
        return x + self.feedforward(self.feedforward_norm(x))


class _FeedforwardNotNormed(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.attend(self.attention_norm(x), mask, is_causal)
        return x + self.feedforward(x)


class _NormedTwice(_Parts):
    def pre(self, x, mask, is_causal):
        x = self.attention_norm(x + self.attend(self.attention_norm(x), mask, is_causal))
        return self.feedforward_norm(x + self.feedforward(self.feedforward_norm(x)))


class _OutputsNormed(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.attention_norm(self.attend(x, mask, is_causal))
        return x + self.feedforward_norm(self.feedforward(x))

    def post(self, x, mask, is_causal):
        return self.pre(x, mask, is_causal)


class _PostNormInsideTheSum(_Parts):
    def post(self, x, mask, is_causal):
        x = x + self.attention_norm(self.attend(x, mask, is_causal))
        return x + self.feedforward_norm(self.feedforward(x))


class _MaskIgnored(_Parts):
    def attend(self, x, mask, is_causal):
        return self.attention(x, None, is_causal=is_causal)


class _CausalIgnored(_Parts):
    def attend(self, x, mask, is_causal):
        return self.attention(x, mask)


class _AlwaysCausal(_Parts):
    def attend(self, x, mask, is_causal):
        return self.attention(x, mask, is_causal=True)


class _CausalOrMask(_Parts):
    def attend(self, x, mask, is_causal):
        return self.attention(x, mask, is_causal=is_causal and mask is None)


class _AttentionAlone(_Parts):
    def pre(self, x, mask, is_causal):
        return x + self.attend(self.attention_norm(x), mask, is_causal)

    def post(self, x, mask, is_causal):
        return self.attention_norm(x + self.attend(x, mask, is_causal))


class _MaskInverted(_Parts):
    def attend(self, x, mask, is_causal):
        return self.attention(x, None if mask is None else ~mask, is_causal=is_causal)


class _SkipDetached(_Parts):
    def pre(self, x, mask, is_causal):
        x = x.detach() + self.attend(self.attention_norm(x), mask, is_causal)
        return x.detach() + self.feedforward(self.feedforward_norm(x))


class _InPlace(_Parts):
    def pre(self, x, mask, is_causal):
        x += self.attend(self.attention_norm(x), mask, is_causal)
        x += self.feedforward(self.feedforward_norm(x))
        return x


class _CausalInTheThirdPlace(_Parts):
    def attend(self, x, mask, is_causal):
        return self.attention(x, mask, is_causal)


class _FeedforwardOfTheUpdate(_Parts):
    def pre(self, x, mask, is_causal):
        update = self.attend(self.attention_norm(x), mask, is_causal)
        return x + update + self.feedforward(self.feedforward_norm(update))

    def post(self, x, mask, is_causal):
        update = self.attention_norm(self.attend(x, mask, is_causal))
        return self.feedforward_norm(x + update + self.feedforward(update))


class _StreamTwice(_Parts):
    def pre(self, x, mask, is_causal):
        attended = x + self.attend(self.attention_norm(x), mask, is_causal)
        return x + attended + self.feedforward(self.feedforward_norm(attended))


class _OneNormAtTheEnd(_Parts):
    def post(self, x, mask, is_causal):
        x = x + self.attend(x, mask, is_causal)
        return self.feedforward_norm(x + self.feedforward(x))


class _LastSumNotNormed(_Parts):
    def post(self, x, mask, is_causal):
        x = self.attention_norm(x + self.attend(x, mask, is_causal))
        return x + self.feedforward(x)


class _PartsReadTheNormTwice(_Parts):
    def post(self, x, mask, is_causal):
        x = self.attention_norm(x + self.attend(self.attention_norm(x), mask, is_causal))
        return self.feedforward_norm(x + self.feedforward(self.feedforward_norm(x)))


class _UpdatesAlone(_Parts):
    def pre(self, x, mask, is_causal):
        first = self.attend(self.attention_norm(x), mask, is_causal)
        return first + self.feedforward(self.feedforward_norm(x + first))


class _TextAgainstItself(_Parts):
    def pre(self, x, mask, is_causal):
        x = x + self.attention(self.attention_norm(x), mask, x, is_causal=is_causal)
        return x + self.feedforward(self.feedforward_norm(x))


MISCONCEPTIONS = (
    Misconception(
        "always-pre",
        "`norm_first` is ignored and the norms always come first",
        "With `norm_first=False` each sum is normed, and the parts read the stream as it is.",
        _AlwaysPre,
    ),
    Misconception(
        "always-post",
        "the norms always come after the sums",
        "`norm_first` is True unless the caller says otherwise.",
        _AlwaysPost,
    ),
    Misconception(
        "flag-inverted",
        "the two orders are exchanged",
        "`norm_first` True: the norm stands before the part.",
        _FlagInverted,
    ),
    Misconception(
        "no-skips",
        "the stream is replaced by each part, and nothing is added to it",
        "Set every part's output to 0: the input should come through. Does it?",
        _NoSkips,
    ),
    Misconception(
        "no-skip-around-attention",
        "attention replaces the stream instead of adding to it",
        "Both parts add. Only one of yours does.",
        _NoSkipAroundAttention,
    ),
    Misconception(
        "no-skip-around-feedforward",
        "the feed-forward layer replaces the stream instead of adding to it",
        "Both parts add. Only one of yours does.",
        _NoSkipAroundFeedforward,
    ),
    Misconception(
        "skip-from-normed",
        "what is added to is the normed stream, not the stream itself",
        "In pre-norm only the part sees the norm. The stream passes by untouched.",
        _SkipFromNormed,
    ),
    Misconception(
        "skip-from-the-input",
        "the second sum starts from the block's input, so what attention added is lost",
        "The stream flows on: the second part adds to what the first one left.",
        _SkipFromTheInput,
    ),
    Misconception(
        "parallel",
        "both parts read the same stream, side by side",
        "Some models do that. Here the feed-forward layer reads what attention has added.",
        _Parallel,
    ),
    Misconception(
        "feedforward-first",
        "the feed-forward layer comes before attention",
        "First the positions exchange information, then each thinks about it.",
        _FeedforwardFirst,
    ),
    Misconception(
        "one-norm-for-both",
        "one norm serves both parts",
        "Each part has a norm of its own, with weights of its own.",
        _OneNormForBoth,
    ),
    Misconception(
        "norms-exchanged",
        "each part uses the other one's norm",
        "Their names say where they belong. Fresh norms are all alike, so a first test would not notice.",
        _NormsExchanged,
    ),
    Misconception(
        "attention-not-normed",
        "attention reads the stream as it is, not normed",
        "Two parts, two norms: one is not used.",
        _AttentionNotNormed,
    ),
    Misconception(
        "feedforward-not-normed",
        "the feed-forward layer reads the stream as it is, not normed",
        "Two parts, two norms: one is not used.",
        _FeedforwardNotNormed,
    ),
    Misconception(
        "normed-twice",
        "the norms come before the parts and after the sums as well",
        "One of the two places, not both.",
        _NormedTwice,
    ),
    Misconception(
        "outputs-normed",
        "the norms stand on the parts' outputs, neither before the parts nor after the sums",
        "Look at the arrows into and out of each norm in the two diagrams.",
        _OutputsNormed,
    ),
    Misconception(
        "post-norm-inside-the-sum",
        "with `norm_first=False` only the part's output is normed, not the sum",
        "Post-norm norms the whole sum, the stream included.",
        _PostNormInsideTheSum,
    ),
    Misconception(
        "mask-ignored",
        "`mask` does not reach attention",
        "Change a hidden position: nothing else may move.",
        _MaskIgnored,
    ),
    Misconception(
        "causal-ignored",
        "`is_causal` does not reach attention",
        "Change the last position: with `is_causal` no earlier one may move.",
        _CausalIgnored,
    ),
    Misconception(
        "always-causal",
        "the future is always hidden",
        "The caller decides. A model that reads a whole text at once may look ahead.",
        _AlwaysCausal,
    ),
    Misconception(
        "causal-or-mask",
        "`is_causal` is dropped where there is a mask",
        "A padded text that is written from left to right needs both. Attention takes both.",
        _CausalOrMask,
    ),
    Misconception(
        "attention-alone",
        "the feed-forward layer is missing",
        "A block has two parts. What comes back after the first?",
        _AttentionAlone,
    ),
    Misconception(
        "mask-inverted",
        "the mask is turned around on its way",
        "True means may attend, here as in attention: pass it on as it is.",
        _MaskInverted,
    ),
    Misconception(
        "skip-detached",
        "the gradient does not flow along the stream",
        "The stream is the gradient's main road. Remove `.detach()`.",
        _SkipDetached,
    ),
    Misconception(
        "in-place",
        "x itself is changed",
        "`+=` writes into the caller's tensor. Make a new one.",
        _InPlace,
    ),
    Misconception(
        "causal-in-the-third-place",
        "`is_causal` is handed over in the third place, which is the context's",
        "Pass it by its name.",
        _CausalInTheThirdPlace,
    ),
    Misconception(
        "feedforward-of-the-update",
        "the feed-forward layer reads what attention gave, not the stream that it was added to",
        "First the sum, then the next part reads the sum.",
        _FeedforwardOfTheUpdate,
    ),
    Misconception(
        "stream-twice",
        "the block's input is added a second time at the end",
        "It is in the stream already, since the first sum.",
        _StreamTwice,
    ),
    Misconception(
        "one-norm-at-the-end",
        "with `norm_first=False` the first sum is not normed",
        "Two sums, two norms: follow the second diagram arrow by arrow.",
        _OneNormAtTheEnd,
    ),
    Misconception(
        "last-sum-not-normed",
        "with `norm_first=False` the last sum is not normed",
        "Two sums, two norms: follow the second diagram arrow by arrow.",
        _LastSumNotNormed,
    ),
    Misconception(
        "norms-before-as-well",
        "with `norm_first=False` the norms stand before the parts as well",
        "In post-norm the parts read the stream as it is.",
        _PartsReadTheNormTwice,
    ),
    Misconception(
        "updates-alone",
        "the stream itself is missing in the result, only what was added comes back",
        "Set every part's output to 0: the input should come through. Does it?",
        _UpdatesAlone,
    ),
    Misconception(
        "context-not-normed",
        "attention's queries come from the normed stream, and its keys and values from the raw one",
        "In a block without a context of its own attention reads one thing: leave the third place empty.",
        _TextAgainstItself,
    ),
)


# --- Right answers in another form


class _OnePartAtATime(TransformerBlock):
    def forward(self, x, mask=None, *, is_causal=False):
        def attend(stream):
            return self.attention(stream, mask, is_causal=is_causal)

        for norm, part in ((self.attention_norm, attend), (self.feedforward_norm, self.feedforward)):
            x = x + part(norm(x)) if self.norm_first else norm(x + part(x))
        return x


class _OneExpression(TransformerBlock):
    def forward(self, x, mask=None, *, is_causal=False):
        if not self.norm_first:
            h = self.attention_norm(self.attention(x, mask, None, is_causal=is_causal) + x)
            return self.feedforward_norm(self.feedforward(h) + h)
        h = torch.add(x, self.attention(self.attention_norm(x), mask=mask, is_causal=is_causal))
        return torch.add(h, self.feedforward(self.feedforward_norm(h)))


class _CausalMaskMade(TransformerBlock):
    def forward(self, x, mask=None, *, is_causal=False):
        if is_causal:
            past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
            mask = past if mask is None else mask & past
        normed = self.attention_norm(x) if self.norm_first else x
        x = x + self.attention(normed, mask)
        x = x if self.norm_first else self.attention_norm(x)
        normed = self.feedforward_norm(x) if self.norm_first else x
        x = x + self.feedforward(normed)
        return x if self.norm_first else self.feedforward_norm(x)


class _UpdatesSummed(TransformerBlock):
    def forward(self, x, mask=None, *, is_causal=False):
        if self.norm_first:
            first = self.attention(self.attention_norm(x), mask, is_causal=is_causal)
            second = self.feedforward(self.feedforward_norm(x + first))
            return x + first + second
        first = self.attention(x, mask, is_causal=is_causal)
        middle = self.attention_norm(x + first)
        return self.feedforward_norm(middle + self.feedforward(middle))


ALTERNATIVES = (
    Alternative("one loop over both parts", _OnePartAtATime),
    Alternative("one expression a sum", _OneExpression),
    Alternative("a causal mask of its own, norms chosen on the way", _CausalMaskMade),
    Alternative("both updates added at the end", _UpdatesSummed),
)

EXERCISE = Exercise(
    name="transformer.TransformerBlock.forward",
    number="5.9",
    title="The transformer block",
    minutes=15,
    difficulty=2,
    reference=TransformerBlock,
    checks=(
        Check("adds to the stream what each part makes of the normed stream", 2, _pre_norm),
        Check("passes the masks on to attention", 2, _masks),
        Check("norms each sum when `norm_first` is False", 2, _post_norm),
        Check("is right in every detail: both orders, masks, dtypes and gradients", 1, _everything),
    ),
    hints=(
        "Each part is one line. What is on the left of its plus sign, and what does the part read?",
        "Pre-norm: the norm stands inside the call of the part. Post-norm: the norm stands around the whole "
        "sum. `self.attention` takes the mask and, by name, `is_causal`.",
        "Follow the two diagrams arrow by arrow, once for each order, and choose with an `if`. Each of the "
        "two norms has its place; neither part appears twice in one order.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
