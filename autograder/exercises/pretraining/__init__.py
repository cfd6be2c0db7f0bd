"""Chapter 7, Pre-training: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.pretraining import (
    accumulate_gradients,
    adamw_step,
    cosine_schedule,
    cross_entropy,
    expose_mutants,
    find_faults,
    predict_repeats,
    repair_model,
    repair_script,
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

from llmlib.clipping import clip_gradients
from llmlib.data import get_batch
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
        # 7.7 is answered in words and stands in the manuscript.
        find_faults.EXERCISE,
        repair_model.EXERCISE,
        repair_script.EXERCISE,
    ),
)
