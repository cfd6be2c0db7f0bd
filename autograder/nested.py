"""Values with others in them, lists, tuples and dicts down to their tensors: copied, moved, compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder.outcome import plain_number, plain_numbers


def copy_value(value: Any, requires_grad: bool = False) -> Any:
    """The same with tensors of its own, which track gradients if `requires_grad`."""
    if isinstance(value, Tensor):
        copy = value.detach().clone()  # keeps the strides of a transposed view
        return copy.requires_grad_() if requires_grad and copy.is_floating_point() else copy
    if isinstance(value, list | tuple):
        return type(value)(copy_value(item) for item in value)
    if isinstance(value, dict):
        return {key: copy_value(item) for key, item in value.items()}
    return value


def on_device(value: Any, device: str) -> Any:
    """The same with its tensors there."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)(on_device(item, device) for item in value)
    if isinstance(value, dict):
        return {key: on_device(item, device) for key, item in value.items()}
    return value


def detached(value: Any) -> Any:
    """The same without graphs, in plain lists, tuples, dicts, numbers and tensors."""
    # A plain tensor: a subclass could carry an `==` of its own.
    if isinstance(value, Tensor):
        return value.detach().clone().as_subclass(Tensor)
    if isinstance(value, list):
        return [detached(item) for item in value]
    if isinstance(value, tuple):  # a torch.Size, too, is its numbers
        return tuple(detached(item) for item in value)
    if isinstance(value, dict):  # and a Counter its pairs
        return {plain_numbers(key): detached(item) for key, item in value.items()}
    return plain_number(value)


def holds_graph(value: Any) -> bool:
    """Whether a tensor in it holds the graph that it was computed in."""
    if isinstance(value, Tensor):
        return value.grad_fn is not None
    if isinstance(value, list | tuple):
        return any(map(holds_graph, value))
    return isinstance(value, dict) and any(map(holds_graph, value.values()))


def unchanged(before: Any, after: Any) -> bool:
    """Whether what was a copy of the other still equals it; NaN equals NaN."""
    if isinstance(before, Tensor):
        same = after.shape == before.shape and after.dtype == before.dtype
        return bool(same) and torch.equal(torch.nan_to_num(before), torch.nan_to_num(after))
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(unchanged, before, after))
    if isinstance(before, dict):
        return list(before) == list(after) and all(unchanged(before[k], after[k]) for k in before)
    if isinstance(before, float) and isinstance(after, float) and before != before:
        return after != after
    return before is after or (type(before) is type(after) and bool(before == after))
