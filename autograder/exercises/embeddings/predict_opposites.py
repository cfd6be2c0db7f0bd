"""Exercise 2.6: predict how similar the vectors of two opposite words become."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import torch
from torch import Tensor

from autograder.exercise import Check, Exercise, Misconception
from autograder.judging import is_number
from llmlib.embedding import cosine_similarity
from llmlib.skipgram import skipgram_pairs, train_skipgram
from llmlib.stories import stories

CLOSE_ENOUGH = 0.15


@cache
def similarity(first: str = "sunny", second: str = "stormy", steps: int = 1000, seed: int = 0) -> float:
    """The chapter's experiment: learned from 400 stories, the cosine of two words."""
    texts = [re.findall(r"[a-z]+", story.lower()) for story in stories(0, count=400).split("The end.\n")]
    words = sorted({word for text in texts for word in text})
    place = {word: token for token, word in enumerate(words)}
    pairs = [pair for text in texts for pair in skipgram_pairs([place[word] for word in text], 2)]
    with torch.enable_grad():
        generator = torch.Generator().manual_seed(seed)
        learned = train_skipgram(torch.tensor(pairs), len(words), 16, steps=steps, generator=generator)
    return float(cosine_similarity(learned.centre[place[first]], learned.centre[place[second]]))


def _number(value: Any) -> float | None:
    """A finite number out of an int, a float or a tensor with one element; else None."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.dtype.is_floating_point:
        value = value.item()
    return float(value) if is_number(value) else None


def _judge(prediction: Any, generator: torch.Generator) -> str | None:
    if not isinstance(prediction, dict):
        kind = type(prediction).__name__
        return f'`prediction` should be a dict with "value" and "confidence", but it is of type {kind}'
    for key, least in (("value", -1), ("confidence", 0)):
        if key not in prediction:
            return f'`prediction` has no "{key}": put the key back and write a number after it'
        number = _number(prediction[key])
        if number is None:
            return f'"{key}" should be a number, such as 0.25'
        if not least <= number <= 1:
            return f'"{key}" should lie between {least} and 1'
    if abs(_number(prediction["value"]) - similarity()) > CLOSE_ENOUGH:  # type: ignore[operator]
        return (
            f"the experiment comes out more than {CLOSE_ENOUGH:g} away from that; think again about what "
            "the training sees of a word: which words stand around these two?"
        )
    return None


def _prediction(value: float) -> dict[str, float]:
    return {"value": value, "confidence": 0.5}


EXERCISE = Exercise(
    name="skipgram.predict_opposites",
    number="2.6",
    title="Predict: how similar are opposites?",
    kind="prediction",
    answer_name="prediction",
    minutes=4,
    difficulty=2,
    checks=(Check(f"comes within {CLOSE_ENOUGH:g} of the experiment", 2, judge=_judge),),
    hints=(
        "Skip-gram knows nothing of a word but its neighbours. Write down the words around “sunny” in a few "
        "sentences of the stories.",
        "Now replace “sunny” by “stormy” in these sentences. Does any of them become impossible in the "
        "stories?",
    ),
    misconceptions=(
        Misconception(
            "opposite-meaning",
            "opposite meanings are expected to give opposite vectors",
            "Where should the training learn that the words mean opposite things?",
            lambda: _prediction(-1.0),
        ),
        Misconception(
            "rather-opposite",
            "opposite meanings are expected to give vectors that point away from each other",
            "Where should the training learn that the words mean opposite things?",
            lambda: _prediction(-0.5),
        ),
        Misconception(
            "nothing-in-common",
            "opposites are expected to have nothing in common",
            "Both say what kind of day it was. How many words share that place?",
            lambda: _prediction(0.0),
        ),
        Misconception(
            "half-way",
            "likeness of use and opposite meaning are expected to cancel half-way",
            "Only one of the two can be seen in the text.",
            lambda: _prediction(0.5),
        ),
    ),
)
