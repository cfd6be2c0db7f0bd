"""Exercise 7.1: predict the loss that is left on a text that repeats for ever."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from functools import cache

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import SIZE, comes_within, guess

PERIOD, CONTEXT, CLOSE_ENOUGH = "aab", 4, 0.02


@cache
def least_loss(period: str = PERIOD, context: int = CONTEXT) -> float:
    """The mean loss of a reader who knows the text and sees a window of it, in nats per character.

    The windows are counted: what was seen from a window's beginning on, and what came next.
    """
    text = period * (context + 2)
    windows = [text[start : start + context + 1] for start in range(len(period))]
    following: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for window in windows:
        for place in range(1, context + 1):
            following[window[:place]][window[place]] += 1
    surprises = [
        -math.log(following[window[:place]][window[place]] / following[window[:place]].total())
        for window in windows
        for place in range(1, context + 1)
    ]
    return sum(surprises) / len(surprises)


EXERCISE = Exercise(
    name="pretraining.predict_repeats",
    number="7.1",
    title="Predict: what is left to be surprised by",
    kind="prediction",
    answer_name="prediction",
    minutes=8,
    difficulty=2,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            least_loss,
            "go through the four places of a window, one by one, and ask of each what the model has seen by "
            "then",
            values=SIZE,
        ),
    ),
    hints=(
        "A window begins anywhere, and the model sees nothing before it. At the window's first place it has "
        "seen one character. What may come after an `a`, and what after a `b`?",
        "Write down the three windows that there are: `aaba`, `abaa` and `baab`. At which of their places is "
        "the next character certain?",
        "A coin flip costs ln 2 = 0.693. In how many of the three windows is there one, and over how many "
        "places is it shared out?",
    ),
    misconceptions=(
        Misconception(
            "nothing-left",
            "the loss is expected to reach 0, since the text repeats",
            "The text is certain for who knows where in it they are. Does the model, at the first place?",
            lambda: guess(0.0),
        ),
        Misconception(
            "first-place-only",
            "this is the loss of the first place alone",
            "You found where the surprise is. The loss is the mean over all four places.",
            lambda: guess(2 / 3 * math.log(2)),
        ),
        Misconception(
            "always-a-coin-flip",
            "every window is expected to begin with a coin flip",
            "One window in three begins with `b`, and what follows `b` is certain.",
            lambda: guess(math.log(2) / CONTEXT),
        ),
        Misconception(
            "bits",
            "this is in bits",
            "Losses are in nats: a coin flip costs ln 2 = 0.693.",
            lambda: guess(2 / 3 / CONTEXT),
        ),
        Misconception(
            "no-context",
            "this is the loss of a model that only knows how frequent each character is",
            "After `aa` the model knows what comes. How often has it seen two characters?",
            lambda: guess(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3)),
        ),
        Misconception(
            "one-coin-flip",
            "this is one coin flip at every place",
            "At most places nothing is open any more.",
            lambda: guess(math.log(2)),
        ),
        Misconception(
            "one-window-in-three",
            "only one window in three is expected to begin with a coin flip",
            "Which of `aaba`, `abaa` and `baab` begin with an `a`?",
            lambda: guess(math.log(2) / 3 / CONTEXT),
        ),
        Misconception(
            "a-flip-in-every-period",
            "a coin flip is expected at every third character, wherever in the window it stands",
            "Inside a window the model has seen what came before. At which place only is it unsure?",
            lambda: guess(math.log(2) / 3),
        ),
        Misconception(
            "shared-over-the-period",
            "the surprise is shared out over the three characters of the period, not over the window",
            "The model makes four predictions in each window of four.",
            lambda: guess(2 / 3 * math.log(2) / 3),
        ),
    ),
)
