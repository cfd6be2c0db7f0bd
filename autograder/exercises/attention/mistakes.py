"""Mistakes that several exercises of the chapter share, worded once: what the answer does, and advice."""

from __future__ import annotations

# In the scores.
TIMES_ROOT = (
    "the scores are multiplied by √d_k instead of divided",
    "The scaling should make large dot products smaller.",
)
OVER_ROOT_D_MODEL = (
    "the scores are divided by √d_model, not √d_k",
    "The sum inside one dot product runs over the numbers of one head, not over those of all heads.",
)
OVER_ROOT_KEYS = (
    "the scores are divided by the root of the number of keys, not by √d_k",
    "How many products are added up in one score? That number sets the scale, not how many scores there are.",
)
REVERSED_AXES = (
    "the wrong axes of key are swapped as soon as there is a batch",
    "`.T` reverses all the axes and `transpose(0, 1)` swaps the first two. Only the last two should change "
    "places.",
)

# In a mask.
INVERTED = (
    "`True` marks what is hidden, not what may be seen",
    "In this course, as in PyTorch's own attention function, True means “may attend”.",
)
