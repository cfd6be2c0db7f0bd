"""Wrong ideas of how two shapes are broadcast: misconceptions of exercise 0.2 and mutants of exercise 0.3."""

from __future__ import annotations

from itertools import zip_longest

import torch

from autograder.exercise import Misconception


def _merged(a, b):
    if a != b and 1 not in (a, b):
        raise ValueError
    return b if a == 1 else a


def _aligned(first, second):
    """Both as long as the longer, filled with ones from the left."""
    n = max(len(first), len(second))
    return [((1,) * (n - len(shape)) + tuple(shape)) for shape in (first, second)]


def _pairs(first, second):
    return list(zip(*_aligned(first, second), strict=True))


def aligned_left(first, second):
    return tuple(_merged(a, b) for a, b in zip_longest(first, second, fillvalue=1))


def equal_length_only(first, second):
    if len(first) != len(second):
        raise ValueError
    return tuple(_merged(a, b) for a, b in zip(first, second, strict=True))


def stops_at_the_shorter(first, second):
    sizes = [_merged(a, b) for a, b in zip(reversed(first), reversed(second), strict=False)]
    return tuple(reversed(sizes))


def back_to_front(first, second):
    return tuple(_merged(a, b) for a, b in reversed(_pairs(first, second)))


def refuses_ones(first, second):
    n = min(len(first), len(second))
    if n and tuple(first[-n:]) != tuple(second[-n:]):
        raise ValueError
    return max(first, second, key=len)


def only_second_stretches(first, second):
    for a, b in _pairs(first, second):
        if a != b and b != 1:
            raise ValueError
    return tuple(a for a, _ in _pairs(first, second))


def only_first_stretches(first, second):
    return only_second_stretches(second, first)


def shape_of_the_longer(first, second):
    for a, b in _pairs(first, second):
        _merged(a, b)
    return tuple(first) if len(first) >= len(second) else tuple(second)


def smaller_size(first, second):
    for a, b in _pairs(first, second):
        _merged(a, b)
    return tuple(min(a, b) for a, b in _pairs(first, second))


def never_refuses(first, second):
    return tuple(max(a, b) if 0 not in (a, b) else 0 for a, b in _pairs(first, second))


def divisors_fit(first, second):
    sizes = []
    for a, b in _pairs(first, second):
        if a != b and 0 in (a, b):
            _merged(a, b)
            sizes.append(0)
        elif a == b:
            sizes.append(a)
        elif max(a, b) % min(a, b):
            raise ValueError
        else:
            sizes.append(max(a, b))
    return tuple(sizes)


def none_instead_of_an_error(first, second):
    try:
        return tuple(_merged(a, b) for a, b in _pairs(first, second))
    except ValueError:
        return None


def only_the_last_is_compared(first, second):
    pairs = _pairs(first, second)
    if pairs:
        _merged(*pairs[-1])
    return tuple(b if a == 1 else a for a, b in pairs)


def larger_size(first, second):
    for a, b in _pairs(first, second):
        _merged(a, b)
    return tuple(max(a, b) for a, b in _pairs(first, second))


def zero_fits_everything(first, second):
    return tuple(0 if 0 in (a, b) else _merged(a, b) for a, b in _pairs(first, second))


def nothing_with_the_empty_shape(first, second):
    if not first or not second:
        return ()
    return tuple(_merged(a, b) for a, b in _pairs(first, second))


def joined(first, second):
    return tuple(first) + tuple(second)


def error_returned(first, second):
    try:
        return tuple(_merged(a, b) for a, b in _pairs(first, second))
    except ValueError as error:
        return error


def another_error(first, second):
    try:
        return tuple(_merged(a, b) for a, b in _pairs(first, second))
    except ValueError:
        raise AssertionError from None


def torch_s_error(first, second):
    return tuple((torch.empty(first) + torch.empty(second)).shape)


def zeros_refused(first, second):
    if 0 in (*first, *second):
        raise ValueError
    return tuple(_merged(a, b) for a, b in _pairs(first, second))


def empty_shape_refused(first, second):
    if not first or not second:
        raise ValueError
    return tuple(_merged(a, b) for a, b in _pairs(first, second))


def only_equal_shapes(first, second):
    if tuple(first) != tuple(second):
        raise ValueError
    return tuple(first)


def filled_on_the_right(first, second):
    n = max(len(first), len(second))
    filled = [tuple(shape) + (1,) * (n - len(shape)) for shape in (first, second)]
    return tuple(max(a, b) if 0 not in (a, b) else 0 for a, b in zip(*filled, strict=True))


def first_size_wins(first, second):
    return tuple(b if a == 1 else a for a, b in _pairs(first, second))


def minus_one(first, second):
    return tuple(-1 if a != b and 1 not in (a, b) else b if a == 1 else a for a, b in _pairs(first, second))


def nothing_returned(first, second):
    for a, b in _pairs(first, second):
        _merged(a, b)


def as_text(first, second):
    return str(tuple(_merged(a, b) for a, b in _pairs(first, second)))


MISCONCEPTIONS = (
    Misconception(
        "aligned-left",
        "the shapes are laid on each other at their left ends",
        "Broadcasting counts from the right: the last sizes meet, then the last but one.",
        aligned_left,
    ),
    Misconception(
        "equal-length-only",
        "shapes with different numbers of sizes are refused",
        "The shorter shape may be filled up with ones, on its left.",
        equal_length_only,
    ),
    Misconception(
        "stops-at-the-shorter",
        "the sizes that only the longer shape has are lost",
        "`zip` stops when one of the two is used up. What should happen to the sizes that are left?",
        stops_at_the_shorter,
    ),
    Misconception(
        "back-to-front",
        "the sizes of the result stand in reverse order",
        "You walked from the right to the left. Turn the result round at the end.",
        back_to_front,
    ),
    Misconception(
        "refuses-ones",
        "a size of 1 is refused unless the other one is 1 too",
        "A size of 1 fits every other size: the single entry is used again and again.",
        refuses_ones,
    ),
    Misconception(
        "only-second-stretches",
        "a size of 1 is stretched in the second shape, but not in the first",
        "The rule is the same for both: swap the two arguments, and the result should stay.",
        only_second_stretches,
    ),
    Misconception(
        "only-first-stretches",
        "a size of 1 is stretched in the first shape, but not in the second",
        "The rule is the same for both: swap the two arguments, and the result should stay.",
        only_first_stretches,
    ),
    Misconception(
        "shape-of-the-longer",
        "the longer shape comes back as it is, its ones included",
        "Both shapes can be stretched in one addition: a column plus a row makes a whole table.",
        shape_of_the_longer,
    ),
    Misconception(
        "smaller-size",
        "where a size meets 1, the 1 is kept",
        "The entry that stands alone is repeated until it is as long as the other axis.",
        smaller_size,
    ),
    Misconception(
        "never-refuses",
        "sizes that do not fit are not refused",
        "3 against 2 has no meaning: which of the three entries would go without a partner?",
        never_refuses,
    ),
    Misconception(
        "divisors-fit",
        "a size is accepted if it divides the other one",
        "Only a size of 1 is stretched. 2 against 4 could be repeated in two ways, so it is an error.",
        divisors_fit,
    ),
    Misconception(
        "none-instead-of-an-error",
        "`None` comes back where a `ValueError` should be raised",
        "Use `raise ValueError(…)`: a caller can overlook a `None`, but not an error.",
        none_instead_of_an_error,
    ),
    Misconception(
        "only-the-last-is-compared",
        "only the last sizes are compared, and the ones before them are not",
        "Every pair of sizes must fit.",
        only_the_last_is_compared,
    ),
    Misconception(
        "larger-size",
        "the larger size is taken, which is wrong for a 0 that meets a 1",
        "An axis of size 0 has no entries, and a single entry can be repeated zero times.",
        larger_size,
    ),
    Misconception(
        "zero-fits-everything",
        "a size of 0 is accepted beside every other size",
        "0 is an ordinary size: it fits 0 and 1, and nothing else.",
        zero_fits_everything,
    ),
    Misconception(
        "nothing-with-the-empty-shape",
        "the empty shape () swallows the other one",
        "() is the shape of a single number, and a number can be added to any tensor.",
        nothing_with_the_empty_shape,
    ),
    Misconception(
        "joined",
        "the two shapes are written one behind the other",
        "Adding two tables of shape (2, 3) gives one table of shape (2, 3).",
        joined,
    ),
    Misconception(
        "error-returned",
        "the error is returned, not raised",
        "`return ValueError(…)` hands out an error as if it were a shape. `raise` stops with it.",
        error_returned,
    ),
    Misconception(
        "another-error",
        "an error is raised, but not a `ValueError`",
        "Whoever calls wants to catch this one by its name. Write `raise ValueError(…)`.",
        another_error,
    ),
    Misconception(
        "torch-s-error",
        "torch does the work, and raises an error of another kind",
        "The rule itself is asked for: compare the sizes, and raise a `ValueError`.",
        torch_s_error,
    ),
    Misconception(
        "zeros-refused",
        "a size of 0 is refused",
        "A tensor may have no entries. 0 is an ordinary size: it fits 0 and 1.",
        zeros_refused,
    ),
    Misconception(
        "empty-shape-refused",
        "the empty shape () is refused",
        "() is the shape of a single number, and a number can be added to any tensor.",
        empty_shape_refused,
    ),
    Misconception(
        "only-equal-shapes",
        "only equal shapes are accepted",
        "That is adding without broadcasting. What may a size of 1 do?",
        only_equal_shapes,
    ),
    Misconception(
        "filled-on-the-right",
        "the shorter shape is filled up with ones on its right, and nothing is refused",
        "The right ends meet, so the ones come in front.",
        filled_on_the_right,
    ),
    Misconception(
        "first-size-wins",
        "of two sizes that do not fit the first is taken",
        "3 against 2 has no meaning: raise the error.",
        first_size_wins,
    ),
    Misconception(
        "minus-one",
        "where two sizes do not fit stands −1",
        "A caller can overlook a −1, but not an error. Use `raise ValueError(…)`.",
        minus_one,
    ),
    Misconception(
        "nothing-returned",
        "nothing comes back",
        "The sizes are worked out and then forgotten: is a `return` missing?",
        nothing_returned,
    ),
    Misconception(
        "as-text",
        "a text comes back, not a tuple",
        "The sizes themselves are wanted: `str` turns them into characters.",
        as_text,
    ),
)
