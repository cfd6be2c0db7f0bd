"""Chapter 7, Pre-training: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.pretraining import (
    accumulate_gradients,
    adamw_step,
    cosine_schedule,
    cross_entropy,
    expose_mutants,
    predict_repeats,
)

CHAPTER = Chapter(
    number=7,
    slug="07-pretraining",
    title="Pre-training",
    imports="""\
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from llmlib.drawing import PALETTE, show, subplots
from llmlib.gpt import GPT, GPTConfig
from llmlib.loss import IGNORED
""",
    exercises=(
        predict_repeats.EXERCISE,
        cross_entropy.EXERCISE,
        adamw_step.EXERCISE,
        cosine_schedule.EXERCISE,
        expose_mutants.EXERCISE,
        accumulate_gradients.EXERCISE,
    ),
)
