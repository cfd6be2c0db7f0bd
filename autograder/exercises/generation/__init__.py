"""Chapter 8, Generation: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.generation import (
    attend_with_cache,
    beam_step,
    chi_square_statistic,
    expose_mutants,
    left_pad,
    predict_tail,
    repetition_penalty,
    split_at_stop,
    top_p,
)

CHAPTER = Chapter(
    number=8,
    slug="08-generation",
    title="Generation",
    imports="""\
import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmlib.attention import causal_mask, scaled_dot_product_attention, softmax
from llmlib.cache import cached_mask
from llmlib.drawing import PALETTE, heatmap, show, subplots
from llmlib.gpt import GPT, GPTConfig
""",
    exercises=(
        predict_tail.EXERCISE,
        top_p.EXERCISE,
        repetition_penalty.EXERCISE,
        chi_square_statistic.EXERCISE,
        expose_mutants.EXERCISE,
        beam_step.EXERCISE,
        attend_with_cache.EXERCISE,
        left_pad.EXERCISE,
        split_at_stop.EXERCISE,
    ),
)
