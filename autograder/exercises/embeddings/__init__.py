"""Chapter 2, embeddings: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.embeddings import (
    cosine_similarity,
    embedding_gradient,
    expose_mutants,
    negative_sampling_loss,
    one_hot,
    predict_opposites,
    rotate,
    sinusoidal_positions,
    skipgram_pairs,
)

CHAPTER = Chapter(
    number=2,
    slug="02-embeddings",
    title="Embeddings",
    imports="""\
import math
import re
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmlib.drawing import heatmap, show, subplots
""",
    exercises=(
        one_hot.EXERCISE,
        embedding_gradient.EXERCISE,
        cosine_similarity.EXERCISE,
        skipgram_pairs.EXERCISE,
        negative_sampling_loss.EXERCISE,
        predict_opposites.EXERCISE,
        sinusoidal_positions.EXERCISE,
        rotate.EXERCISE,
        expose_mutants.EXERCISE,
    ),
)
