"""Exercise 2.6: predict how similar the vectors of two opposite words become."""

from __future__ import annotations

import re
from functools import cache

import torch

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import Range, comes_within, guess
from llmlib.embedding import cosine_similarity
from llmlib.skipgram import skipgram_pairs, train_skipgram
from llmlib.stories import stories

CLOSE_ENOUGH = 0.15
COSINE = Range(-1.0, 1.0, "a number from -1 to 1, such as 0.25", "lie between -1 and 1, as every cosine does")


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


EXERCISE = Exercise(
    name="skipgram.predict_opposites",
    number="2.6",
    title="Predict: how similar are opposites?",
    kind="prediction",
    answer_name="prediction",
    minutes=4,
    difficulty=2,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            similarity,
            "think again about what the training sees of a word: which words stand around these two?",
            values=COSINE,
        ),
    ),
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
            lambda: guess(-1.0),
        ),
        Misconception(
            "rather-opposite",
            "opposite meanings are expected to give vectors that point away from each other",
            "Where should the training learn that the words mean opposite things?",
            lambda: guess(-0.5),
        ),
        Misconception(
            "nothing-in-common",
            "opposites are expected to have nothing in common",
            "Both say what kind of day it was. How many words share that place?",
            lambda: guess(0.0),
        ),
        Misconception(
            "half-way",
            "likeness of use and opposite meaning are expected to cancel half-way",
            "Only one of the two can be seen in the text.",
            lambda: guess(0.5),
        ),
    ),
)
