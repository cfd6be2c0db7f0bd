"""Exercise 6.4: predict the first loss of a GPT whose tied embedding starts as large as PyTorch makes it."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch.nn import functional as F

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import SIZE, comes_within, guess
from llmlib.gpt import GPT, GPTConfig

V, D_MODEL, CLOSE_ENOUGH = 65, 256, 6.0


@cache
def first_loss(models: int = 4) -> float:
    """The first loss, averaged over so many models and 256 places each (spread between models below 1)."""
    losses = []
    for seed in range(models):
        config = GPTConfig(V, context_length=16, d_model=D_MODEL, n_layers=2, n_heads=4, init_std=1.0)
        model = GPT(config, generator=seed)
        generator = torch.Generator().manual_seed(1000 + seed)
        tokens = torch.randint(0, V, (16, 17), generator=generator)
        with torch.no_grad():
            logits = model(tokens[:, :-1])
        losses.append(float(F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())))
    return sum(losses) / len(losses)


EXERCISE = Exercise(
    name="gpt.predict_first_loss",
    number="6.4",
    title="Predict: the first loss of a badly made model",
    kind="prediction",
    answer_name="prediction",
    minutes=6,
    difficulty=3,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            first_loss,
            "think again about how widely the 65 logits of one place spread, and about what the loss makes "
            "of such a spread",
            values=SIZE,
        ),
    ),
    hints=(
        "What the head reads has been normed: its 256 numbers have mean square 1. One logit is its dot "
        "product with a row of standard normal numbers. What is the standard deviation?",
        "The loss of one place is log Σ exp(logits) minus the logit of the token that came. Which logit "
        "rules the sum when they lie many points apart, and how large is the other term on average?",
        "The largest of 65 standard normal numbers lies somewhere between 2 and 3. Multiply by the spread "
        "that you found.",
    ),
    misconceptions=(
        Misconception(
            "ln-v",
            "the model is expected to guess blindly, as a well-made one does",
            "ln V is the loss of equal logits. Are these logits nearly equal?",
            lambda: guess(math.log(V)),
        ),
        Misconception(
            "in-bits",
            "the loss is expected to be that of a blind guess, counted in bits",
            "The losses of this chapter are in nats, and these logits are far from equal.",
            lambda: guess(math.log2(V)),
        ),
        Misconception(
            "only-the-spread",
            "the loss is expected to equal the standard deviation of the logits",
            "You have found the spread. Where does the largest of 65 such numbers lie?",
            lambda: guess(math.sqrt(D_MODEL)),
        ),
        Misconception(
            "small-spread-formula",
            "the formula for small spreads is used far outside its range",
            "ln V + σ²/2 counts on rare large logits. With 65 tokens the largest logit is all there is.",
            lambda: guess(math.log(V) + D_MODEL / 2),
        ),
        Misconception(
            "without-norm",
            "the logits are expected to have a standard deviation of d_model",
            "A sum of 256 independent terms of variance 1 has variance 256.",
            lambda: guess(float(D_MODEL)),
        ),
        Misconception(
            "perplexity",
            "this is the number of tokens among which the model hesitates, not its loss",
            "The loss is a logarithm.",
            lambda: guess(float(V)),
        ),
        Misconception(
            "probability",
            "this is the probability of a blind guess, not its loss",
            "The loss is minus the logarithm of a probability.",
            lambda: guess(1 / V),
        ),
    ),
)
