"""Chapter 7, Pre-training: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.pretraining import cosine_schedule

CHAPTER = Chapter(
    number=7,
    slug="07-pretraining",
    title="Pre-training",
    imports="""\
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from llmlib.drawing import PALETTE, show, subplots
from llmlib.gpt import GPT, GPTConfig
""",
    exercises=(cosine_schedule.EXERCISE,),
)
