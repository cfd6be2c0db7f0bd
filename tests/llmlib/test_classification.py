"""Confusion, precision, recall and F1 against scikit-learn's."""

from __future__ import annotations

import pytest
import torch
from sklearn import metrics

from llmlib.classification import accuracy, confusion_matrix, precision_recall_f1


def drawn(seed, n_classes, items=60):
    g = torch.Generator().manual_seed(seed)
    return (torch.randint(n_classes, (items,), generator=g) for _ in range(2))


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_as_scikit_learn_does_it(seed, n_classes):
    targets, predictions = drawn(seed, n_classes)
    labels = list(range(n_classes))
    confusion = confusion_matrix(targets, predictions, n_classes)
    assert confusion.tolist() == metrics.confusion_matrix(targets, predictions, labels=labels).tolist()
    assert accuracy(confusion) == pytest.approx(metrics.accuracy_score(targets, predictions), rel=1e-6)
    for ours, theirs in (("none", None), ("micro", "micro"), ("macro", "macro")):
        expected = metrics.precision_recall_fscore_support(
            targets, predictions, labels=labels, average=theirs, zero_division=0
        )[:3]
        for got, want in zip(precision_recall_f1(confusion, ours), expected, strict=True):
            torch.testing.assert_close(got, torch.as_tensor(want).float())


@pytest.mark.parametrize("average", ["none", "micro", "macro"])
def test_classes_that_nobody_says_or_that_do_not_occur_are_worth_nothing(average):
    # Class 1 is never said, class 2 never true, class 3 neither.
    targets, predictions = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 0, 2])
    confusion = confusion_matrix(targets, predictions, 4)
    expected = metrics.precision_recall_fscore_support(
        targets, predictions, labels=range(4), average=None if average == "none" else average, zero_division=0
    )[:3]
    for got, want in zip(precision_recall_f1(confusion, average), expected, strict=True):
        torch.testing.assert_close(got, torch.as_tensor(want).float())


def test_by_hand():
    # 4 mails are spam, 6 are not; 3 are taken for spam, 2 of them rightly.
    confusion = torch.tensor([[5, 1], [2, 2]])
    precision, recall, f1 = precision_recall_f1(confusion)
    assert precision[1] == pytest.approx(2 / 3) and recall[1] == 0.5 and f1[1] == pytest.approx(4 / 7)
    assert accuracy(confusion) == pytest.approx(0.7)


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="two lists of the same length"):
        confusion_matrix(torch.tensor([0]), torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match="predictions must lie between 0 and 1: got 0 to 2"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 2]), 2)
    with pytest.raises(ValueError, match="targets must lie between 0 and 1: got -1 to 1"):
        confusion_matrix(torch.tensor([-1, 1]), torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match="square"):
        precision_recall_f1(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match='"none", "micro" or "macro": got \'weighted\''):
        precision_recall_f1(torch.eye(2, dtype=torch.long), "weighted")
    with pytest.raises(ValueError, match="got none"):
        accuracy(torch.zeros(2, 2, dtype=torch.long))
