"""The same functions by faster roads, where PyTorch's own choice is a slow one.

Two functions of PyTorch take a slow road on some processors, and a public neighbour computes the same:

- *A linear layer in float32 on an AMD processor.* PyTorch hands products of matrices to Intel's MKL, which
  keeps its widest instructions for Intel's own processors. Convolutions go to oneDNN, which does not. A
  linear layer is a convolution whose kernel is one place wide, so it can be asked for as one.
- *Attention in bfloat16 on a CPU.* The fused kernel is made for long sequences. At some hundred tokens two
  batched products with a softmax between them are faster, and their scores still fit into the cache.

Nothing is patched: `faster_kernels` is a mode, and holds inside its `with` block alone. What is computed
stays the same up to rounding. `benchmarks/training_speed.py` measures what it gives.
"""

from __future__ import annotations

import math
import platform
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

FEWEST_ROWS = 64  # below this, arranging the convolution costs what its products save
IMAGES = 16  # with one thread, PyTorch gives convolutions of one place to oneDNN from 16 images on
LONGEST = 512  # beyond this, a whole matrix of scores no longer fits into the cache


def faster_kernels(device: torch.device) -> AbstractContextManager[Any]:
    """Inside its `with` block, linear layers and attention take the faster road where there is one.

    Gradients may be asked for outside of the block. On anything but a CPU nothing changes.
    """
    return _FasterKernels() if device.type == "cpu" else nullcontext()


class _FasterKernels(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            return linear(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            return attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def linear(
    x: Float[Tensor, "*batch d_in"],
    weight: Float[Tensor, "d_out d_in"],
    bias: Float[Tensor, " d_out"] | None = None,
) -> Float[Tensor, "*batch d_out"]:
    """`F.linear`, as a convolution with a kernel of one place where that is faster."""
    rows = x.numel() // max(1, x.shape[-1])
    other = x.dtype != torch.float32 or weight.dtype != torch.float32 or not x.is_cpu
    if other or torch.is_autocast_enabled("cpu") or not _convolves_faster():
        return F.linear(x, weight, bias)
    if rows < FEWEST_ROWS or rows % IMAGES:
        return F.linear(x, weight, bias)
    # Images that are one place high, whose d_in channels lie side by side in memory.
    images = x.reshape(IMAGES, 1, rows // IMAGES, x.shape[-1]).permute(0, 3, 1, 2)
    result = F.conv2d(images, weight[:, :, None, None], bias)
    return result.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


def attention(
    query: Float[Tensor, "batch heads query d_k"],
    key: Float[Tensor, "batch heads key d_k"],
    value: Float[Tensor, "batch heads key d_v"],
    attn_mask: Bool[Tensor, "*mask"] | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Float[Tensor, "batch heads query d_v"]:
    """`F.scaled_dot_product_attention`, by batched products where that is faster."""
    usual = attn_mask is None and not dropout_p and not options and query.dim() == 4
    if (
        not usual
        or query.dtype != torch.bfloat16
        or not query.is_cpu
        or max(query.shape[-2], key.shape[-2]) > LONGEST
    ):
        return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, **options)
    added = query.new_zeros(query.shape[-2], key.shape[-2])
    if is_causal:
        added = added.fill_(-math.inf).triu_(1)
    flat = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
    scores = torch.baddbmm(
        added.expand(len(flat[0]), -1, -1), flat[0], flat[1].mT, alpha=1 / math.sqrt(query.shape[-1])
    )
    heads = scores.softmax(-1).to(value.dtype) @ flat[2]
    return heads.view(*query.shape[:-1], value.shape[-1])


@cache
def _convolves_faster() -> bool:
    """Whether matrix products go to MKL on a processor that is not Intel's, and convolutions elsewhere."""
    libraries = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return libraries and "AMD" in _vendor()


def _vendor() -> str:
    """The maker of the processor as the system names it: "AuthenticAMD", "GenuineIntel", or nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")
