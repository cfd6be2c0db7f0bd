"""Exercise 7.8: the eight faults of a language model in forty lines, each with its line and what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from autograder.exercise import Alternative, Check, Exercise, Judge, Misconception
from autograder.exercises.reading import Unusable, judged, kind

STARTER = """\
faults = [
    ...,  # (line, "letter"), one pair for each fault that you have found
]
"""

LINES, LETTERS = 40, "ABCDEFGHIJKL"

# By the consequence's letter, the lines that may be blamed for it: where the fault is, or its cure belongs.
FAULTS = {
    "B": {26},  # attention is called without a mask
    "C": {8, 31, 36, 37},  # learning_rate and clip
    "E": {25, 26, 27},  # x is overwritten, not added to
    "F": {33, 34, 39},  # the targets are the inputs, and no others come out of the loader
    "G": {20, 26},  # batch_first
    "I": {4, 13},  # TextDataset, imported from nowhere
    "J": {10, 12, 13, 38, 39, 40},  # one text and one loader for training and for the score
    "K": {18, 25},  # no positions
}

Pair = tuple[int, str]


def _read(faults: Any) -> list[Pair]:
    if type(faults) not in (list, tuple):
        raise Unusable(f"`faults` should be a list of pairs, but it is {kind(faults)}")
    if not faults:
        raise Unusable('the list is empty: write at least one pair (line, "letter")')
    if len(faults) > len(FAULTS):
        raise Unusable(f"there are {len(FAULTS)} faults, and your list has {len(faults)} pairs: decide")
    return [_read_pair(f"`faults[{place}]`", pair) for place, pair in enumerate(faults)]


def _read_pair(name: str, pair: Any) -> Pair:
    if type(pair) not in (list, tuple) or len(pair) != 2:
        raise Unusable(f'{name} should be a pair (line, "letter"), such as (3, "A")')
    line, letter = pair
    if type(line) is not int or not 1 <= line <= LINES:
        raise Unusable(f"the line of {name} should be a whole number from 1 to {LINES}")
    if type(letter) is not str or letter.strip().upper() not in tuple(LETTERS):
        raise Unusable(f"the letter of {name} should be one of A to {LETTERS[-1]}")
    return line, letter.strip().upper()


def _problem(pair: Pair) -> str | None:
    """What is wrong with a pair, without the right line or letter; None if it is right."""
    line, letter = pair
    if line in FAULTS.get(letter, ()):
        return None
    if letter not in FAULTS:
        return "a false alarm"
    if any(line in lines for lines in FAULTS.values()):
        return "this line has a fault, but this is not what it does"
    return "this line is innocent"


def _finds(wanted: int) -> Judge:
    def judgement(pairs: list[Pair], generator: torch.Generator) -> str | None:
        found = len({letter for line, letter in pairs if _problem((line, letter)) is None})
        if found >= wanted:
            return None
        wrong = [f"{pair[0]}, {pair[1]}: {problem}" for pair in pairs if (problem := _problem(pair))]
        return f"{found} of {len(FAULTS)} found" + (f"; not right: {'; '.join(wrong)}" if wrong else "")

    return judged("faults", _read, judgement, "a plain list of pairs")


def _shows(*lines: int, letter: str) -> Callable[[Any], bool]:
    """Whether a list blames one of these lines (without lines: any line) for a consequence."""

    def shown_by(faults: Any) -> bool:
        try:
            pairs = _read(faults)
        except Unusable:
            return False
        return any(theirs == letter and (not lines or line in lines) for line, theirs in pairs)

    return shown_by


def _mistake(id: str, title: str, advice: str, *lines: int, letter: str) -> Misconception:
    first = lines[0]

    def answer() -> list[Pair]:
        return [(13, "I"), (8, "C"), (first, letter)]

    known = lines if letter in FAULTS else ()  # a false alarm is one on whatever line
    return Misconception(id, title, advice, answer, _shows(*known, letter=letter))


EXERCISE = Exercise(
    name="forty_lines.find_faults",
    number="7.8",
    title="Bug hunt: eight faults in forty lines",
    kind="bug hunt",
    answer_name="faults",
    minutes=15,
    difficulty=2,
    starter=STARTER,
    checks=tuple(
        Check(f"finds {name}", 1, judge=_finds(count))
        for count, name in enumerate(
            (
                "a fault, and what it does",
                "two faults",
                "three faults",
                "four faults",
                "five faults",
                "six faults",
                "seven faults",
                "all eight faults",
            ),
            start=1,
        )
    ),
    hints=(
        "Take the lines one by one and ask of each name: where was it made, and where is it used? That alone "
        "finds two faults.",
        "Then follow one batch. Which shape comes out of the loader, and which axis does each layer take for "
        "the text? What goes into the loss, and what ought to come out? Which text is scored?",
        "Then hold `forward` beside the diagram of a block (chapter 5) and of a GPT (chapter 6): what comes "
        "in, what is added, what is hidden? Three of the eight are things that are not there at all.",
    ),
    misconceptions=(
        _mistake(
            "blames-the-logits",
            "the head is blamed because no softmax follows it",
            "`F.cross_entropy` takes logits and applies the softmax itself. A second one would be the fault.",
            28,
            letter="A",
        ),
        _mistake(
            "blames-zero-grad",
            "`zero_grad` is blamed for its place",
            "It must stand somewhere between one step and the next backward pass. Does it?",
            35,
            letter="D",
        ),
        _mistake(
            "blames-the-shuffle",
            "shuffling is blamed for destroying the order of the text",
            "What does the loader shuffle: the letters, or the windows? Inside a window nothing moves.",
            13,
            letter="H",
        ),
        _mistake(
            "blames-a-missing-eval",
            "the score is blamed for a missing `model.eval()`",
            "That call switches dropout off. Which layer of this model has any?",
            38,
            letter="L",
        ),
        _mistake(
            "mask-for-shift",
            "what a place may look at is looked for in the line of the loss",
            "A model can cheat in two ways: by what it may see, and by what it is asked. Which of the two is "
            "decided in this line?",
            34,
            39,
            letter="B",
        ),
        _mistake(
            "order-for-attention",
            "attention is blamed for not knowing the order",
            "Attention never knows the order by itself. What must its input bring along?",
            20,
            26,
            letter="K",
        ),
        _mistake(
            "training-is-not-scoring",
            "the training loop is blamed for reading the training text",
            "It is there to be trained on. Which number claims to say how good the model is?",
            33,
            34,
            letter="J",
        ),
        _mistake(
            "mask-in-the-constructor",
            "the mask is looked for where the attention layer is made",
            "A mask depends on the length of the text at hand. Where does the layer meet the text?",
            20,
            letter="B",
        ),
        _mistake(
            "repeat-for-attention",
            "attention is blamed for repeating the token that was read",
            "What attention hands on is no fault by itself. Which line says what ought to come out?",
            26,
            28,
            letter="F",
        ),
        _mistake(
            "the-batch-is-innocent",
            "the batches are blamed for texts that get mixed up",
            "Texts may well lie side by side in a batch. Which layer reads along the wrong axis?",
            7,
            13,
            letter="G",
        ),
    ),
    alternatives=(
        Alternative(
            "where each fault is",
            lambda: [
                (8, "C"), (13, "I"), (20, "G"), (25, "K"), (26, "B"), (27, "E"), (34, "F"), (39, "J"),
            ],
        ),
        Alternative(
            "where each cure belongs, in another order",
            lambda: (
                [40, "j"], [37, "c"], [26, "g"], [13, "i"], [18, " k "], [25, "e"], [39, "f"], [26, "b"],
            ),
        ),
        Alternative(
            "as one who would write it anew: import, split of the text, pairs out of the loader",
            lambda: [
                (4, "I"), (12, "J"), (33, "F"), (31, "C"), (20, "G"), (18, "K"), (26, "B"), (26, "E"),
            ],
        ),
    ),
)  # fmt: skip
