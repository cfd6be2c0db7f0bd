"""The counts of attention against torch's own: parameters of a real layer, operations of a real pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from llmlib.accounting import attention_flops, attention_parameters
from llmlib.attention import MultiHeadAttention


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("d_model", "n_heads"), [(12, 1), (12, 3), (20, 20)])
def test_parameters_are_those_of_the_layers(d_model, n_heads, bias):
    expected = attention_parameters(d_model, bias=bias)
    assert n_parameters(nn.MultiheadAttention(d_model, n_heads, bias=bias)) == expected
    assert n_parameters(MultiHeadAttention(d_model, n_heads, bias=bias)) == expected


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("n_queries", "n_keys", "d_model", "n_heads", "batch"),
    [(5, 5, 12, 3, 1), (5, 7, 12, 4, 2), (3, 2, 8, 1, 4), (1, 9, 6, 6, 3)],
)
def test_operations_are_those_that_torch_counts(n_queries, n_keys, d_model, n_heads, batch, bias):
    layer = MultiHeadAttention(d_model, n_heads, bias=bias)
    x, context = torch.zeros(batch, n_queries, d_model), torch.zeros(batch, n_keys, d_model)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(x, context=context)
    assert attention_flops(n_queries, n_keys, d_model, batch) == counter.get_total_flops()


def test_operations_stay_whole_numbers_where_floats_end():
    assert attention_flops(10**9, 10**9, 10**5 + 1) % (4 * (10**5 + 1)) == 0
    assert isinstance(attention_flops(1024, 1024, 768), int)


def test_sizes_must_be_positive():
    with pytest.raises(ValueError, match="d_model must be at least 1: got 0"):
        attention_parameters(0)
    with pytest.raises(ValueError, match="n_keys=0"):
        attention_flops(3, 0, 4)
