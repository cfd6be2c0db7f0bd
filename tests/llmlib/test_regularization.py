"""Dropout against torch's, whose mask is read off what it does to ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from llmlib.regularization import dropout

torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout_equals_torch_on_the_same_mask(p, dtype):
    x = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    torch.manual_seed(1)
    kept = F.dropout(torch.ones_like(x), p) != 0
    torch.manual_seed(1)
    expected, got = F.dropout(x, p), dropout(x, kept, p)
    torch.testing.assert_close(got, expected)
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (got, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("p", [0.0, 0.3])
def test_after_training_nothing_is_dropped_and_nothing_scaled(p):
    x, kept = torch.randn(3, 4), torch.zeros(3, 4, dtype=torch.bool)
    assert torch.equal(dropout(x, kept, p, training=False), F.dropout(x, p, training=False))


def test_the_mean_over_many_masks_is_the_input():
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor([1.0, -2.0, 3.0])
    kept = torch.rand(20_000, 3, generator=generator) >= 0.3
    mean = dropout(x.expand(20_000, 3), kept, 0.3).mean(dim=0)
    torch.testing.assert_close(mean, x, atol=0.06, rtol=0)  # four standard errors of the third


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(p):
    with pytest.raises(ValueError, match="p must be at least 0 and less than 1: got"):
        dropout(torch.ones(2), torch.ones(2, dtype=torch.bool), p)
