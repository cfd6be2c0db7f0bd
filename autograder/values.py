"""Values as a person reads them: small tensors as aligned rows, large ones cut short."""

from __future__ import annotations

from typing import Any

from torch import Tensor

MOST_ROWS, MOST_COLUMNS = 8, 8


def text_of(value: Any, about: bool = False) -> str:
    """A short text. `about` gives shape and dtype instead of the numbers, for when those are the news."""
    if isinstance(value, Tensor):
        if about:
            return f"a tensor of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
        return _tensor_text(value.detach().cpu())
    if isinstance(value, float):
        return _number(value)
    if value is None:
        return "None"
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _tensor_text(tensor: Tensor) -> str:
    if tensor.dim() == 0:
        return _number(tensor.item())
    if tensor.numel() == 0:
        return f"an empty tensor of shape {tuple(tensor.shape)}"
    if tensor.dim() > 2:
        head = "\n\n".join(f"[{i}]\n{_tensor_text(part)}" for i, part in enumerate(tensor[:2]))
        return head + (f"\n… {tensor.shape[0] - 2} more" if tensor.shape[0] > 2 else "")
    rows = tensor[None, :] if tensor.dim() == 1 else tensor
    cells = [[_number(x) for x in row[:MOST_COLUMNS].tolist()] for row in rows[:MOST_ROWS]]
    if rows.shape[1] > MOST_COLUMNS:
        cells = [[*row, "…"] for row in cells]
    width = max(len(cell) for row in cells for cell in row)
    lines = ["  ".join(cell.rjust(width) for cell in row) for row in cells]
    if rows.shape[0] > MOST_ROWS:
        lines.append(f"… {rows.shape[0] - MOST_ROWS} more rows")
    return "\n".join(lines)


def _number(x: Any) -> str:
    if isinstance(x, float):
        return "0" if x == 0 else f"{x:.4g}"
    return str(x)
