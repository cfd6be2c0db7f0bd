"""AdamW against `torch.optim.AdamW`, over many steps."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from llmlib.adamw import AdamW, adamw_step


def trained(make, model, steps: int):
    optimizer = make(model)
    generator = torch.Generator().manual_seed(0)
    dtype = next(model.parameters()).dtype
    for step in range(steps):
        x = torch.randn(6, 4, generator=generator, dtype=dtype)
        for group in optimizer.param_groups:
            group["lr"] = 0.05 / (1 + step / 50)  # a schedule, as in training
        optimizer.zero_grad()
        (model(x) - x.roll(1, dims=1)).square().mean().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.3, "betas": (0.8, 0.95)}, {"eps": 1e-2}])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_two_hundred_steps_are_pytorchs(options, dtype, close):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)
    ours = trained(lambda m: AdamW(m.parameters(), **options), copy.deepcopy(model), 200)
    theirs = trained(lambda m: torch.optim.AdamW(m.parameters(), **options), copy.deepcopy(model), 200)
    torch.testing.assert_close(ours, theirs, rtol=close, atol=close)


def test_two_groups_and_a_parameter_without_gradient():
    weight, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = AdamW([{"params": [weight], "weight_decay": 0.0}, {"params": [unused]}], lr=0.1)
    weight.grad = torch.tensor([3.0, -0.02])
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([0.9, 1.1]))
    assert (unused == 1).all()


def test_a_step_changes_no_input():
    tensors = [torch.full((2,), value) for value in (1.0, 2.0, 3.0, 4.0)]
    options = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1}
    adamw_step(*tensors, 3, **options)
    assert [float(tensor[0]) for tensor in tensors] == [1, 2, 3, 4]


def test_saved_and_loaded_it_goes_on_the_same():
    def half(state=None):
        weight = nn.Parameter(torch.ones(3) if state is None else state[0])
        optimizer = AdamW([weight], lr=0.1)
        if state is not None:
            optimizer.load_state_dict(state[1])
        for value in (0.3, -2.0):
            weight.grad = torch.tensor([value, 1.0, value])
            optimizer.step()
        return weight.detach().clone(), copy.deepcopy(optimizer.state_dict())

    whole = nn.Parameter(torch.ones(3))
    optimizer = AdamW([whole], lr=0.1)
    for value in (0.3, -2.0, 0.3, -2.0):
        whole.grad = torch.tensor([value, 1.0, value])
        optimizer.step()
    assert torch.equal(half(half())[0], whole)
