"""Chapter 1, tokens: one module an exercise."""

from __future__ import annotations

from autograder.exercise import Chapter
from autograder.exercises.tokens import (
    decode,
    encode_piece,
    expose_encoders,
    merge,
    pair_counts,
    predict_cost,
    train_bpe,
    utf8_bytes,
)

CHAPTER = Chapter(
    number=1,
    slug="01-tokens",
    title="Tokens",
    imports="""\
from itertools import pairwise

from llmlib.drawing import PALETTE, show, subplots
""",
    exercises=(
        utf8_bytes.EXERCISE,
        pair_counts.EXERCISE,
        merge.EXERCISE,
        train_bpe.EXERCISE,
        encode_piece.EXERCISE,
        decode.EXERCISE,
        predict_cost.EXERCISE,
        expose_encoders.EXERCISE,
    ),
)
