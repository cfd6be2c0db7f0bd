"""Variants of exercise 3.3: a mask that hides the present too, and a mask that forgets.

The references stand here, and not in `llmlib`: what an answer's process may import holds neither.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from autograder.exercise import Alternative, Misconception, Variant
from autograder.exercises.attention.causal_mask import MISCONCEPTIONS
from autograder.exercises.attention.mistakes import INVERTED

PLAIN = {m.id: m for m in MISCONCEPTIONS}
REVERSED = PLAIN["from-the-end"]


def strict(length: int) -> Bool[Tensor, "length length"]:
    """The mask that keeps a position from seeing itself and the future.

    Row i says where query i may look: `True` at the keys 0, 1, …, i - 1. Row 0 is `False` throughout.

    Source: van den Oord et al. (2016), section 3.4, "mask A".
    """
    positions = torch.arange(length)
    return positions[:, None] > positions[None, :]


def window(length: int) -> Bool[Tensor, "length length"]:
    """The mask that lets a position see itself and the two before it, and nothing else.

    Row i says where query i may look: `True` at the keys i - 2, i - 1 and i, as far as they exist.

    Source: Beltagy, Peters and Cohan (2020), section 3.1.
    """
    positions = torch.arange(length)
    steps_back = positions[:, None] - positions[None, :]
    return (steps_back >= 0) & (steps_back < 3)


def _hiding(
    hidden: Callable[[int, int], Tensor],
) -> Callable[[Callable[[int], Tensor]], Callable[[int], Tensor]]:
    """A twist of masks: hide what `hidden(rows, columns)` says, in the form that the mask is given in."""

    def through(answer: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
        def twisted(length):
            mask = answer(length)
            added = mask.is_floating_point() and bool(mask.isinf().any())
            return mask.masked_fill(hidden(*mask.shape[-2:]), -torch.inf if added else 0)

        return twisted

    return through


def _diagonal(rows: int, columns: int) -> Tensor:
    return torch.eye(rows, columns, dtype=torch.bool)


def _long_ago(rows: int, columns: int) -> Tensor:
    return torch.ones(rows, columns, dtype=torch.bool).tril(diagonal=-3)


# --- Mistakes of their own


def _future_alone(length):
    return torch.ones(length, length, dtype=torch.bool).triu(diagonal=1)


def _only_itself(length):
    return torch.eye(length, dtype=torch.bool)


def _only_the_last(length):
    return torch.ones(length, length).tril(diagonal=-1).triu(diagonal=-1).bool()


def _first_row_open(length):
    mask = torch.ones(length, length, dtype=torch.bool).tril(diagonal=-1)
    mask[:1, :1] = True
    return mask


def _two_hidden(length):
    return torch.ones(length, length, dtype=torch.bool).tril(diagonal=-2)


def _strict_reversed(length):
    return torch.ones(length, length, dtype=torch.bool).tril(diagonal=-1).flip(0)


def _band(past: int, future: int = 0) -> Callable[[int], Tensor]:
    def mask(length):
        return torch.ones(length, length, dtype=torch.bool).tril(diagonal=future).triu(diagonal=-past)

    return mask


def _window_inverted(length):
    return ~_band(2)(length)


def _window_reversed(length):
    return _band(2)(length).flip(0)


def _first_three_keys(length):
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    mask[:, 3:] = False
    return mask


STRICT = Variant(
    id="strict",
    twist="No position may see itself: a query looks at what lies strictly before it.",
    statement="""\
Write `causal_mask(length)`.

- `length` is an integer, 0 or more. The result is a boolean tensor (`dtype=torch.bool`) of shape
  `(length, length)`.
- Row $i$ belongs to query $i$, column $j$ to key $j$. It is `True` where query $i$ may look: at everything
  before it, and **not at itself**.

Worked example: `causal_mask(3)` is

```text
[[False, False, False],
 [ True, False, False],
 [ True,  True, False]]
```

and `causal_mask(1)` is `[[False]]`: the first word has nothing to look at. Such masks exist: PixelCNN, which
paints a picture pixel by pixel, hides in its first layer the pixel that it is about to guess (van den Oord et
al., "Pixel Recurrent Neural Networks", 2016, mask A).""",
    reference=strict,
    hints=(
        "For three positions, write the nine entries down by hand. When is the entry in row i, column j "
        "True? What stands on the diagonal?",
        "It is a comparison between two positions, the query's and the key's. One column of positions "
        "against one row of positions gives all the comparisons at once. Which comparison says no when both "
        "are the same?",
    ),
    misconceptions=(
        Misconception(
            "future-alone",
            "each position sees only what comes after it",
            "Row i belongs to the query at position i. Write down row 0 by hand: what lies before it?",
            _future_alone,
        ),
        Misconception(
            "only-the-last",
            "each position sees the one before it and nothing else",
            "All of the past counts: row 2 should allow the keys 0 and 1.",
            _only_the_last,
        ),
        Misconception(
            "first-row-open",
            "the first position sees itself, so that its row is not empty",
            "An empty row is what is asked for here, for the first position too.",
            _first_row_open,
        ),
        Misconception(
            "two-hidden",
            "the position just before is hidden too",
            "Only the query's own place is hidden besides the future. Check the diagonal you cut at.",
            _two_hidden,
        ),
        Misconception(
            "only-itself",
            "each position sees itself alone",
            "It is the other way round: the past is visible, and the position itself is not.",
            _only_itself,
        ),
        Misconception(REVERSED.id, REVERSED.title, REVERSED.advice, _strict_reversed),
    ),
    alternatives=(
        Alternative("tril below the diagonal", lambda length: torch.ones(length, length).tril(-1).bool()),
        Alternative("not triu", lambda length: ~torch.ones(length, length, dtype=torch.bool).triu()),
        Alternative(
            "nested lists",
            lambda length: torch.tensor([[j < i for j in range(length)] for i in range(length)]),
        ),
    ),
    through=_hiding(_diagonal),
    untouched=("upper", "one-ahead", "everything"),
    excluded={
        "strict": "it is the right answer here",
        "inverted": "this mask turned into its opposite is the mistake `upper`",
    },
    renamed={
        "shows each position the past and itself, and hides the future": (
            "shows each position the past, and hides itself and the future"
        )
    },
)

WINDOW = Variant(
    id="window",
    twist="A position sees itself and the two before it, and nothing that lies further back.",
    statement="""\
Write `causal_mask(length)`.

- `length` is an integer, 0 or more. The result is a boolean tensor (`dtype=torch.bool`) of shape
  `(length, length)`.
- Row $i$ belongs to query $i$, column $j$ to key $j$. It is `True` where query $i$ may look: at itself and at
  the **two positions before it**, as far as they exist.

Worked example: `causal_mask(5)` is

```text
[[ True, False, False, False, False],
 [ True,  True, False, False, False],
 [ True,  True,  True, False, False],
 [False,  True,  True,  True, False],
 [False, False,  True,  True,  True]]
```

and `causal_mask(1)` is `[[True]]`. Such masks exist: with a sliding window the cost of attention grows in
proportion to the length of a text, not to its square (Beltagy, Peters and Cohan, "Longformer", 2020), and
what lies further back is reached through several layers.""",
    reference=window,
    hints=(
        "For five positions, write rows 3 and 4 down by hand. How many entries of a row are True?",
        "Subtract the key's position from the query's. For which differences is the entry True? There are "
        "three of them.",
        "Make the positions 0 … length − 1 with `torch.arange`, one copy as a column and one as a row, and "
        "take their difference. Two comparisons, joined, say how far back one may look. (Cutting a matrix "
        "of ones along two diagonals works too.)",
    ),
    misconceptions=(
        Misconception(
            "window-of-two",
            "each position sees itself and one before it, not two",
            "Count the entries in a row that are True: with the position itself they should be three.",
            _band(1),
        ),
        Misconception(
            "window-of-four",
            "each position sees itself and three before it, not two",
            "Count the entries in a row that are True: with the position itself they should be three.",
            _band(3),
        ),
        Misconception(
            "both-sides",
            "the window reaches into the future as well",
            "It reaches back only: what is still to come stays hidden.",
            _band(2, future=2),
        ),
        Misconception(
            "first-three-keys",
            "every position sees the first three keys, not the last three before it",
            "The window moves along with the query. Compare rows 3 and 4 of the worked example.",
            _first_three_keys,
        ),
        Misconception("inverted", *INVERTED, _window_inverted),
        Misconception(REVERSED.id, REVERSED.title, REVERSED.advice, _window_reversed),
    ),
    alternatives=(
        Alternative("two cuts", lambda length: torch.ones(length, length).tril().triu(-2).bool()),
        Alternative(
            "nested lists",
            lambda length: torch.tensor([[i - 2 <= j <= i for j in range(length)] for i in range(length)]),
        ),
        Alternative(
            "three diagonals added",
            lambda length: sum(torch.ones(length, length).tril(-k).triu(-k) for k in range(3)) > 0,
        ),
    ),
    through=_hiding(_long_ago),
    untouched=("everything",),
    renamed={
        "shows each position the past and itself, and hides the future": (
            "shows each position itself and the two before it, and nothing else"
        )
    },
)

VARIANTS = (STRICT, WINDOW)
