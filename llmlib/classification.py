"""Counting right and wrong answers: confusion matrix, accuracy, precision, recall and F1."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor


def confusion_matrix(
    targets: Int[Tensor, " items"], predictions: Int[Tensor, " items"], n_classes: int
) -> Int[Tensor, "classes classes"]:
    """How often an item of the class of the row was said to be of the class of the column.

    Raises:
        ValueError: the two differ in length, are no whole numbers, or a class is not below `n_classes`.
    """
    if targets.shape != predictions.shape or targets.ndim != 1:
        raise ValueError(
            "targets and predictions must be two lists of the same length: "
            f"got {tuple(targets.shape)} and {tuple(predictions.shape)}"
        )
    for name, labels in (("targets", targets), ("predictions", predictions)):
        if labels.is_floating_point() or labels.is_complex():
            raise ValueError(f"{name} must be whole numbers, the classes: got a tensor of {labels.dtype}")
        if labels.numel() and not (int(labels.min()) >= 0 and int(labels.max()) < n_classes):
            raise ValueError(
                f"{name} must lie between 0 and {n_classes - 1}: "
                f"got numbers from {int(labels.min())} to {int(labels.max())}"
            )
    # A pair of classes is one number, so that one count of numbers counts all pairs; a byte may not hold it.
    counts = torch.bincount(targets.long() * n_classes + predictions.long(), minlength=n_classes**2)
    return counts.view(n_classes, n_classes)


def accuracy(confusion: Int[Tensor, "classes classes"]) -> float:
    """The share of right answers.

    Raises:
        ValueError: nothing was counted.
    """
    if not confusion.sum() > 0:
        raise ValueError("nothing was counted: the confusion matrix holds zeros only")
    return float(confusion.diagonal().sum() / confusion.sum().double())


def precision_recall_f1(
    confusion: Int[Tensor, "classes classes"], average: Literal["micro", "macro"]
) -> tuple[float, float, float]:
    """Precision, recall and F1, made one number each over the classes.

    macro: each class has its own three numbers, and the classes are averaged.
    micro: the counts of all classes are added up first.

    Rows are what an item is, columns what it was said to be. Nothing out of nothing counts as 0.

    Raises:
        ValueError: the matrix is not square or has no class, or `average` is unknown.

    Source: van Rijsbergen, "Information Retrieval" (1979), chapter 7; Yang and Liu, "A re-examination of text
    categorization methods" (1999), section 3, for micro and macro.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or not len(confusion):
        raise ValueError(
            f"a confusion matrix must be square and not empty: got shape {tuple(confusion.shape)}"
        )
    if average not in ("micro", "macro"):
        raise ValueError(f"average must be 'micro' or 'macro': got {average!r}")
    hits = confusion.diagonal().double()
    said, there = confusion.sum(dim=0), confusion.sum(dim=1)
    if average == "micro":
        hits, said, there = hits.sum(), said.sum(), there.sum()
    precision = hits / said.clamp(min=1)  # where nothing was said there are no hits either
    recall = hits / there.clamp(min=1)
    f1 = hits / ((said + there) / 2).clamp(min=1)
    return float(precision.mean()), float(recall.mean()), float(f1.mean())
