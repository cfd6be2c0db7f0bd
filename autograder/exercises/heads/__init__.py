"""Chapter 4, many heads: one module an exercise."""

from __future__ import annotations

from dataclasses import replace

from autograder.exercise import Chapter
from autograder.exercises.heads import (
    attention_flops,
    combined_mask,
    expose_mutants,
    induction_score,
    merge_heads,
    multi_head_attention,
    predict_quadratic_share,
    project_heads,
    split_heads,
    split_heads_variants,
)

CHAPTER = Chapter(
    number=4,
    slug="04-many-heads",
    title="Many heads",
    imports="""\
import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from llmlib.attention import causal_mask, padding_mask, scaled_dot_product_attention
from llmlib.drawing import PALETTE, heatmap, show, subplots
""",
    exercises=(
        replace(split_heads.EXERCISE, variants=split_heads_variants.VARIANTS),
        merge_heads.EXERCISE,
        project_heads.EXERCISE,
        combined_mask.EXERCISE,
        multi_head_attention.EXERCISE,
        predict_quadratic_share.EXERCISE,
        attention_flops.EXERCISE,
        induction_score.EXERCISE,
        expose_mutants.EXERCISE,
    ),
)
