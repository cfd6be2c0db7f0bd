"""Chapter 5, the block: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.block import dropout, gelu, layer_norm, rms_norm, swiglu

CHAPTER = Chapter(
    number=5,
    slug="05-the-block",
    title="The block",
    imports="""\
import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from llmlib.drawing import heatmap, show, subplots
""",
    exercises=(
        gelu.EXERCISE,
        swiglu.EXERCISE,
        layer_norm.EXERCISE,
        rms_norm.EXERCISE,
        dropout.EXERCISE,
    ),
)
