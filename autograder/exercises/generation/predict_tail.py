"""Exercise 8.1: predict how many texts hold at least one token of an unlikely tail."""

from __future__ import annotations

from functools import cache

import torch

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import comes_within, guess

TAIL, LENGTH, CLOSE_ENOUGH = 0.01, 200, 0.06


@cache
def share_of_texts(texts: int = 20_000) -> float:
    """The share of texts of 200 tokens with at least one token of the tail, in an experiment."""
    generator = torch.Generator().manual_seed(8)
    drawn = torch.rand(texts, LENGTH, generator=generator) < TAIL
    return float(drawn.any(dim=1).float().mean())


EXERCISE = Exercise(
    name="generation.predict_tail",
    number="8.1",
    title="Predict: how many texts go astray",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=1,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            share_of_texts,
            "think again about what has to happen at every one of the 200 tokens for a text to stay clean",
        ),
    ),
    hints=(
        "A text is clean if its first token is, and its second, and so on. How likely is one clean token?",
        "Independent events that must all happen: their probabilities are multiplied. A text of two tokens "
        "is clean with probability 0.99 · 0.99.",
        "Compute the share of clean texts first. The question asks for the others.",
    ),
    misconceptions=(
        Misconception(
            "one-token",
            "this is the probability for a single token, not for a text of 200",
            "Each of the 200 tokens is a new chance to go astray.",
            lambda: guess(TAIL),
        ),
        Misconception(
            "clean-texts",
            "this is the share of texts that stay clean",
            "You are nearly there. The question asks for the other texts.",
            lambda: guess((1 - TAIL) ** LENGTH),
        ),
        Misconception(
            "added-up",
            "the chances of the 200 tokens are added up and cut off at 1",
            "Texts in which it happens twice are counted twice by such a sum.",
            lambda: guess(1.0),
        ),
        Misconception(
            "expected-number",
            "this is how many wrong tokens a text holds on average",
            "Some texts hold five of them and others none. Which share holds at least one?",
            lambda: guess(TAIL * LENGTH),
        ),
        Misconception(
            "half",
            "one text in two is expected",
            "0.99 multiplied by itself 69 times is 0.5. Here there are 200 tokens.",
            lambda: guess(0.5),
        ),
        Misconception(
            "first-hundred",
            "this is the share after 100 tokens",
            "100 tokens give on average one of the tail. The texts have 200.",
            lambda: guess(1 - (1 - TAIL) ** (LENGTH // 2)),
        ),
        Misconception(
            "tail-kept-out",
            "the tail is expected never to be drawn",
            "One percent is not nothing: on average two of 200 tokens come from there.",
            lambda: guess(0.0),
        ),
    ),
)
