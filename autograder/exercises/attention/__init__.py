"""Chapter 3, scaled dot-product attention: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.attention import (
    attention_scores,
    causal_mask,
    expose_mutants,
    padding_mask,
    predict_top_weight,
    repair_attention,
    scaled_dot_product_attention,
    softmax,
)

CHAPTER = Chapter(
    number=3,
    slug="03-attention",
    title="Scaled dot-product attention",
    imports="""\
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmlib.drawing import heatmap, show, subplots
""",
    exercises=(
        attention_scores.EXERCISE,
        softmax.EXERCISE,
        causal_mask.EXERCISE,
        padding_mask.EXERCISE,
        scaled_dot_product_attention.EXERCISE,
        predict_top_weight.EXERCISE,
        repair_attention.EXERCISE,
        expose_mutants.EXERCISE,
    ),
)
