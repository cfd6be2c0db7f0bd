"""Exercise 9.9: small lists of labels that tell precision, recall and F1 from what only looks like them.

A probe gives targets, predictions and the kind of average. It exposes a wrong metric that gives other numbers
than the right one, or none.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, Literal, cast, get_args

import numpy as np
import torch

from autograder.exercise import Alternative, Exercise, Misconception
from autograder.exercises import reading
from autograder.exercises.evaluation.wrong_metrics import MUTANTS, Scores
from autograder.exercises.exposing import Exposing
from autograder.exercises.reading import Unusable
from llmlib.classification import confusion_matrix, precision_recall_f1

MOST_LABELS, MOST_CLASSES = 20, 5
Average = Literal["micro", "macro"]
AVERAGES = get_args(Average)
EXPOSED = 1e-6  # a smaller difference may be rounding
_Probe = tuple[list[int], list[int], Average]


def right(targets: list[int], predictions: list[int], average: Average) -> Scores:
    """Precision, recall and F1 of the course. There are as many classes as the largest label says."""
    n_classes = 1 + max(targets + predictions)
    confusion = confusion_matrix(torch.tensor(targets), torch.tensor(predictions), n_classes)
    precision, recall, f1 = precision_recall_f1(confusion, average)
    return float(precision), float(recall), float(f1)


def _exposes(probe: _Probe, mutant: Misconception) -> bool:
    targets, predictions, average = probe
    try:
        wrong = mutant.answer(list(targets), list(predictions), average)
    except ZeroDivisionError:
        return True
    pairs = zip(wrong, right(*probe), strict=True)
    return any(math.isnan(a) or abs(a - b) > EXPOSED for a, b in pairs)


def _read(name: str, probe: Any) -> _Probe:
    given = reading.fields(name, probe, ("targets", "predictions", "average"))
    targets, predictions = (
        _read_labels(f"the {key} of {name}", given[key]) for key in ("targets", "predictions")
    )
    if len(targets) != len(predictions):
        raise Unusable(
            f"the targets and the predictions of {name} should be equally many: there are {len(targets)} and "
            f"{len(predictions)}"
        )
    average = given["average"]
    if not isinstance(average, str) or average not in AVERAGES:
        raise Unusable(f'the average of {name} should be "micro" or "macro"')
    return targets, predictions, cast(Average, average)


def _read_labels(name: str, labels: Any) -> list[int]:
    if isinstance(labels, torch.Tensor) and labels.dim() == 1 and labels.numel() <= MOST_LABELS:
        labels = labels.tolist()
    if not isinstance(labels, list | tuple) or not 1 <= len(labels) <= MOST_LABELS:
        raise Unusable(f"{name} should be a list of 1 to {MOST_LABELS} labels")
    for label in labels:
        if not isinstance(label, Integral) or isinstance(label, bool) or not 0 <= int(label) < MOST_CLASSES:
            raise Unusable(f"{name} should be whole numbers from 0 to {MOST_CLASSES - 1}")
    return [int(label) for label in labels]


EXPOSING = Exposing(
    mutants=MUTANTS,
    read=_read,
    exposes=_exposes,
    most=8,
    made_of="plain lists and dicts",
    nothing="no wrong metric is exposed yet: on these probes they all give the right numbers",
)


# --- Right answers


def _both(targets: Any, predictions: Any) -> list[dict[str, Any]]:
    return [
        {"targets": targets, "predictions": predictions, "average": "micro"},
        {"targets": targets, "predictions": predictions, "average": "macro"},
    ]


def _few() -> list[dict[str, Any]]:
    return [
        *_both([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 0, 1, 2]),
        # Class 1 is nowhere, class 2 is never said, class 3 is said and nowhere.
        *_both([0, 0, 0, 2], [0, 0, 3, 0]),
        {"targets": [0, 1], "predictions": [1, 0], "average": "micro"},
    ]


def _numpy_s_numbers() -> list[dict[str, Any]]:
    targets, predictions = np.array([[0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 0, 1, 2]])
    return [
        *_both(list(targets), list(predictions)),
        *_both([0, 0, 0, 2], [0, 0, 3, 0]),
        *_both([0, 1], [1, 0]),
    ]


def _one_for_each_idea() -> list[dict[str, Any]]:
    return [
        {"targets": [0, 0, 0, 0, 0, 1], "predictions": [0, 0, 0, 1, 1, 1], "average": "macro"},
        {"targets": [0, 0, 0, 0, 0, 1], "predictions": [0, 0, 0, 1, 1, 1], "average": "micro"},
        {"targets": [0, 1, 2, 2], "predictions": [0, 0, 2, 0], "average": "macro"},
        {"targets": [0, 0, 1, 1], "predictions": [0, 2, 1, 2], "average": "macro"},
        {"targets": [0, 0, 2, 2], "predictions": [0, 2, 2, 2], "average": "macro"},
        {"targets": [0, 0], "predictions": [1, 1], "average": "micro"},
    ]


def _tensors() -> list[dict[str, Any]]:
    targets = torch.tensor([4, 4, 4, 0, 0, 1, 3, 4, 0, 1])
    predictions = torch.tensor([4, 0, 4, 0, 0, 0, 4, 4, 0, 1])
    return [
        *_both(targets, predictions),
        *_both(torch.tensor([1, 1, 3]), torch.tensor([1, 0, 1])),
        *_both(torch.tensor([0]), torch.tensor([1])),
    ]


EXERCISE = Exercise(
    name="evaluation.expose_mutants",
    number="9.9",
    title="Kill the mutants: expose wrong metrics",
    kind="mutants",
    answer_name="probes",
    minutes=15,
    difficulty=2,
    checks=(
        EXPOSING.first("is a list of probes that exposes something"),
        EXPOSING.all_of("counts", "exposes wrong counts and wrong means", 2),
        EXPOSING.all_of("averages", "exposes wrong averages over the classes", 2),
        EXPOSING.all_of("empty", "exposes what goes wrong with classes that are never said or never there"),
    ),
    hints=(
        "Where precision and recall are equal, nobody can see them confused. Let one class be said more "
        "often than it is there.",
        "Where all classes are equally frequent, averages agree. Let one class be frequent and well "
        "recognised, another rare and badly recognised, and ask for both kinds of average.",
        "A division by zero needs a zero. Which class must be missing, and in which of the two lists? And "
        "what if nothing at all is right?",
    ),
    alternatives=(
        Alternative("a few lists", _few),
        Alternative("one probe for each idea", _one_for_each_idea),
        Alternative("tensors", _tensors),
        Alternative("lists of NumPy's whole numbers", _numpy_s_numbers),
    ),
)
