"""Right and wrong, counted: how good are answers that are one of a few classes?

All measures here are read off one table, in which row t, column p counts the items of class t that were taken
for class p.

Source: van Rijsbergen, "Information Retrieval" (1979), chapter 7, for precision, recall and F.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


def confusion_matrix(
    targets: Int[Tensor, " items"], predictions: Int[Tensor, " items"], n_classes: int
) -> Int[Tensor, "target predicted"]:
    """How many items of each class were taken for each class: rows are what is true, columns what was said.

    Raises:
        ValueError: the two differ in shape, or hold a class that is not among 0, …, n_classes - 1.
    """
    if targets.shape != predictions.shape or targets.ndim != 1:
        raise ValueError(
            "targets and predictions must be two lists of the same length: "
            f"got {tuple(targets.shape)} and {tuple(predictions.shape)}"
        )
    for name, classes in (("targets", targets), ("predictions", predictions)):
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < n_classes:
            raise ValueError(
                f"{name} must lie between 0 and {n_classes - 1}: "
                f"got {int(classes.min())} to {int(classes.max())}"
            )
    places = targets.long() * n_classes + predictions.long()
    return torch.bincount(places, minlength=n_classes**2).view(n_classes, n_classes)


def accuracy(confusion: Int[Tensor, "target predicted"]) -> float:
    """The share of the items that were taken for what they are.

    Raises:
        ValueError: the table is empty.
    """
    if not confusion.sum() > 0:
        raise ValueError("accuracy is a share of the items: got none")
    return float(confusion.diagonal().sum() / confusion.sum())


def precision_recall_f1(
    confusion: Int[Tensor, "target predicted"], average: Literal["none", "micro", "macro"] = "none"
) -> tuple[Float[Tensor, "*classes"], Float[Tensor, "*classes"], Float[Tensor, "*classes"]]:
    """Of what was said, how much is true; of what is true, how much was said; and both in one number.

    For one class, with r items rightly taken for it, s items taken for it and t items that are of it:
    precision r / s, recall r / t, and F1 = 2 r / (s + t), which is their harmonic mean. Where nothing would
    be divided by nothing, the result is 0.

    average: "none" gives each class its own numbers; "macro" is the mean of these over all classes; "micro"
    adds up r, s and t over the classes first.

    Raises:
        ValueError: the table is not square, or `average` is another word.

    Source: van Rijsbergen (1979), chapter 7.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"a confusion matrix is square: got shape {tuple(confusion.shape)}")
    if average not in ("none", "micro", "macro"):
        raise ValueError(f'average must be "none", "micro" or "macro": got {average!r}')
    right, said, true = confusion.diagonal(), confusion.sum(dim=0), confusion.sum(dim=1)
    if average == "micro":
        right, said, true = right.sum(), said.sum(), true.sum()
    # Nothing is right where nothing was said: 0 / 1 is the 0 that is wanted.
    precision = right / said.clamp(min=1)
    recall = right / true.clamp(min=1)
    f1 = 2 * right / (said + true).clamp(min=1)
    if average == "macro":
        return precision.mean(), recall.mean(), f1.mean()
    return precision, recall, f1
