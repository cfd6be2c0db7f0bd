"""Exercise 5.2: the feed-forward layer with three bugs that raise no error, one of them widely copied."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises import mistakes
from autograder.exercises.probes import normal, transposed, weights
from llmlib import feedforward
from llmlib.feedforward import FeedForward

STARTER = '''\
class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, the same at every position.

    d_ff:    the width between the two; by default 4 · d_model, as in every GPT.
    dropout: on the output (Vaswani et al., section 5.4).
    fused:   PyTorch's GELU kernel in the place of ours: equal, faster.
    approximate: the form of GELU, as in `gelu`; "tanh" for weights of GPT-2.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        fused: bool = False,
        approximate: Literal["none", "tanh"] = "none",
    ) -> None:
        super().__init__()
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.hidden = nn.Linear(d_model, d_ff, bias=bias)
        self.output = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.fused = fused
        self.approximate = approximate

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        hidden = self.hidden(x)
        hidden = F.relu(hidden) if self.fused else gelu(hidden, approximate=self.approximate)
        return x + self.dropout(F.relu(self.output(hidden)))
'''


# --- Probes that show one bug at a time. At x = 0 it does not matter whether x is added; with a large shift
# on the output a ReLU after it changes nothing; and whether the two kernels agree shows only when asked.


def _case(
    g: torch.Generator,
    x: Tensor,
    *,
    shift: float = 0.0,
    fused: bool = False,
    bias: bool = True,
    approximate: str = "none",
    gradient: bool = False,
    dropout: float = 0.0,
) -> Case:
    """With dropout the layer is training."""
    about = {"bias": bias, "fused": fused, "approximate": approximate, "dropout": dropout}
    construct: dict[str, Any] = {"d_model": x.shape[-1], "d_ff": 7, **about}
    drawn = {n: w.to(x.dtype) for n, w in weights(FeedForward(**construct), g).items()}
    if shift:
        drawn["output.bias"] = drawn["output.bias"] + shift
    return Case({"x": x}, construct=construct, weights=drawn, gradient=gradient, training=dropout > 0)


def _output_as_it_is(g: torch.Generator) -> Iterator[Case]:
    for shape in ((6,), (3, 5)):
        yield _case(g, torch.zeros(shape))


def _nothing_added(g: torch.Generator) -> Iterator[Case]:
    for shape in ((5,), (2, 3, 4)):
        yield _case(g, 2 * normal(g, *shape), shift=50.0)


def _both_kernels(g: torch.Generator) -> Iterator[Case]:
    for shape in ((6,), (3, 5)):
        yield _case(g, torch.zeros(shape), shift=20.0, fused=True)


def _everything(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, normal(g, 2, 3, 5))
    yield _case(g, normal(g, 4, 3), fused=True, bias=False)
    yield _case(g, transposed(g, 2, 4, 3))
    yield _case(g, 3 * normal(g, 3, 4), approximate="tanh")
    yield _case(g, 3 * normal(g, 3, 4), approximate="tanh", fused=True)
    yield _case(g, normal(g, 3, 4, dtype=torch.float64), gradient=True)
    yield _case(g, normal(g, 2, 3), dropout=1.0)  # all of the output is dropped


def _gelu(layer: FeedForward, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=layer.approximate)


# --- Repairs that stop too early or go wrong


def _variant(*, kernel: bool = True, skip: bool = True, relu: bool = True) -> type[FeedForward]:
    """The layer with the named bugs still in it."""

    class Variant(FeedForward):
        def forward(self, x):
            hidden = self.hidden(x)
            result = self.output(F.relu(hidden) if kernel and self.fused else _gelu(self, hidden))
            result = self.dropout(F.relu(result) if relu else result)
            return x + result if skip else result

    return Variant


class _ReluInTheMiddle(FeedForward):
    def forward(self, x):
        return self.dropout(self.output(F.relu(self.hidden(x))))


class _NothingBent(FeedForward):
    def forward(self, x):
        return self.dropout(self.output(self.hidden(x)))


class _GeluAtTheEnd(FeedForward):
    def forward(self, x):
        return self.dropout(_gelu(self, self.output(self.hidden(x))))


class _GeluAtBothPlaces(FeedForward):
    def forward(self, x):
        return self.dropout(_gelu(self, self.output(_gelu(self, self.hidden(x)))))


class _GeluFirst(FeedForward):
    def forward(self, x):
        return self.dropout(self.output(self.hidden(_gelu(self, x))))


class _TanhForm(FeedForward):
    def forward(self, x):
        return self.dropout(self.output(F.gelu(self.hidden(x), approximate="tanh")))


class _FusedAlwaysExact(FeedForward):
    def forward(self, x):
        hidden = self.hidden(x)
        return self.dropout(self.output(F.gelu(hidden) if self.fused else _gelu(self, hidden)))


class _SkipKeptInside(FeedForward):
    def forward(self, x):
        return self.dropout(self.output(x @ self.hidden.weight.T + _gelu(self, self.hidden(x))))


class _Detached(FeedForward):
    def forward(self, x):
        return self.dropout(self.output(_gelu(self, self.hidden(x)).detach()))


class _NotDropped(FeedForward):
    def forward(self, x):
        return self.output(_gelu(self, self.hidden(x)))


class _HiddenDropped(FeedForward):
    def forward(self, x):
        return self.output(self.dropout(_gelu(self, self.hidden(x))))


MISCONCEPTIONS = (
    Misconception(
        "nothing-repaired",
        "all three bugs are still there",
        "Give it x = 0 and look at the signs of the output. Then give it a large x. Then set `fused`.",
        _variant(),
    ),
    Misconception(
        "only-the-output",
        "the output is no longer bent, and two bugs are left",
        "Compare with the formula: what is added to W₂ times the bent hidden vector? And what does `fused` "
        "do?",
        _variant(relu=False),
    ),
    Misconception(
        "only-the-sum",
        "nothing is added to the output any more, and two bugs are left",
        "How many bends does the formula have, and where? And what does `fused` do?",
        _variant(skip=False),
    ),
    Misconception(
        "only-the-kernel",
        "both kernels agree now, and two bugs are left",
        "Compare the last line with the formula, term by term.",
        _variant(kernel=False),
    ),
    Misconception(
        "not-the-output",
        "two bugs are repaired, and the output is still bent",
        "Look at 1000 numbers of the output: how many of them are negative?",
        _variant(kernel=False, skip=False),
    ),
    Misconception(
        "not-the-sum",
        "two bugs are repaired, and x is still added to the output",
        "Set both weight matrices to 0: what should come out, and what does?",
        _variant(kernel=False, relu=False),
    ),
    Misconception(
        "not-the-kernel",
        "two bugs are repaired, and with `fused` the layer is still another function",
        "The two kernels should differ in speed alone. Compare both on the same weights.",
        _variant(relu=False, skip=False),
    ),
    Misconception(
        "relu-in-the-middle",
        "the bend in the middle is a ReLU in both cases",
        "Which of the two kernels was right?",
        _ReluInTheMiddle,
    ),
    Misconception(
        "nothing-bent",
        "no bend is left at all, so the two layers are one linear layer",
        "One bend was wrong, not both.",
        _NothingBent,
    ),
    Misconception(
        "gelu-at-the-end",
        "the bend stands after the output layer, and none between the two",
        "Between, not after.",
        _GeluAtTheEnd,
    ),
    Misconception(
        "gelu-at-both-places",
        "the output is still bent, by a GELU now",
        "The trouble with the output is not which bend it gets.",
        _GeluAtBothPlaces,
    ),
    Misconception(
        "gelu-first",
        "the bend stands before the first layer",
        "Between the two layers, not before them.",
        _GeluFirst,
    ),
    Misconception(
        "tanh-form",
        "the bend is the tanh approximation of GELU",
        "This layer asks for the exact form. The difference is small and real.",
        _TanhForm,
    ),
    Misconception(
        "fused-always-exact",
        "with `fused` the bend is always the exact form",
        "PyTorch's GELU has two forms as well. Hand `approximate` on to both.",
        _FusedAlwaysExact,
    ),
    Misconception(
        "skip-kept-inside",
        "the hidden vector is added to its own bent form",
        "Nothing is added anywhere in this layer but the biases.",
        _SkipKeptInside,
    ),
    Misconception(
        "not-dropped",
        "`self.dropout` is gone",
        "It was no bug. In evaluation it does nothing; a model in training needs it.",
        _NotDropped,
    ),
    Misconception(
        "hidden-dropped",
        "dropout stands between the two layers, not behind them",
        "It was in its right place: on the output.",
        _HiddenDropped,
    ),
    Misconception("detached", "no gradient reaches the first layer", mistakes.LOOK_FOR_DETACH, _Detached),
)


# --- Right answers in another form


class _WrittenOut(FeedForward):
    def forward(self, x):
        hidden = x @ self.hidden.weight.T
        if self.hidden.bias is not None:
            hidden = hidden + self.hidden.bias
        output = feedforward.gelu(hidden, self.approximate) @ self.output.weight.T
        return self.dropout(output if self.output.bias is None else output + self.output.bias)


class _LibraryAlways(FeedForward):
    def forward(self, x):
        x = self.hidden(x)
        x = F.gelu(x, approximate=self.approximate)
        x = self.output(x)
        return self.dropout(x)


class _PositionByPosition(FeedForward):
    def forward(self, x):
        activation = F.gelu if self.fused else feedforward.gelu
        rows = [
            self.output(activation(self.hidden(row), approximate=self.approximate))
            for row in x.reshape(-1, x.shape[-1])
        ]
        return self.dropout(torch.stack(rows).reshape(x.shape))


class _UnitByUnit(FeedForward):
    def forward(self, x):
        hidden = torch.nn.functional.linear(x, self.hidden.weight, self.hidden.bias)
        units = (_gelu(self, hidden[..., i, None]) * w for i, w in enumerate(self.output.weight.T))
        output = sum(units)
        return self.dropout(output if self.output.bias is None else output + self.output.bias)


ALTERNATIVES = (
    Alternative("matrix products written out", _WrittenOut),
    Alternative("the library's GELU, whatever `fused` says", _LibraryAlways),
    Alternative("position by position", _PositionByPosition),
    Alternative("hidden unit by hidden unit", _UnitByUnit),
)

OUTPUT = "bends nothing after the output layer"
SUM = "adds nothing to what the output layer gives"
KERNEL = "is the same function with `fused`"

EXERCISE = Exercise(
    name="feedforward.FeedForward.forward",
    number="5.2",
    title="Bug hunt: a feed-forward layer that runs and is wrong",
    kind="bug hunt",
    minutes=12,
    difficulty=2,
    reference=FeedForward,
    starter=STARTER,
    checks=(
        # Each stands alone: a bug that is found counts, whichever it is.
        Check(OUTPUT, 1, _output_as_it_is),
        Check(SUM, 1, _nothing_added, after=()),
        Check(KERNEL, 1, _both_kernels, after=()),
        Check("is right all together", 1, _everything, after=(OUTPUT, SUM, KERNEL)),
    ),
    hints=(
        "No error is raised and every shape is right. Put the formula beside `forward` and tick off each "
        "term: is there anything in the code that is not in the formula?",
        "Three experiments: feed x = 0 and look at the signs of the output; set all weights to 0 and feed "
        "any x; build the layer twice with the same weights, once with `fused=True`, and compare.",
        "The formula has one bend, in the middle, and it is GELU, always. Nothing is done to the output "
        "layer's result but dropout, and the layer's input appears only once.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={
        "activation = F.gelu if self.fused else gelu  ⟶  the condition is negated": "both kernels "
        "compute the same function, so which of them is used makes no difference",
    },
)
