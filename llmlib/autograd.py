"""Derivatives by machine, on single numbers: what PyTorch does for tensors, small enough to read at once.

Every operation notes which numbers it was made from, and its slope with respect to each of them. Walking
these notes backwards with the chain rule gives the slope of the last number with respect to all earlier ones.

Sources: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986); Baydin,
Pearlmutter, Radul and Siskind, "Automatic Differentiation in Machine Learning: a Survey" (2018), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def gradients(slopes: Sequence[Sequence[tuple[int, float]]]) -> list[float]:
    """How fast the last number of a computation changes with each of its numbers.

    The numbers are counted in the order in which they were made. `slopes[i]` lists what number i was made
    from: pairs (j, slope), where j is an earlier number, and slope says how fast number i changes with
    number j alone. It is empty for a number that was given. The same j may stand there twice.

    Raises:
        ValueError: there are no numbers, or a number was made from one that is not earlier.

    Source: Baydin et al. (2018), section 3.2, the reverse accumulation.
    """
    if not slopes:
        raise ValueError("a computation needs at least one number: got an empty list")
    result = [0.0] * len(slopes)
    result[-1] = 1.0
    for number in reversed(range(len(slopes))):
        for source, slope in slopes[number]:
            if not 0 <= source < number:
                raise ValueError(f"number {number} can only be made from numbers before it: got {source}")
            result[source] += slope * result[number]
    return result


class Scalar:
    """A number that remembers how it was made.

    value: the number itself.
    grad:  after `backward` of a later number, how fast that one changes with this one. As in PyTorch, the
           gradients of several calls of `backward` add up.
    """

    def __init__(self, value: float, made_from: Sequence[tuple[Scalar, float]] = ()) -> None:
        self.value = float(value)
        self.grad = 0.0
        self.made_from = tuple(made_from)  # pairs: a number, and the slope with respect to it

    def __repr__(self) -> str:
        return f"Scalar({self.value:g}, grad={self.grad:g})"

    def __add__(self, other: Scalar | float) -> Scalar:
        other = _scalar(other)
        return Scalar(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other: Scalar | float) -> Scalar:
        other = _scalar(other)
        return Scalar(self.value * other.value, [(self, other.value), (other, self.value)])

    def __pow__(self, exponent: float) -> Scalar:
        """Raised to a fixed power.

        Raises:
            TypeError: the exponent is a Scalar: its own slope would need a logarithm.
        """
        if isinstance(exponent, Scalar):
            raise TypeError("the exponent must be a plain number: got a Scalar")
        slope = exponent * self.value ** (exponent - 1) if exponent else 0.0
        return Scalar(self.value**exponent, [(self, slope)])

    def exp(self) -> Scalar:
        result = math.exp(self.value)
        return Scalar(result, [(self, result)])

    def tanh(self) -> Scalar:
        result = math.tanh(self.value)
        return Scalar(result, [(self, 1 - result**2)])

    # Everything else is made of the operations above.

    def __neg__(self) -> Scalar:
        return self * -1.0

    def __sub__(self, other: Scalar | float) -> Scalar:
        return self + -_scalar(other)

    def __truediv__(self, other: Scalar | float) -> Scalar:
        return self * _scalar(other) ** -1

    def __rsub__(self, other: float) -> Scalar:
        return _scalar(other) - self

    def __rtruediv__(self, other: float) -> Scalar:
        return _scalar(other) / self

    __radd__ = __add__
    __rmul__ = __mul__

    def backward(self) -> None:
        """Add to the `grad` of every number that this one was made from how fast this one changes with it."""
        order = topological_order(self)
        place = {id(number): i for i, number in enumerate(order)}
        slopes = [[(place[id(source)], slope) for source, slope in number.made_from] for number in order]
        for number, gradient in zip(order, gradients(slopes), strict=True):
            number.grad += gradient


def topological_order(last: Scalar) -> list[Scalar]:
    """All numbers that `last` was made from, each after its own sources, and `last` at the end.

    It keeps its own stack of numbers to visit: a function that calls itself would reach Python's limit
    after about a thousand operations in a row.
    """
    order: list[Scalar] = []
    seen: set[int] = set()
    stack = [(last, False)]
    while stack:
        number, sources_done = stack.pop()
        if sources_done:
            order.append(number)
        elif id(number) not in seen:
            seen.add(id(number))
            stack.append((number, True))
            stack += [(source, False) for source, _ in number.made_from]
    return order


def _scalar(number: Scalar | float) -> Scalar:
    return number if isinstance(number, Scalar) else Scalar(number)
