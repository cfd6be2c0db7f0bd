"""Chapter 0, the tools: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.tools import (
    broadcast_shape,
    expose_mutants,
    gradients,
    mean_squared_error,
    pairwise_distances,
    predict_wrong_pairs,
    repair_line_step,
    sliding_windows,
)

CHAPTER = Chapter(
    number=0,
    slug="00-tools",
    title="Tools",
    imports="""\
import math
from collections.abc import Sequence
from itertools import zip_longest

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor

import llmlib
from llmlib.drawing import PALETTE, show, subplots
""",
    exercises=(
        mean_squared_error.EXERCISE,
        broadcast_shape.EXERCISE,
        expose_mutants.EXERCISE,
        predict_wrong_pairs.EXERCISE,
        pairwise_distances.EXERCISE,
        sliding_windows.EXERCISE,
        gradients.EXERCISE,
        repair_line_step.EXERCISE,
    ),
)
