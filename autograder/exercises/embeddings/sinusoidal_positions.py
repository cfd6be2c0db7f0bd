"""Exercise 2.7: positions as waves."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import embedding


def _int(g: torch.Generator, least: int, most: int) -> int:
    return int(torch.randint(least, most + 1, (), generator=g))


def _one_wave(g: torch.Generator) -> Iterator[Case]:
    yield Case({"length": _int(g, 4, 9), "d_model": 2})
    yield Case({"length": _int(g, 10, 13), "d_model": 2})


def _many_waves(g: torch.Generator) -> Iterator[Case]:
    yield Case({"length": _int(g, 4, 9), "d_model": 6})
    yield Case({"length": 8, "d_model": 8})
    yield Case({"length": _int(g, 20, 40), "d_model": 10})


def _other_bases(g: torch.Generator) -> Iterator[Case]:
    yield Case({"length": _int(g, 4, 9), "d_model": 6, "base": float(_int(g, 20, 60))})
    yield Case({"length": 7, "d_model": 4, "base": 500.0 + _int(g, 0, 100)})


def _short_texts(g: torch.Generator) -> Iterator[Case]:
    yield Case({"length": 1, "d_model": 2 * _int(g, 2, 4)})
    yield Case({"length": 0, "d_model": 4})
    yield Case({"length": 2, "d_model": 4})


# --- Mistakes


def _frequencies(d_model: int, base: float) -> Tensor:
    return torch.tensor([base ** (-2 * i / d_model) for i in range(d_model // 2)], dtype=torch.float64)


def _waves(positions: Tensor, frequencies: Tensor, even=torch.sin, odd=torch.cos) -> Tensor:
    table = torch.zeros(len(positions), 2 * len(frequencies), dtype=torch.float64)
    table[:, 0::2] = even(positions.double()[:, None] * frequencies)
    table[:, 1::2] = odd(positions.double()[:, None] * frequencies)
    return table.float()


def _halves(length, d_model, base=10000.0):
    table = _waves(torch.arange(length), _frequencies(d_model, base))
    return torch.cat([table[:, 0::2], table[:, 1::2]], dim=1)


def _swapped(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base), torch.cos, torch.sin)


def _only_sines(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base), torch.sin, torch.sin)


def _from_one(length, d_model, base=10000.0):
    return _waves(torch.arange(1, length + 1), _frequencies(d_model, base))


def _pair_index_once(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base).sqrt())


def _pair_index_twice(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base) ** 2)


def _every_column_its_own(length, d_model, base=10000.0):
    columns = torch.arange(d_model, dtype=torch.float64)
    angles = torch.arange(length)[:, None] * base ** (-columns / d_model)
    table = angles.sin()
    table[:, 1::2] = angles[:, 1::2].cos()
    return table.float()


def _upside_down(length, d_model, base=10000.0):
    return _waves(torch.arange(length), 1 / _frequencies(d_model, base))


def _fixed_base(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, 10000.0))


def _last_wave_at_base(length, d_model, base=10000.0):
    pairs = torch.arange(d_model // 2, dtype=torch.float64)
    return _waves(torch.arange(length), base ** (-pairs / max(d_model // 2 - 1, 1)))


def _whole_turns(length, d_model, base=10000.0):
    return _waves(torch.arange(length), 2 * torch.pi * _frequencies(d_model, base))


def _one_wavelength(length, d_model, base=10000.0):
    return _waves(torch.arange(length), torch.ones(d_model // 2, dtype=torch.float64))


def _transposed(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base)).T


def _angles(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base), lambda x: x, lambda x: x)


def _double(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base)).double()


def _column_index_doubled(length, d_model, base=10000.0):
    columns = torch.arange(d_model, dtype=torch.float64)
    angles = torch.arange(length)[:, None] * base ** (-2 * columns / d_model)
    table = angles.sin()
    table[:, 1::2] = angles[:, 1::2].cos()
    return table.float()


def _halved_twice(length, d_model, base=10000.0):
    pairs = torch.arange(d_model // 2) // 2
    return _waves(torch.arange(length), base ** (-2 * pairs.double() / d_model))


def _shares_of_the_text(length, d_model, base=10000.0):
    return _waves(torch.arange(length) / max(length, 1), _frequencies(d_model, base))


def _batch_dimension(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base))[None]


def _unit_vectors(length, d_model, base=10000.0):
    return _waves(torch.arange(length), _frequencies(d_model, base)) / d_model**0.5


def _decimal_logarithm(length, d_model, base=10000.0):
    log = torch.tensor(base, dtype=torch.float64).log10().item()
    return _waves(torch.arange(length), torch.exp(-torch.arange(0, d_model, 2).double() * log / d_model))


MISCONCEPTIONS = (
    Misconception(
        "halves",
        "all sines stand in the left half, and all cosines in the right",
        "A sine and its cosine are neighbours here: columns 2i and 2i + 1.",
        _halves,
    ),
    Misconception(
        "swapped",
        "sine and cosine have changed places",
        "At position 0 column 0 is the sine of 0.",
        _swapped,
    ),
    Misconception(
        "only-sines",
        "there are only sines",
        "The odd columns are cosines of the same angles.",
        _only_sines,
    ),
    Misconception(
        "from-one",
        "the positions are counted from 1",
        "The first row belongs to position 0: zeros and ones.",
        _from_one,
    ),
    Misconception(
        "pair-index-once",
        "the exponent is i / d_model, where 2i / d_model is meant",
        "The last wave should be almost `base` times as long as the first. Is yours?",
        _pair_index_once,
    ),
    Misconception(
        "pair-index-twice",
        "the exponent is doubled once too often",
        "If you count in even columns, the 2 of 2i is already there.",
        _pair_index_twice,
    ),
    Misconception(
        "every-column-its-own",
        "sine and cosine of a pair have different wavelengths",
        "Both columns of a pair share one angle. Only even columns enter the exponent.",
        _every_column_its_own,
    ),
    Misconception(
        "upside-down",
        "the waves become shorter instead of longer",
        "Divide by the power of the base: later pairs turn more slowly.",
        _upside_down,
    ),
    Misconception("fixed-base", "`base` has no effect", "10000 is only the default of `base`.", _fixed_base),
    Misconception(
        "last-wave-at-base",
        "the exponents run from 0 to exactly 1",
        "That form exists, too, but here the exponent of pair i is 2i / d_model, which stays below 1.",
        _last_wave_at_base,
    ),
    Misconception(
        "whole-turns",
        "the angles contain a factor of 2π",
        "The first pair moves by 1 radian from one position to the next, not by a whole turn.",
        _whole_turns,
    ),
    Misconception(
        "one-wavelength",
        "all waves are equally long",
        "The angle depends on the column as well as on the position.",
        _one_wavelength,
    ),
    Misconception(
        "transposed",
        "rows and columns have changed places",
        "One row for each position.",
        _transposed,
    ),
    Misconception(
        "angles",
        "the angles come back without sine and cosine",
        "All numbers of the result lie between -1 and 1.",
        _angles,
    ),
    Misconception(
        "double",
        "the result is float64",
        "Compute in float64 if you like, but return the default dtype, in which the model computes.",
        _double,
    ),
    Misconception(
        "column-index-doubled",
        "i counts columns in your exponent, where the formula counts pairs",
        "Columns 2i and 2i + 1 share i: columns 0 and 1 have i = 0, columns 2 and 3 have i = 1.",
        _column_index_doubled,
    ),
    Misconception(
        "halved-twice",
        "two pairs share each wavelength",
        "If you count pairs, i is the pair already: it needs no division by 2.",
        _halved_twice,
    ),
    Misconception(
        "shares-of-the-text",
        "the positions are divided by the length of the text",
        "Place 3 must look the same in every text. p counts the places: 0, 1, 2 and so on.",
        _shares_of_the_text,
    ),
    Misconception(
        "batch-dimension",
        "there is a dimension of size 1 in front",
        "Two dimensions are enough: broadcasting brings the table to every text of a batch.",
        _batch_dimension,
    ),
    Misconception(
        "unit-vectors",
        "the table is divided by √d_model",
        "Sine and cosine stay as they are, between -1 and 1.",
        _unit_vectors,
    ),
    Misconception(
        "decimal-logarithm",
        "`exp` is taken of a logarithm to the base 10",
        "`exp` undoes the natural logarithm, `math.log`. Or use `**`, without any logarithm.",
        _decimal_logarithm,
    ),
)


# --- Right answers in another form


def _two_slices(length, d_model, base=10000.0):
    position = torch.arange(length).unsqueeze(1)
    frequencies = torch.exp(torch.arange(0, d_model, 2) * (-torch.log(torch.tensor(base)) / d_model))
    table = torch.zeros(length, d_model)
    table[:, 0::2] = torch.sin(position * frequencies)
    table[:, 1::2] = torch.cos(position * frequencies)
    return table


def _outer(length, d_model, base=10000.0):
    pairs = torch.arange(d_model // 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), base ** (-2 * pairs / d_model))
    return torch.stack((angles.sin(), angles.cos()), dim=2).reshape(length, d_model).float()


def _complex(length, d_model, base=10000.0):
    positions = torch.arange(length, dtype=torch.float64)[:, None]
    turned = torch.polar(torch.ones(1, dtype=torch.float64), positions * _frequencies(d_model, base))
    return torch.view_as_real(turned).flip(-1).reshape(length, d_model).float()


def _shifted_sine(length, d_model, base=10000.0):
    columns = torch.arange(d_model)
    frequencies = base ** (-(columns - columns % 2).double() / d_model)
    angles = torch.arange(length).double()[:, None] * frequencies + columns % 2 * torch.pi / 2
    return angles.sin().float()


def _by_loops(length, d_model, base=10000.0):
    import math

    rows = []
    for position in range(length):
        row = []
        for i in range(d_model // 2):
            angle = position / base ** (2 * i / d_model)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows).reshape(length, d_model)


def _by_parity(length, d_model, base=10000.0):
    columns = torch.arange(d_model)
    angles = torch.arange(length)[:, None] / base ** (2 * (columns // 2) / d_model)
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos())


def _through_numpy(length, d_model, base=10000.0):
    import numpy as np

    angles = np.arange(length)[:, None] / base ** (np.arange(0, d_model, 2) / d_model)
    table = np.zeros((length, d_model), dtype=np.float32)
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return torch.from_numpy(table)


ALTERNATIVES = (
    Alternative("two slices, frequencies by exp and log", _two_slices),
    Alternative("outer and reshape", _outer),
    Alternative("complex numbers", _complex),
    Alternative("a cosine as a shifted sine", _shifted_sine),
    Alternative("two loops", _by_loops),
    Alternative("sine or cosine by the parity of the column", _by_parity),
    Alternative("NumPy", _through_numpy),
)

EXERCISE = Exercise(
    name="embedding.sinusoidal_positions",
    number="2.7",
    title="Positions as waves",
    minutes=12,
    difficulty=2,
    reference=embedding.sinusoidal_positions,
    checks=(
        Check("makes one wave, as a sine and a cosine", 1, _one_wave),
        Check("makes longer and longer waves", 2, _many_waves),
        Check("follows the base", 1, _other_bases),
        Check("makes tables of any length", 1, _short_texts),
    ),
    hints=(
        "First make the table of angles alone: one row for each position, one column for each pair. "
        "Broadcasting a column of positions against a row of divisors gives it.",
        "`torch.arange(0, d_model, 2)` holds 0, 2, 4, …: the numbers 2i that the exponent needs.",
        "To place each cosine right after its sine, stack both along a new last dimension and flatten the "
        "last two into one.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
