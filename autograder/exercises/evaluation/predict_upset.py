"""Exercise 9.1: predict how often a worse model does at least as well on 100 questions."""

from __future__ import annotations

from functools import cache

import torch

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import comes_within, guess

WORSE, BETTER, QUESTIONS, CLOSE_ENOUGH = 0.80, 0.82, 100, 0.06


@cache
def share_of_upsets(tests: int = 20_000) -> float:
    """In which share of tests the worse model has at least as many right answers, in an experiment."""
    generator = torch.Generator().manual_seed(9)
    worse, better = (
        (torch.rand(tests, QUESTIONS, generator=generator) < share).sum(dim=1) for share in (WORSE, BETTER)
    )
    return float((worse >= better).float().mean())


EXERCISE = Exercise(
    name="evaluation.predict_upset",
    number="9.1",
    title="Predict: how often the worse model wins",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            share_of_upsets,
            "think again about how far the score of one and the same model varies from test to test, and "
            "compare it with the lead",
        ),
    ),
    hints=(
        "A model that is right with probability 0.8 does not have 80 right answers in every test of 100. "
        "Toss 100 coins in your mind: how often are exactly 50 of them heads?",
        "The number of right answers among 100 varies with a standard deviation of √(100 · 0.8 · 0.2). How "
        "many of these is the lead of 2 answers?",
        "Each of the two scores varies by about 4 answers, so their difference varies by more than either "
        "does. And do not forget the draws, when both have the same score: they count for the worse model.",
    ),
    misconceptions=(
        Misconception(
            "never",
            "the better model is expected to win every test",
            "It would, on all questions there are. A test asks 100 of them, drawn by lot.",
            lambda: guess(0.0),
        ),
        Misconception(
            "the-lead",
            "this is the lead of the better model, two points in a hundred",
            "The lead says how large the difference is, not how often chance hides it.",
            lambda: guess(0.02),
        ),
        Misconception(
            "one-in-twenty",
            "five tests in a hundred are expected to mislead, as in many tables",
            "The 5 % are a promise of long enough tests. Is this test long enough?",
            lambda: guess(0.05),
        ),
        Misconception(
            "one-in-five",
            "this is the share of questions that the worse model gets wrong",
            "The question is about whole tests of 100 questions, not about one question.",
            lambda: guess(0.2),
        ),
        Misconception(
            "one-score-varies",
            "only one of the two scores is thought to vary",
            "B is tested on 100 questions as well. How far does a *difference* of two such scores vary?",
            lambda: guess(0.309),
        ),
        Misconception(
            "coin",
            "both are expected to win equally often",
            "Two points are little, but they are not nothing.",
            lambda: guess(0.5),
        ),
        Misconception(
            "the-better-one",
            "this is the share of tests in which the better model is ahead",
            "You are nearly there: the question asks for the other tests.",
            lambda: guess(0.607),
        ),
        Misconception(
            "draws-forgotten",
            "the tests that end in a draw are left out",
            "Equal scores count too: at least as many right answers.",
            lambda: guess(0.326),
        ),
    ),
)
