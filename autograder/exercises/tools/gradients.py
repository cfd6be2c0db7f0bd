"""Exercise 0.7: the chain rule, walked backwards through a computation that is written down as a list."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import autograd

# --- Probes. All slopes are multiples of a quarter, so that no sum or product of them is rounded.


def _slope(g: torch.Generator) -> float:
    """A multiple of ¼ between ½ and 2 in size, never 1 in size."""
    sizes = (0.5, 0.75, 1.25, 1.5, 1.75, 2.0)
    size = sizes[int(torch.randint(len(sizes), (), generator=g))]
    return size if torch.rand((), generator=g) < 0.5 else -size


def _made_from(g: torch.Generator, *sources: tuple[int, ...]) -> Case:
    """A computation by its sources alone; the slopes are drawn."""
    return Case({"slopes": [[(source, _slope(g)) for source in own] for own in sources]})


def _chains(g: torch.Generator) -> Iterator[Case]:
    yield _made_from(g, (), (0,), (1,))
    yield _made_from(g, (), (0,), (1,), (2,), (3,))


def _several_sources(g: torch.Generator) -> Iterator[Case]:
    yield _made_from(g, (), (), (0, 1), (), (2, 3), (4,))
    yield _made_from(g, (), (), (), (1, 2), (3, 0))


def _used_twice(g: torch.Generator) -> Iterator[Case]:
    yield _made_from(g, (), (0,), (0,), (1, 2))
    yield _made_from(g, (), (), (0, 1), (0, 2), (1, 3), (3, 4))
    yield _made_from(g, (), (0, 0), (1, 1, 0))
    # The stronger of two ways is once the first that is walked, once the last.
    for near, far in ((0.5, 1.75), (1.75, 0.5)):
        yield Case({"slopes": [[], [(0, near)], [(0, far)], [(1, 1.25), (2, 1.25)]]})


def _corners(g: torch.Generator) -> Iterator[Case]:
    yield _made_from(g, ())
    yield _made_from(g, (), (), (0,))  # number 1 is not used at all
    yield _made_from(g, (), (0,), (0,), (1,))  # number 2 leads nowhere


# --- Mistakes


def _walk(slopes):
    """Every step of the way back: the number, its source and the slope."""
    for number in reversed(range(len(slopes))):
        for source, slope in slopes[number]:
            yield number, source, slope


def _start(slopes):
    result = [0.0] * len(slopes)
    result[-1] = 1.0
    return result


def _overwrites(slopes):
    result = _start(slopes)
    for number, source, slope in _walk(slopes):
        result[source] = slope * result[number]
    return result


def _same_source_once(slopes):
    result = _start(slopes)
    for number in reversed(range(len(slopes))):
        for source, slope in dict(slopes[number]).items():
            result[source] += slope * result[number]
    return result


def _first_source_only(slopes):
    result = _start(slopes)
    for number in reversed(range(len(slopes))):
        for source, slope in slopes[number][:1]:
            result[source] += slope * result[number]
    return result


def _forwards(slopes):
    result = _start(slopes)
    for number in range(len(slopes)):
        for source, slope in slopes[number]:
            result[source] += slope * result[number]
    return result


def _slopes_added(slopes):
    result = [0.0] * len(slopes)
    for number, source, slope in _walk(slopes):
        result[source] += slope + result[number]
    result[-1] = 1.0
    return result


def _no_chain(slopes):
    result = [0.0] * len(slopes)
    for _, source, slope in _walk(slopes):
        result[source] += slope
    result[-1] = 1.0
    return result


def _starts_with_zeros(slopes):
    result = [0.0] * len(slopes)
    for number, source, slope in _walk(slopes):
        result[source] += slope * result[number]
    return result


def _starts_with_ones(slopes):
    result = [1.0] * len(slopes)
    for number, source, slope in _walk(slopes):
        result[source] += slope * result[number]
    return result


def _multiplied_up(slopes):
    result = [1.0] * len(slopes)
    for number, source, slope in _walk(slopes):
        result[source] *= slope * result[number]
    return result


def _back_to_front(slopes):
    result = _start(slopes)
    for number, source, slope in _walk(slopes):
        result[source] += slope * result[number]
    return result[::-1]


def _given_ones_only(slopes):
    result = _start(slopes)
    for number, source, slope in _walk(slopes):
        result[source] += slope * result[number]
    return [gradient for gradient, own in zip(result, slopes, strict=True) if not own]


def _largest_way_only(slopes):
    result = _start(slopes)
    for number, source, slope in _walk(slopes):
        result[source] = max(result[source], slope * result[number], key=abs)
    return result


def _last_one_zero(slopes):
    result = _start(slopes)
    for number, source, slope in _walk(slopes):
        result[source] += slope * result[number]
    result[-1] = 0.0
    return result


def _as_tensor(slopes):
    result = _start(slopes)
    for number, source, slope in _walk(slopes):
        result[source] += slope * result[number]
    return torch.tensor(result)


def _with_steps(step, start=-1, first=0, last=None):
    """The way back with another step; started at another number, or without some of the numbers."""

    def gradients(slopes):
        result = [0.0] * len(slopes)
        result[start] = 1.0
        for number in reversed(range(len(slopes))[first:last]):
            for source, slope in slopes[number]:
                step(result, number, source, slope)
        return result

    return gradients


def _hand_on(result, number, source, slope):
    result[source] += slope * result[number]


def _divide(result, number, source, slope):
    result[source] += result[number] / slope


def _take_away(result, number, source, slope):
    result[source] -= slope * result[number]


def _exchanged(result, number, source, slope):
    result[slope] += source * result[number]


def _sizes_alone(slopes):
    return [abs(gradient) for gradient in _with_steps(_hand_on)(slopes)]


def _values_forwards(slopes):
    result = [1.0] + [0.0] * (len(slopes) - 1)
    for number, own in enumerate(slopes):
        for source, slope in own:
            result[number] += slope * result[source]
    return result


def _last_source_only(slopes):
    return _with_steps(_hand_on)([own[-1:] for own in slopes])


def _averaged(slopes):
    uses = [sum(source == number for own in slopes for source, _ in own) for number in range(len(slopes))]
    return [g / max(n, 1) for g, n in zip(_with_steps(_hand_on)(slopes), uses, strict=True)]


def _whole_numbers(slopes):
    return [int(gradient) for gradient in _with_steps(_hand_on)(slopes)]


def _by_number(slopes):
    return dict(enumerate(_with_steps(_hand_on)(slopes)))


def _without_the_last(slopes):
    return _with_steps(_hand_on)(slopes)[:-1]


def _first_alone(slopes):
    return _with_steps(_hand_on)(slopes)[0]


def _none_for_unused(slopes):
    return [gradient or None for gradient in _with_steps(_hand_on)(slopes)]


MISCONCEPTIONS = (
    Misconception(
        "overwrites",
        "a number that is used twice keeps only the gradient of one use",
        "Every use adds its share. Which Python operator adds to what is already there?",
        _overwrites,
    ),
    Misconception(
        "same-source-once",
        "a source that stands twice in one list counts once",
        "a + a is made from a twice, and grows twice as fast as a. A dict would keep only one of the two.",
        _same_source_once,
    ),
    Misconception(
        "first-source-only",
        "only the first source of each number gets a gradient",
        "Go through all the pairs in the list, not only the first one.",
        _first_source_only,
    ),
    Misconception(
        "forwards",
        "the gradient reaches what the last number was made from, and goes no further back",
        "These sources were made from something themselves. In which order must the numbers be visited, so "
        "that each has its own gradient before it hands it on?",
        _forwards,
    ),
    Misconception(
        "slopes-added",
        "along a chain the slopes are added, not multiplied",
        "If b grows 3 times as fast as a, and c 2 times as fast as b, how fast does c grow with a?",
        _slopes_added,
    ),
    Misconception(
        "no-chain",
        "each slope is taken as it stands, without the rest of the way to the end",
        "A slope says how a number changes the next one. What does the next one do to the last?",
        _no_chain,
    ),
    Misconception(
        "starts-with-zeros",
        "all gradients are 0, because none of them was started",
        "How fast does the last number change with itself? Write that down before the walk.",
        _starts_with_zeros,
    ),
    Misconception(
        "starts-with-ones",
        "every gradient starts at 1, not only that of the last number",
        "Before the walk you know nothing about the others: what is an empty sum?",
        _starts_with_ones,
    ),
    Misconception(
        "multiplied-up",
        "the ways to the end are multiplied with each other, not added",
        "Along one way the slopes are multiplied. Two different ways to the end add up.",
        _multiplied_up,
    ),
    Misconception(
        "back-to-front",
        "the gradients stand in reverse order",
        "You walked backwards; place i of the result still belongs to number i.",
        _back_to_front,
    ),
    Misconception(
        "given-ones-only",
        "only the gradients of the given numbers come back",
        "The result has a gradient for every number, also for those in the middle and the last.",
        _given_ones_only,
    ),
    Misconception(
        "largest-way-only",
        "of several ways to the end only the strongest counts",
        "If one nudge reaches the end on two ways, the end feels both of them.",
        _largest_way_only,
    ),
    Misconception(
        "last-one-zero",
        "the last number's own gradient is 0",
        "How fast does the last number change with itself?",
        _last_one_zero,
    ),
    Misconception(
        "as-tensor",
        "a tensor comes back, not a list",
        "The numbers are right. A plain list of floats is wanted.",
        _as_tensor,
    ),
    Misconception(
        "last-number-left-out",
        "the walk begins one number too late, so nothing is ever handed on",
        "The last number is the only one whose gradient you know. Begin there.",
        _with_steps(_hand_on, last=-1),
    ),
    Misconception(
        "second-number-left-out",
        "the walk ends one number too early",
        "`range(n, 1, -1)` ends at 2. Which number must still hand on what it has?",
        _with_steps(_hand_on, first=2),
    ),
    Misconception(
        "started-at-the-first",
        "the 1 stands at the first number, not at the last",
        "How fast does the last number change with itself? That is where the walk begins.",
        _with_steps(_hand_on, start=0),
    ),
    Misconception(
        "divided",
        "the gradient is divided by the slope",
        "If b grows 3 times as fast as a, and the end 2 times as fast as b, how fast does it grow with a?",
        _with_steps(_divide),
    ),
    Misconception(
        "taken-away",
        "the shares are subtracted",
        "Downhill comes later, when weights are changed. Here shares add up.",
        _with_steps(_take_away),
    ),
    Misconception(
        "pair-read-backwards",
        "source and slope have changed places",
        "Each pair is (source, slope). The source is a place in the list, the slope a factor.",
        _with_steps(_exchanged),
    ),
    Misconception(
        "values-forwards",
        "a change of the first number is followed forwards through the computation",
        "That answers another question: how each number moves with the first. Here: how the last moves "
        "with each.",
        _values_forwards,
    ),
    Misconception(
        "last-source-only",
        "only the last source of each number gets a gradient",
        "Go through all the pairs in the list.",
        _last_source_only,
    ),
    Misconception(
        "averaged",
        "the shares of several uses are averaged",
        "If one nudge reaches the end on two ways, the end feels both of them: add.",
        _averaged,
    ),
    Misconception(
        "sizes-alone",
        "every gradient is positive",
        "A number that makes the end smaller as it grows has a negative gradient.",
        _sizes_alone,
    ),
    Misconception(
        "whole-numbers",
        "the gradients are cut to whole numbers",
        "Slopes have digits behind the point. Leave `int` out.",
        _whole_numbers,
    ),
    Misconception(
        "by-number",
        "a dict comes back, not a list",
        "Place i of a list can stand for number i.",
        _by_number,
    ),
    Misconception(
        "without-the-last",
        "the last number's own gradient is missing",
        "The result has a gradient for every number, the last one included.",
        _without_the_last,
    ),
    Misconception(
        "first-alone",
        "only the gradient of the first number comes back",
        "The result has a gradient for every number.",
        _first_alone,
    ),
    Misconception(
        "none-for-unused",
        "`None` stands where a gradient is 0",
        "A number that nobody uses has no influence at all. Which number says so?",
        _none_for_unused,
    ),
)


# --- Right answers in another form


def _uses_collected(slopes):
    """For each number, from the end: the sum over its uses."""
    last = len(slopes) - 1
    result = {last: 1.0}
    for source in range(last - 1, -1, -1):
        uses = [(n, slope) for n in range(source + 1, last + 1) for s, slope in slopes[n] if s == source]
        result[source] = sum((slope * result[n] for n, slope in uses), 0.0)
    return [result[n] for n in range(last + 1)]


def _all_ways(slopes):
    """Every way from the end to each number, one at a time."""
    result = [0.0] * len(slopes)

    def go(number, so_far):
        result[number] += so_far
        for source, slope in slopes[number]:
            go(source, so_far * slope)

    go(len(slopes) - 1, 1.0)
    return result


def _nudged_forwards(slopes):
    """Forward mode: once through the computation for each number."""
    result = []
    for nudged in range(len(slopes)):
        change = []
        for number, own in enumerate(slopes):
            moved = sum((slope * change[source] for source, slope in own), 0.0)
            change.append(1.0 if number == nudged else moved if number > nudged else 0.0)
        result.append(change[-1])
    return result


def _by_a_matrix(slopes):
    """Powers of the matrix of slopes: its n-th power holds the ways of n steps."""
    n = len(slopes)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for number, own in enumerate(slopes):
        for source, slope in own:
            matrix[number, source] += slope
    row = torch.zeros(n, dtype=torch.float64)
    row[-1] = 1.0
    total = row
    for _ in range(n):
        row = row @ matrix
        total = total + row
    return total.tolist()


def _by_while(slopes):
    grads = [0.0 for _ in slopes]
    i = len(slopes) - 1
    grads[i] = 1.0
    while i >= 0:
        for pair in slopes[i]:
            grads[pair[0]] = grads[pair[0]] + grads[i] * pair[1]
        i -= 1
    return grads


ALTERNATIVES = (
    Alternative("each number collects from its uses", _uses_collected),
    Alternative("every way from the end, one at a time", _all_ways),
    Alternative("forwards, once for each number", _nudged_forwards),
    Alternative("powers of the matrix of slopes", _by_a_matrix),
    Alternative("a while loop", _by_while),
)

CHAIN = "multiplies the slopes along a chain"
TWICE = "adds up over the uses of a number"

EXERCISE = Exercise(
    name="autograd.gradients",
    number="0.7",
    title="The way back",
    minutes=12,
    difficulty=2,
    reference=autograd.gradients,
    checks=(
        Check(CHAIN, 2, _chains),
        Check("hands a gradient on to every source", 1, _several_sources),
        Check(TWICE, 2, _used_twice),
        Check("is right for a single number and for numbers that lead nowhere", 1, _corners),
    ),
    hints=(
        "Do it on paper for the small example in the text. In which order did you find the gradients, and "
        "what did you need for each?",
        "Start a list of zeros with a 1 at its end. Then visit the numbers from the last to the first: when "
        "you come to one, its own gradient is complete.",
        "At each number go through its pairs. Each source gets a share: the slope of the step times the "
        "gradient that you have just reached. Add the share to what the source has already.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
