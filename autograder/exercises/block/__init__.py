"""Chapter 5, the block: one module an exercise."""

from __future__ import annotations

from dataclasses import replace

from autograder.exercise import Chapter
from autograder.exercises.block import (
    dropout,
    expose_norm_mutants,
    gelu,
    layer_norm,
    predict_stream_size,
    repair_feedforward,
    rms_norm,
    rms_norm_variants,
    swiglu,
    transformer_block,
)

CHAPTER = Chapter(
    number=5,
    slug="05-the-block",
    title="The block",
    imports="""\
import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from llmlib.attention import MultiHeadAttention
from llmlib.drawing import show, subplots
from llmlib.normalization import LayerNorm
""",
    exercises=(
        gelu.EXERCISE,
        repair_feedforward.EXERCISE,
        swiglu.EXERCISE,
        layer_norm.EXERCISE,
        replace(rms_norm.EXERCISE, variants=rms_norm_variants.VARIANTS),
        expose_norm_mutants.EXERCISE,
        predict_stream_size.EXERCISE,
        dropout.EXERCISE,
        transformer_block.EXERCISE,
    ),
)
