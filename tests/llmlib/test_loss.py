"""Cross-entropy against PyTorch's own, its gradient too, where a plain softmax would overflow."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from llmlib.loss import IGNORED, cross_entropy


def drawn(*shape: int, scale: float = 1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(*shape, generator=generator, dtype=dtype)
    return logits.requires_grad_(), torch.randint(shape[-1], shape[:-1], generator=generator)


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 7), (2, 3, 2, 4), (6,)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_pytorchs(shape, scale, dtype):
    logits, targets = drawn(*shape, scale=scale, dtype=dtype)
    ours = cross_entropy(logits, targets)
    (gradient,) = torch.autograd.grad(ours, logits)
    theirs = F.cross_entropy(logits.reshape(-1, shape[-1]), targets.reshape(-1))
    (expected,) = torch.autograd.grad(theirs, logits)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, expected)


def test_ignored_targets_take_no_part():
    logits, targets = drawn(2, 5, 4)
    targets[0, 1:3] = IGNORED
    ours = cross_entropy(logits, targets)
    theirs = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    torch.testing.assert_close(ours, theirs)
    (gradient,) = torch.autograd.grad(ours, logits)
    assert (gradient[0, 1:3] == 0).all() and (gradient[0, 0] != 0).all()
    assert targets[0, 1] == IGNORED, "the targets were changed"


def test_by_hand():
    logits = torch.tensor([[math.log(0.5), math.log(0.25), math.log(0.25)]])
    assert cross_entropy(logits, torch.tensor([1])) == pytest.approx(math.log(4))
    assert cross_entropy(torch.zeros(7, 50), torch.arange(7)) == pytest.approx(math.log(50))
    assert cross_entropy(torch.tensor([[1000.0, 0.0]]), torch.tensor([1])) == 1000
