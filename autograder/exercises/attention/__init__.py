"""Chapter 3, scaled dot-product attention: one module an exercise."""

from __future__ import annotations

from dataclasses import replace

from autograder.exercise import Chapter
from autograder.exercises.attention import (
    attention_scores,
    attention_scores_variants,
    causal_mask,
    causal_mask_variants,
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
        replace(attention_scores.EXERCISE, variants=attention_scores_variants.VARIANTS),
        softmax.EXERCISE,
        replace(causal_mask.EXERCISE, variants=causal_mask_variants.VARIANTS),
        padding_mask.EXERCISE,
        scaled_dot_product_attention.EXERCISE,
        predict_top_weight.EXERCISE,
        repair_attention.EXERCISE,
        expose_mutants.EXERCISE,
    ),
)
