"""Chapter 6, GPT: one module an exercise."""

from __future__ import annotations

from dataclasses import replace

from autograder.exercise import Chapter
from autograder.exercises.gpt import (
    convert_block,
    count_parameters,
    count_parameters_variants,
    expose_mutants,
    forward,
    initial_std,
    overfit_one_batch,
    predict_first_loss,
    repair_gpt,
)

CHAPTER = Chapter(
    number=6,
    slug="06-gpt",
    title="GPT",
    imports="""\
import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from llmlib.drawing import PALETTE, heatmap, show, subplots
from llmlib.embedding import LearnedPositions, TokenEmbedding, sinusoidal_positions
from llmlib.gpt import GPTConfig
from llmlib.normalization import LayerNorm
from llmlib.transformer import TransformerBlock
""",
    exercises=(
        replace(count_parameters.EXERCISE, variants=count_parameters_variants.VARIANTS),
        initial_std.EXERCISE,
        forward.EXERCISE,
        predict_first_loss.EXERCISE,
        overfit_one_batch.EXERCISE,
        convert_block.EXERCISE,
        repair_gpt.EXERCISE,
        expose_mutants.EXERCISE,
    ),
)
