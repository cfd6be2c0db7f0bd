"""Values as a person reads them: small tensors as aligned rows, large ones cut short."""

from __future__ import annotations

from typing import Any

from torch import Tensor

MOST_ROWS, MOST_COLUMNS = 8, 8


def text_of(value: Any, about: bool = False, digits: int = 4) -> str:
    """A short text. `about` gives shape and dtype instead of the numbers, for when those are the news."""
    if isinstance(value, Tensor):
        if about:
            return f"a tensor of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
        return _tensor_text(value.detach().cpu(), digits)
    if isinstance(value, float):
        return repr(value) if about else _number(value, digits)
    if isinstance(value, dict) and value and all(isinstance(item, Tensor) for item in value.values()):
        width = max(len(str(key)) for key in value)
        return "\n".join(f"{key!s:<{width}}  {tuple(item.shape)}" for key, item in value.items())
    if value is None:
        return "None"
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def texts_apart(a: Any, b: Any) -> tuple[str, str]:
    """Two values as texts, with as many digits as it takes to see that they differ."""
    for digits in (4, 6, 8, 10, 16):
        texts = text_of(a, digits=digits), text_of(b, digits=digits)
        if texts[0] != texts[1]:
            break
    return texts


def _tensor_text(tensor: Tensor, digits: int) -> str:
    if tensor.dim() == 0:
        return _number(tensor.item(), digits)
    if tensor.numel() == 0:
        return f"an empty tensor of shape {tuple(tensor.shape)}"
    if tensor.dim() > 2:
        head = "\n\n".join(f"[{i}]\n{_tensor_text(part, digits)}" for i, part in enumerate(tensor[:2]))
        return head + (f"\n… {tensor.shape[0] - 2} more" if tensor.shape[0] > 2 else "")
    rows = tensor[None, :] if tensor.dim() == 1 else tensor
    cells = [[_number(x, digits) for x in row[:MOST_COLUMNS].tolist()] for row in rows[:MOST_ROWS]]
    if rows.shape[1] > MOST_COLUMNS:
        cells = [[*row, "…"] for row in cells]
    width = max(len(cell) for row in cells for cell in row)
    lines = ["  ".join(cell.rjust(width) for cell in row) for row in cells]
    if rows.shape[0] > MOST_ROWS:
        lines.append(f"… {rows.shape[0] - MOST_ROWS} more rows")
    return "\n".join(lines)


def _number(x: Any, digits: int) -> str:
    if isinstance(x, float):
        return "0" if x == 0 else f"{x:.{digits}g}"
    return str(x)
