"""Muon against the singular value decomposition, a step by hand, and an interrupted run."""

from __future__ import annotations

import pytest
import torch

from llmlib.modern import ModernGPT, ModernGPTConfig
from llmlib.muon import Muon, Together, muon_and_adamw, orthogonalize
from llmlib.training import Checkpoint, TrainingConfig, train


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5), (3, 6, 9)])
def test_orthogonalizing_keeps_the_directions_and_evens_out_the_sizes(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, vt = torch.linalg.svd(matrices, full_matrices=False)
    assert s.amax() / s.amin() > 2, "nothing to even out"
    inner = u.mT @ orthogonalize(matrices) @ vt.mT
    sizes = inner.diagonal(dim1=-2, dim2=-1)
    assert sizes.min() > 0.6 and sizes.max() < 1.3
    torch.testing.assert_close(inner, torch.diag_embed(sizes), atol=1e-4, rtol=0)


def test_each_round_acts_on_singular_values_as_the_polynomial_says():
    sizes = torch.tensor([0.9, 0.3, 0.05])
    once = orthogonalize(torch.diag(sizes), rounds=1).diagonal()
    s = sizes / (sizes.norm() * 1.01)
    torch.testing.assert_close(once, 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5)


def test_two_steps_by_hand(monkeypatch):
    monkeypatch.setattr("llmlib.muon.multiplies_bfloat16", lambda device: False)
    start = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    gradients = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(2))
    weight = torch.nn.Parameter(start.clone())
    muon = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5, rounds=3)
    expected, average = start, torch.zeros(6, 3)
    for gradient in gradients:
        weight.grad = gradient
        muon.step()
        average = 0.9 * average + 0.1 * gradient
        ahead = 0.1 * gradient + 0.9 * average
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * orthogonalize(ahead, 3) * (6 / 3) ** 0.5
    torch.testing.assert_close(weight.detach(), expected)


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"matrices: got a shape of \(3,\)"):
        Muon([torch.nn.Parameter(torch.ones(3))])


def test_every_weight_has_one_optimizer():
    model = ModernGPT(ModernGPTConfig(5, 8, 8, 2, 2, 16, 4), 0)
    both = muon_and_adamw(model, TrainingConfig(optimizer="muon"))
    held = [p for group in both.param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))
    orthogonal = {id(p) for group in both.optimizers[0].param_groups for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in orthogonal}
    assert all(
        name.startswith("blocks.") and name.endswith(".weight") and "norm" not in name for name in names
    )
    assert len(names) == 2 * 6


def test_a_rate_set_for_both_reaches_both_also_after_loading():
    first, second = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    both = Together(Muon([first]), torch.optim.AdamW([second]))
    first.grad = second.grad = torch.ones(2, 2)
    both.step()
    both.load_state_dict(both.state_dict())
    for group in both.param_groups:
        group["lr"] = 0.0
    before = first.detach().clone(), second.detach().clone()
    both.step()
    assert torch.equal(first, before[0]) and torch.equal(second, before[1])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_interrupted_and_resumed_is_the_same_as_never_stopped(tmp_path, precision):
    tokens = torch.randint(0, 5, (400,), generator=torch.Generator().manual_seed(3))
    config = TrainingConfig(
        steps=12, batch_size=3, evaluation_interval=6, optimizer="muon", precision=precision, clip=0.0
    )
    shape = ModernGPTConfig(5, 8, 8, 2, 2, 16, 4)
    whole = ModernGPT(shape, 0)
    saved = {}

    def keep(record):
        saved[record.step] = (tmp_path / "run.pt").read_bytes()

    options = {"context_length": 8, "checkpoint": tmp_path / "run.pt", "progress": False}
    records = train(whole, tokens, tokens[:100], config, on_record=keep, **options)
    (tmp_path / "run.pt").write_bytes(saved[6])
    again = ModernGPT(shape, 99)
    checkpoint = Checkpoint.load(tmp_path / "run.pt")
    assert checkpoint.step == 6
    assert train(again, tokens, tokens[:100], config, resume=checkpoint, **options) == records
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
