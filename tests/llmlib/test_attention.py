"""Attention against torch.nn and torch.nn.functional: values and gradients, masks of every shape."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmlib.attention import (
    MultiHeadAttention,
    attention_scores,
    causal_mask,
    combined_mask,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    softmax,
    split_heads,
)

torch.set_num_threads(1)

DTYPES = [torch.float32, torch.float64]
LEADING = [(), (2,), (3, 2), (2, 1, 3)]
gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=gpu)]


def draw(*shape, dtype=torch.float64, seed=0, device="cpu", scale=1.0):
    generator = torch.Generator().manual_seed(hash((shape, seed)) % 2**31)
    drawn = scale * torch.randn(shape, dtype=torch.float64, generator=generator)
    return drawn.to(device, dtype).requires_grad_()


def draw_mask(*shape, seed=0, device="cpu"):
    """A random mask that leaves every query the first key."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.4
    mask[..., 0] = True
    return mask.to(device)


def assert_same(ours, theirs, inputs):
    """Equal outputs, and equal gradients of a random weighting of them with respect to the inputs."""
    torch.testing.assert_close(ours, theirs)
    towards = draw(*ours.shape, dtype=ours.dtype, seed=99, device=ours.device).detach()
    got = torch.autograd.grad(ours, inputs, towards)
    expected = torch.autograd.grad(theirs, inputs, towards)
    for mine, oracle in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, oracle)


# --- scores ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", LEADING)
def test_scores_are_scaled_dot_products(dtype, leading):
    query, key = draw(*leading, 3, 7, dtype=dtype), draw(*leading, 5, 7, dtype=dtype)
    got = attention_scores(query, key)
    expected = np.einsum("...qd,...kd->...qk", query.detach(), key.detach()) / 7**0.5
    assert got.dtype == dtype and got.shape == (*leading, 3, 5)
    torch.testing.assert_close(got.detach(), torch.from_numpy(expected).to(dtype))


def test_scores_have_variance_one_whatever_d_k():
    for d_k in (4, 64, 1024):
        scores = attention_scores(draw(200, d_k, seed=1), draw(300, d_k, seed=2))
        assert scores.var().item() == pytest.approx(1.0, rel=0.1)


def test_scores_refuse_different_d_k():
    with pytest.raises(ValueError, match="query and key must agree in d_k: got 4 and 5"):
        attention_scores(draw(2, 3, 4), draw(2, 3, 5))


# --- softmax ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "dim"), [((4,), -1), ((3, 5), 0), ((3, 5), 1), ((2, 3, 4), 1), ((2, 1), -1)]
)
def test_softmax_equals_torch(dtype, shape, dim):
    x = draw(*shape, dtype=dtype, scale=3.0)
    assert_same(softmax(x, dim), F.softmax(x, dim), [x])


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_softmax_is_stable(offset):
    x = torch.tensor([[0.0, 1.0, 2.0], [700.0, -700.0, 0.0]]) + offset
    x.requires_grad_()
    assert_same(softmax(x), F.softmax(x, -1), [x])


def test_softmax_gives_hidden_scores_no_weight_and_no_gradient():
    x = torch.tensor([1.0, -torch.inf, 2.0], requires_grad=True)
    assert_same(softmax(x), F.softmax(x, -1), [x])
    assert softmax(x)[1] == 0


def test_softmax_default_is_the_last_dimension():
    torch.testing.assert_close(softmax(draw(3, 4)).sum(-1), torch.ones(3, dtype=torch.float64))


# --- masks ---


@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_causal_mask_is_the_lower_triangle(length):
    got = causal_mask(length)
    assert got.dtype == torch.bool
    assert torch.equal(got, torch.ones(length, length).tril().bool())


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_padding_mask_marks_the_first_places(dtype):
    got = padding_mask(torch.tensor([2, 0, 4], dtype=dtype), 4)
    expected = [[True, True, False, False], [False] * 4, [True] * 4]
    assert got.dtype == torch.bool and got.tolist() == expected


def test_padding_mask_of_an_empty_batch():
    assert padding_mask(torch.empty(0, dtype=torch.long), 4).shape == (0, 4)


@pytest.mark.parametrize("lengths", [[2, 5], [-1, 3]])
def test_padding_mask_refuses_impossible_lengths(lengths):
    with pytest.raises(ValueError, match=re.escape(f"between 0 and max_length=4: got {lengths}")):
        padding_mask(torch.tensor(lengths), 4)


# --- attention ---


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", LEADING)
def test_attention_equals_torch(leading, dtype, device):
    query = draw(*leading, 4, 6, dtype=dtype, device=device)
    key = draw(*leading, 5, 6, dtype=dtype, device=device)
    value = draw(*leading, 5, 3, dtype=dtype, device=device)
    got = scaled_dot_product_attention(query, key, value)
    assert got.shape == (*leading, 4, 3) and got.dtype == dtype and got.device == query.device
    assert_same(got, F.scaled_dot_product_attention(query, key, value), [query, key, value])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(5,), (1,), (4, 5), (4, 1), (1, 5), (2, 4, 5), (3, 1, 4, 5), (3, 1, 1, 5), (3, 2, 4, 5)]
)
def test_a_mask_broadcasts_to_the_scores(shape, dtype, device):
    query = draw(3, 2, 4, 6, dtype=dtype, device=device)
    key = draw(3, 2, 5, 6, dtype=dtype, device=device)
    value = draw(3, 2, 5, 7, dtype=dtype, device=device)
    mask = draw_mask(*shape, device=device)
    got = scaled_dot_product_attention(query, key, value, mask)
    expected = F.scaled_dot_product_attention(query, key, value, mask.expand(3, 2, 4, 5))
    assert_same(got, expected, [query, key, value])


@pytest.mark.parametrize("shape", [(2, 4, 5), (3, 1, 1, 5), (4, 4), (6,)])
def test_a_mask_never_enlarges_the_scores(shape):
    query, key, value = draw(1, 4, 6), draw(1, 5, 6), draw(1, 5, 6)
    message = f"mask must broadcast to the scores (1, 4, 5): got {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        scaled_dot_product_attention(query, key, value, torch.ones(shape, dtype=torch.bool))


def test_one_query_is_not_repeated_for_a_mask_of_many():
    query, key, value = draw(1, 6), draw(5, 6), draw(5, 6)
    with pytest.raises(ValueError, match=re.escape("scores (1, 5): got (4, 5)")):
        scaled_dot_product_attention(query, key, value, torch.ones(4, 5, dtype=torch.bool))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16])
def test_nothing_to_attend_to_gives_zeros_and_no_gradient(dtype, fused, device):
    attend = F.scaled_dot_product_attention if fused else scaled_dot_product_attention
    query, key, value = (draw(2, 3, 4, 8, dtype=dtype, seed=i, device=device) for i in range(3))
    mask = torch.ones(2, 1, 4, 4, dtype=torch.bool, device=device)
    mask[0, :, 2] = False  # one query
    mask[1] = False  # a whole sequence
    got = attend(query, key, value, mask)
    assert got[0, :, 2].eq(0).all() and got[1].eq(0).all() and got[0, :, 0].ne(0).all()
    got.sum().backward()
    for x in (query, key, value):
        assert x.grad.isfinite().all()
        assert x.grad[1].eq(0).all()
    assert query.grad[0, :, 2].eq(0).all()
    assert value.grad[0].ne(0).all()


def test_hidden_keys_have_no_influence_at_all():
    query, key, value = draw(3, 6), draw(5, 6), draw(5, 6, seed=1)
    mask = torch.tensor([True, True, True, False, False])
    got = scaled_dot_product_attention(query, key, value, mask)
    torch.testing.assert_close(got, scaled_dot_product_attention(query, key[:3], value[:3]))
    got.sum().backward()
    assert key.grad[3:].eq(0).all() and value.grad[3:].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, *DTYPES])
def test_large_scores_stay_finite(dtype):
    query, key = draw(2, 4, dtype=dtype, scale=60.0), draw(3, 4, dtype=dtype, scale=60.0, seed=1)
    value = draw(3, 4, dtype=dtype)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    got = scaled_dot_product_attention(query, key, value, mask)
    got.sum().backward()
    assert got.isfinite().all() and got[1].eq(0).all()
    assert all(x.grad.isfinite().all() for x in (query, key, value))


def test_a_hidden_key_cannot_outweigh_the_unlikeliest_visible_one():
    """Every finite stand-in for minus infinity but the lowest has scores below it."""
    query, key, value = torch.tensor([[1e15]]), torch.tensor([[-1e15], [1.0]]), torch.tensor([[3.0], [8.0]])
    assert scaled_dot_product_attention(query, key, value, torch.tensor([True, False])).item() == 3.0


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_nothing_to_attend_to_makes_no_nan_on_the_way_back():
    inputs = [draw(2, 3, 4, seed=i) for i in range(3)]
    with torch.autograd.detect_anomaly(check_nan=True):
        scaled_dot_product_attention(*inputs, torch.zeros(3, 3, dtype=torch.bool)).sum().backward()
    assert all(x.grad.eq(0).all() for x in inputs)


def test_attention_gradients_by_finite_differences():
    mask = causal_mask(3)
    mask[1] = False
    inputs = [draw(2, 3, 2, seed=i) for i in range(3)]
    assert torch.autograd.gradcheck(lambda q, k, v: scaled_dot_product_attention(q, k, v, mask), inputs)


def test_attention_takes_non_contiguous_input_and_leaves_it_alone():
    stored = [draw(2, 6, 4, seed=i).detach() for i in range(3)]
    query, key, value = (x.transpose(1, 2) for x in stored)
    mask = draw_mask(4, 4)
    before = [x.clone() for x in (*stored, mask)]
    got = scaled_dot_product_attention(query, key, value, mask)
    torch.testing.assert_close(got, F.scaled_dot_product_attention(query, key, value, mask))
    assert all(torch.equal(x, y) for x, y in zip((*stored, mask), before, strict=True))


def test_attention_is_permutation_equivariant():
    query, key, value = draw(4, 6), draw(5, 6), draw(5, 6, seed=1)
    order, shuffle = torch.tensor([2, 0, 3, 1]), torch.tensor([4, 2, 0, 1, 3])
    got = scaled_dot_product_attention(query[order], key[shuffle], value[shuffle])
    torch.testing.assert_close(got, scaled_dot_product_attention(query, key, value)[order])


def test_attention_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="key and value must agree in length: got 5 and 6"):
        scaled_dot_product_attention(draw(4, 6), draw(5, 6), draw(6, 6))
    with pytest.raises(ValueError, match="query and key must agree in d_k: got 6 and 7"):
        scaled_dot_product_attention(draw(4, 6), draw(5, 7), draw(5, 6))
    with pytest.raises(TypeError, match=r"mask must be boolean .*: got torch.float64"):
        scaled_dot_product_attention(draw(4, 6), draw(5, 6), draw(5, 6), torch.zeros(4, 5).double())


# --- heads ---


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_heads_split_and_merge(leading):
    x = draw(*leading, 5, 12).detach()
    heads = split_heads(x, 4)
    assert torch.equal(heads, x.view(*leading, 5, 4, 3).transpose(-3, -2))
    assert torch.equal(merge_heads(heads), x)


def test_heads_must_divide_the_model():
    with pytest.raises(ValueError, match="d_model must be a multiple of n_heads: got 10 and 4"):
        split_heads(draw(1, 2, 10), 4)
    with pytest.raises(ValueError, match="d_model must be a multiple of n_heads: got 10 and 4"):
        MultiHeadAttention(10, 4)
    with pytest.raises(ValueError, match="got 10 and 0"):
        MultiHeadAttention(10, 0)


# --- many heads ---


def pair(d_model, n_heads, *, bias=True, dtype=torch.float64, fused=False, device="cpu"):
    """Our module and torch's with the same weights."""
    torch.manual_seed(0)
    ours = MultiHeadAttention(d_model, n_heads, bias=bias, fused=fused).to(device, dtype)
    theirs = nn.MultiheadAttention(d_model, n_heads, bias=bias, batch_first=True, device=device, dtype=dtype)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
            theirs.out_proj.bias.copy_(ours.output.bias)
    return ours, theirs


def assert_same_weights_gradients(ours, theirs, tolerance):
    stacked = torch.cat([ours.query.weight.grad, ours.key.weight.grad, ours.value.weight.grad])
    torch.testing.assert_close(stacked, theirs.in_proj_weight.grad, **tolerance)
    torch.testing.assert_close(ours.output.weight.grad, theirs.out_proj.weight.grad, **tolerance)
    if ours.query.bias is not None:
        stacked = torch.cat([ours.query.bias.grad, ours.key.bias.grad, ours.value.bias.grad])
        torch.testing.assert_close(stacked, theirs.in_proj_bias.grad, **tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["self", "padded", "causal", "causal and padded", "cross", "cross padded"])
def test_many_heads_equal_torch(kind, bias, dtype, fused, device):
    ours, theirs = pair(12, 3, bias=bias, dtype=dtype, fused=fused, device=device)
    x = draw(2, 5, 12, dtype=dtype, device=device)
    context = draw(2, 7, 12, dtype=dtype, device=device) if "cross" in kind else None
    source = x if context is None else context
    padding = padding_mask(torch.tensor([3, 5], device=device), source.shape[1]) if "padded" in kind else None
    got = ours(
        x,
        None if padding is None else padding[:, None, None, :],
        context=context,
        is_causal="causal" in kind,
    )
    expected, _ = theirs(
        x,
        source,
        source,
        key_padding_mask=None if padding is None else ~padding,
        attn_mask=~causal_mask(5).to(device) if "causal" in kind else None,
        need_weights=False,
    )
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-10}
    torch.testing.assert_close(got, expected, **tolerance)
    towards = draw(2, 5, 12, dtype=dtype, seed=5, device=device).detach()
    for output, module in ((got, ours), (expected, theirs)):
        x.grad = None
        output.backward(towards)
        module.input_gradient = x.grad
    torch.testing.assert_close(ours.input_gradient, theirs.input_gradient, **tolerance)
    assert_same_weights_gradients(ours, theirs, tolerance)


@pytest.mark.parametrize("fused", [False, True])
def test_many_heads_with_nothing_to_attend_to(fused):
    ours, _ = pair(8, 2, fused=fused, bias=False)
    x = draw(2, 3, 8)
    mask = padding_mask(torch.tensor([3, 0]), 3)[:, None, None, :]
    got = ours(x, mask, is_causal=True)
    assert got[1].eq(0).all() and got[0].ne(0).any()
    got.sum().backward()
    assert x.grad.isfinite().all() and x.grad[1].eq(0).all()


@pytest.mark.parametrize("fused", [False, True])
def test_each_head_may_have_its_own_mask(fused):
    """A mask of shape (n_heads, query, key): the scores' last three dimensions."""
    ours, _ = pair(8, 2, fused=fused)
    x, mask = draw(3, 4, 8), draw_mask(2, 4, 4)
    repeated = mask.expand(3, 2, 4, 4).reshape(6, 4, 4)
    _, theirs = pair(8, 2)
    expected, _ = theirs(x, x, x, attn_mask=~repeated, need_weights=False)
    torch.testing.assert_close(ours(x, mask), expected)


@pytest.mark.parametrize("fused", [False, True])
def test_causal_attention_does_not_see_the_future(fused):
    ours, _ = pair(8, 2, fused=fused)
    x = draw(1, 6, 8).detach()
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = ours(x, is_causal=True), ours(changed, is_causal=True)
    assert torch.equal(before[:, :4], after[:, :4])
    assert before[:, 4:].ne(after[:, 4:]).all()


@pytest.mark.parametrize("fused", [False, True])
def test_many_heads_refuse_what_does_not_fit(fused):
    ours = MultiHeadAttention(8, 2, fused=fused)
    x = torch.randn(1, 4, 8)
    # torch's kernel would add a mask of numbers to the scores without a word.
    with pytest.raises(TypeError, match=r"mask must be boolean .*: got torch.float32"):
        ours(x, torch.zeros(4, 4))
    with pytest.raises(ValueError, match="x and context of the same length: got 4 and 3"):
        ours(x, context=torch.randn(1, 3, 8), is_causal=True)
    with pytest.raises((ValueError, RuntimeError)):
        ours(x, torch.ones(5, 1, 4, 4, dtype=torch.bool))


def test_dropout_acts_on_the_output_and_only_while_training():
    torch.manual_seed(0)
    ours = MultiHeadAttention(64, 2, dropout=0.5)
    x = torch.randn(4, 8, 64)
    dropped = ours(x)
    kept = dropped != 0
    assert 0.4 < kept.float().mean() < 0.6
    ours.eval()
    torch.testing.assert_close(dropped[kept], 2 * ours(x)[kept])


def test_scores_of_one_head_show_the_factor():
    """d_head, not d_model, is what the module divides by: one hand-made head."""
    ours = MultiHeadAttention(4, 2, bias=False).double()
    with torch.no_grad():
        for layer in (ours.query, ours.key, ours.value, ours.output):
            layer.weight.copy_(torch.eye(4))
    x = torch.tensor([[[1.0, 0.0, 0.0, 2.0], [0.0, 3.0, 1.0, 0.0]]]).double()
    weight = 1 / (1 + math.exp(-1 / math.sqrt(2)))  # head 0, query 0: scores 1/√2 and 0
    assert ours(x)[0, 0, 0].item() == pytest.approx(weight)


# --- both masks at once ---


@pytest.mark.parametrize("device", DEVICES)
def test_combined_mask_is_causal_and_padding_at_once(device):
    real = torch.tensor([[True, True, False, True], [False, True, True, False], [False] * 4], device=device)
    got = combined_mask(real)
    by_hand = [
        [[[bool(real[b, k]) and k <= q for k in range(4)] for q in range(4)]] for b in range(real.shape[0])
    ]
    assert got.dtype == torch.bool and got.device == real.device
    assert got.tolist() == by_hand


def test_combined_mask_fits_any_number_of_heads_and_equals_torch():
    layer, theirs = pair(12, 3, bias=True, dtype=torch.float64)
    x, real = draw(4, 4, 12), padding_mask(torch.tensor([4, 1, 3, 2]), 4)  # as many texts as places
    expected, _ = theirs(x, x, x, key_padding_mask=~real, attn_mask=~causal_mask(4))
    torch.testing.assert_close(layer(x, combined_mask(real)), expected)


def test_combined_mask_refuses_what_is_no_padding_mask():
    with pytest.raises(ValueError, match=re.escape("real must have the shape (batch, length): got (3,)")):
        combined_mask(torch.tensor([True, True, False]))
    with pytest.raises(TypeError, match=r"real must be boolean .* got torch\.int64"):
        combined_mask(torch.tensor([[1, 1, 0]]))
