"""Chapter 9, Evaluation: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.evaluation import (
    bits_per_byte,
    clipped_counts,
    expected_calibration_error,
    expose_mutants,
    longest_common_subsequence,
    ngram_overlap,
    paired_bootstrap,
    precision_recall_f1,
    predict_upset,
)

CHAPTER = Chapter(
    number=9,
    slug="09-evaluation",
    title="Evaluation",
    imports="""\
import copy
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from matplotlib.patches import Circle
from torch import Tensor
from torch.nn.functional import cross_entropy

from llmlib.attention import softmax
from llmlib.drawing import PALETTE, draw_heatmap, show, subplots
""",
    exercises=(
        predict_upset.EXERCISE,
        bits_per_byte.EXERCISE,
        precision_recall_f1.EXERCISE,
        expected_calibration_error.EXERCISE,
        clipped_counts.EXERCISE,
        longest_common_subsequence.EXERCISE,
        paired_bootstrap.EXERCISE,
        ngram_overlap.EXERCISE,
        expose_mutants.EXERCISE,
    ),
)
