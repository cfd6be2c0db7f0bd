"""The faster roads compute what PyTorch's own do, and are left alone where they would not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmlib import kernels
from llmlib.gpt import GPT, GPTConfig
from llmlib.kernels import FEWEST_ROWS, IMAGES, LONGEST, faster_kernels

CPU = torch.device("cpu")


@pytest.fixture
def convolving(monkeypatch):
    """As on a processor where the convolution is faster, whatever this one is."""
    monkeypatch.setattr(kernels, "_convolves_faster", lambda: True)


@pytest.fixture
def convolutions(monkeypatch):
    """How often a convolution was asked for."""
    asked = []
    original = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *arguments: asked.append(1) or original(*arguments))
    return asked


def draw(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype).requires_grad_()


@pytest.mark.parametrize("shape", [(4, 32, 24), (128, 24), (2, 3, 32, 24)])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_layer_and_its_gradients_are_those_of_pytorch(convolving, convolutions, shape, biased):
    results = []
    for road in (kernels.linear, F.linear):
        x, weight, bias = draw(*shape), draw(40, 24, seed=1), draw(40, seed=2)
        y = road(x, weight, bias if biased else None)
        (y * draw(*y.shape, seed=3)).sum().backward()
        results.append((y, x.grad, weight.grad, bias.grad))
    assert len(convolutions) == 1
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_an_input_that_does_not_lie_in_one_piece_is_read_right(convolving, convolutions):
    x, weight = draw(24, 4, 32).permute(1, 2, 0), draw(40, 24, seed=1)
    torch.testing.assert_close(kernels.linear(x, weight), F.linear(x, weight), rtol=1e-4, atol=1e-4)
    assert convolutions


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (draw(IMAGES, 24), draw(40, 24)),
        (draw(FEWEST_ROWS + 1, 24), draw(40, 24)),
        (draw(64, 24, dtype=torch.float64), draw(40, 24, dtype=torch.float64)),
        (draw(0, 24), draw(40, 24)),
        (draw(24), draw(40, 24)),
    ],
    ids=["few rows", "rows that make no images", "float64", "no rows", "one vector"],
)
def test_other_products_go_the_usual_way(convolving, convolutions, x, weight):
    assert torch.equal(kernels.linear(x, weight), F.linear(x, weight))
    assert not convolutions


def test_autocast_decides_first(convolving, convolutions):
    with torch.autocast("cpu", dtype=torch.bfloat16), faster_kernels(CPU):
        assert nn.Linear(24, 40)(draw(64, 24)).dtype == torch.bfloat16
    assert not convolutions


def test_only_inside_the_block(convolving, convolutions):
    layer, x = nn.Linear(24, 40), draw(64, 24)
    with faster_kernels(CPU):
        layer(x)
    assert len(convolutions) == 1
    layer(x)
    assert len(convolutions) == 1


@pytest.mark.parametrize("is_causal", [True, False])
def test_attention_in_bfloat16_is_off_by_bfloat16_s_rounding_alone(is_causal):
    exact = [draw(2, 3, 40, 16, seed=seed).double() for seed in range(3)]
    truth = F.scaled_dot_product_attention(*exact, is_causal=is_causal)
    short = [part.bfloat16() for part in exact]
    theirs = F.scaled_dot_product_attention(*short, is_causal=is_causal)
    with faster_kernels(CPU):
        ours = F.scaled_dot_product_attention(*short, is_causal=is_causal)
    assert ours.dtype == torch.bfloat16 and not torch.equal(ours, theirs)
    resolution = 2**-8  # of a bfloat16 number of size 1
    assert (ours.double() - truth).abs().max() < 2 * resolution * exact[2].abs().max()


def test_attention_s_gradients_in_bfloat16():
    gradients = []
    for attend in (kernels.attention, F.scaled_dot_product_attention):
        query, key, value = (draw(2, 3, 40, 16, seed=seed) for seed in range(3))
        heads = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), is_causal=True)
        heads.float().square().sum().backward()
        gradients.append((query.grad, key.grad, value.grad))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("change", ["float32", "a mask", "long", "a scale"])
def test_other_attention_goes_the_usual_way(change):
    length = LONGEST + 1 if change == "long" else 8
    dtype = torch.float32 if change == "float32" else torch.bfloat16
    parts = [draw(1, 1, length, 4, dtype=dtype, seed=seed) for seed in range(3)]
    options = {}
    if change == "a mask":
        options["attn_mask"] = torch.ones(8, 8, dtype=torch.bool).tril()
    if change == "a scale":
        options["scale"] = 0.1
    with faster_kernels(CPU):
        ours = F.scaled_dot_product_attention(*parts, **options)
    assert torch.equal(ours, F.scaled_dot_product_attention(*parts, **options))


def test_a_gpt_s_loss_and_gradients_stay(convolving, convolutions):
    config = GPTConfig(vocab_size=11, context_length=32, d_model=16, n_layers=2, n_heads=2, fused=True)
    tokens = torch.randint(11, (4, 33), generator=torch.Generator().manual_seed(0))
    found = []
    for fast in (True, False):
        model = GPT(config, 0)
        with faster_kernels(CPU) if fast else torch.enable_grad():
            logits = model(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        found.append([logits, *(p.grad for p in model.parameters())])
    assert len(convolutions) == 2 * 6 + 1
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_gpu_is_left_alone():
    with faster_kernels(torch.device("cuda")) as mode:
        assert mode is None
