"""Accumulated gradients against the large batch's, computed at once by PyTorch."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch.nn import functional as F

from llmlib.accumulation import accumulate_gradients
from llmlib.gpt import GPT, GPTConfig
from llmlib.loss import IGNORED
from llmlib.precision import InPrecision

SHAPE = GPTConfig(vocab_size=7, context_length=6, d_model=8, n_layers=1, n_heads=2, init_std=0.3)


def drawn(rows: int):
    tokens = torch.randint(7, (rows, 7), generator=torch.Generator().manual_seed(2))
    return tokens[:, :-1], tokens[:, 1:].clone()


@pytest.mark.parametrize("sizes", [[6], [2, 2, 2], [1, 1, 1, 1, 1, 1], [1, 3, 2], [5, 1]])
@pytest.mark.parametrize("ignored", [False, True])
def test_it_is_the_large_batch(sizes, ignored):
    inputs, targets = drawn(6)
    if ignored:
        targets[0], targets[3, 2:] = IGNORED, IGNORED
    model = GPT(SHAPE, 0).double()
    large = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    expected = torch.autograd.grad(large, list(model.parameters()))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)  # left over from before
    parts = list(zip(inputs.split(sizes), targets.split(sizes), strict=True))
    loss, gradients = accumulate_gradients(model, parts)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, large.detach())
    torch.testing.assert_close(gradients, list(expected))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))


def test_micro_batches_may_have_different_lengths_and_no_grad_around():
    inputs, targets = drawn(2)
    model = GPT(SHAPE, 0)
    with torch.no_grad():
        loss, _ = accumulate_gradients(model, [(inputs, targets), (inputs[:1, :2], targets[:1, :2])])
        every = [model(inputs).flatten(0, 1), model(inputs[:1, :2])[0]]
        expected = F.cross_entropy(torch.cat(every), torch.cat([targets.flatten(), targets[0, :2]]))
    torch.testing.assert_close(loss, expected)


def test_one_part_at_a_time_goes_forth_and_back_and_nothing_of_it_stays():
    inputs, targets = drawn(3)
    model, order, graphs = GPT(SHAPE, 0), [], []

    class Mark(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            graphs.append(weakref.ref(ctx))
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            order.append("back")
            return gradient

    def mark(module, arguments, logits):
        order.append("forth")
        return Mark.apply(logits)

    model.register_forward_hook(mark)
    result = accumulate_gradients(model, list(zip(inputs.split(1), targets.split(1), strict=True)))
    assert order == ["forth", "back"] * 3
    assert len(result[1]) == len(list(model.parameters()))
    assert [graph() for graph in graphs] == [None] * 3, "the loss keeps the parts' graphs alive"


def test_no_target_at_all():
    inputs, targets = drawn(1)
    with pytest.raises(ValueError, match=r"at least one target that is not ignored: got none"):
        accumulate_gradients(GPT(SHAPE, 0), [(inputs, torch.full_like(targets, IGNORED))])


def test_in_a_precision_the_model_keeps_its_weights_and_float32_logits():
    model = GPT(SHAPE, 0)
    wrapped = InPrecision(model, "bfloat16")
    assert [id(p) for p in wrapped.parameters()] == [id(p) for p in model.parameters()]
    logits = wrapped(drawn(2)[0])
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, model(drawn(2)[0]), rtol=0.05, atol=0.05)
