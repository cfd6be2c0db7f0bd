"""GPT-2's weights under our names: its shape is ours, its names and the way its matrices lie are not.

Two things differ beside the names. GPT-2 computes query, key and value by one matrix, `c_attn`, whose columns
are first all queries, then all keys, then all values. And its linear layers (`Conv1D` in its code) multiply
x @ weight, where `nn.Linear` multiplies x @ weightᵀ: every matrix of a block has to be turned.

Sources: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), table 2, for the sizes;
the released code, github.com/openai/gpt-2, src/model.py, for `c_attn` and the other names.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from llmlib.checkpoints import CheckpointError
from llmlib.gpt import GPT, GPTConfig
from llmlib.safetensors import read_safetensors


def _published(d_model: int, n_layers: int, n_heads: int) -> GPTConfig:
    return GPTConfig(
        vocab_size=50257,
        context_length=1024,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        approximate="tanh",
    )


GPT2_SIZES = {
    "gpt2": _published(768, 12, 12),
    "gpt2-medium": _published(1024, 24, 16),
    "gpt2-large": _published(1280, 36, 20),
    "gpt2-xl": _published(1600, 48, 25),
}
"""The four published shapes. A head works on 64 numbers in each."""

_FILES = ("model.safetensors", "pytorch_model.bin")
_BLOCK = {
    f"{layer}.{kind}"
    for layer in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    for kind in ("weight", "bias")
}


def convert_block(block: Mapping[str, Float[Tensor, "*shape"]]) -> dict[str, Float[Tensor, "*shape"]]:
    """The weights of one GPT-2 block under our names, cut and turned as our layers need them.

    block: by GPT-2's names inside a block: "ln_1.weight", "attn.c_attn.weight", "mlp.c_fc.bias", …

    Raises:
        KeyError: one of the twelve tensors is missing.
    """
    layers = {
        "attn.c_proj": "attention.output",
        "mlp.c_fc": "feedforward.hidden",
        "mlp.c_proj": "feedforward.output",
    }
    norms = {"ln_1": "attention_norm", "ln_2": "feedforward_norm"}
    ours = {}
    weights = block["attn.c_attn.weight"].T.chunk(3)
    biases = block["attn.c_attn.bias"].chunk(3)
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        ours[f"attention.{name}.weight"] = weight
        ours[f"attention.{name}.bias"] = bias
    for theirs, name in layers.items():
        ours[f"{name}.weight"] = block[f"{theirs}.weight"].T
        ours[f"{name}.bias"] = block[f"{theirs}.bias"]
    for theirs, name in norms.items():
        ours[f"{name}.weight"] = block[f"{theirs}.weight"]
        ours[f"{name}.bias"] = block[f"{theirs}.bias"]
    return ours


def convert(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict from GPT-2's, with or without the prefix "transformer.".

    GPT-2's files may hold each block's causal mask as well ("attn.bias"); ours is computed. A file without
    "lm_head.weight" means a tied head.

    Raises:
        ValueError: a name is missing, or one is there that GPT-2 does not have.
    """
    blocks: dict[int, dict[str, Tensor]] = {}
    outside = {}
    for full_name, weight in weights.items():
        name = full_name.removeprefix("transformer.")
        if name.endswith((".attn.bias", ".attn.masked_bias")):
            continue
        if inside := re.fullmatch(r"h\.(\d+)\.(.+)", name):
            blocks.setdefault(int(inside[1]), {})[inside[2]] = weight
        else:
            outside[name] = weight
    unknown = [f"h.{i}.{name}" for i, block in blocks.items() for name in block if name not in _BLOCK]
    try:
        ours = {
            "token_embedding.weight": outside.pop("wte.weight"),
            "positions.weight": outside.pop("wpe.weight"),
            "norm.weight": outside.pop("ln_f.weight"),
            "norm.bias": outside.pop("ln_f.bias"),
        }
        ours["head.weight"] = outside.pop("lm_head.weight", ours["token_embedding.weight"])
        for i in range(max(len(blocks), 1)):
            ours |= {f"blocks.{i}.{name}": w for name, w in convert_block(blocks[i]).items()}
    except KeyError as error:
        where = f"block {error.args[0]}" if isinstance(error.args[0], int) else repr(error.args[0])
        raise ValueError(f"these are not all of a GPT-2's weights: {where} is missing") from None
    if unknown := [*unknown, *outside]:
        raise ValueError(f"these are not a GPT-2's weights: it has no {unknown[0]!r}")
    return ours


def config_of(weights: Mapping[str, Tensor], n_heads: int | None = None) -> GPTConfig:
    """The shape of the GPT-2 that has these weights, read from the weights' own shapes.

    n_heads: the one number that no weight tells. None means the published models' heads of 64 numbers.

    Raises:
        ValueError: the weights are not a GPT-2's, or `n_heads` is not given and d_model not a multiple of 64.
    """
    ours = convert(weights)
    vocab_size, d_model = ours["token_embedding.weight"].shape
    if n_heads is None:
        if d_model % 64:
            raise ValueError(
                f"a width of {d_model} is not a multiple of 64, so the number of heads must be told: "
                "pass n_heads"
            )
        n_heads = d_model // 64
    return GPTConfig(
        vocab_size=vocab_size,
        context_length=len(ours["positions.weight"]),
        d_model=d_model,
        n_layers=sum(name.endswith("attention_norm.weight") for name in ours),
        n_heads=n_heads,
        d_ff=len(ours["blocks.0.feedforward.hidden.bias"]),
        tie_weights=torch.equal(ours["head.weight"], ours["token_embedding.weight"]),
        approximate="tanh",
    )


def from_gpt2(weights: Mapping[str, Tensor], n_heads: int | None = None) -> GPT:
    """A GPT of the right shape with GPT-2's weights, in evaluation mode.

    Raises:
        ValueError: as `config_of`, or a weight has a shape that does not fit the others.
    """
    model = GPT(config_of(weights, n_heads), generator=0).to(weights_dtype(weights))
    try:
        model.load_state_dict(convert(weights))
    except RuntimeError as error:
        raise ValueError(f"these weights do not fit together: {error}") from None
    return model.eval()


def weights_dtype(weights: Mapping[str, Tensor]) -> torch.dtype:
    """The type of the first tensor of floating-point numbers."""
    return next(weight.dtype for weight in weights.values() if weight.is_floating_point())


def load_gpt2(path: str | os.PathLike[str]) -> GPT:
    """The GPT-2 in a file, or in a folder that holds model.safetensors or pytorch_model.bin.

    A `config.json` beside the weights tells the number of heads; without it they are 64 wide, as published.

    Raises:
        CheckpointError: there is no such file, or it is damaged, or it holds something else.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        found = next((path / name for name in _FILES if (path / name).is_file()), None)
        if found is None:
            raise CheckpointError(
                f"The folder {path} holds neither {' nor '.join(_FILES)}. Save one of them there: "
                "the page of a GPT-2 on huggingface.co offers both."
            )
        path = found
    try:
        weights = read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
        return from_gpt2(weights, _n_heads(path.with_name("config.json")))
    except FileNotFoundError:
        raise CheckpointError(
            f"There is no file {path}. Give the path of a GPT-2's model.safetensors or "
            "pytorch_model.bin, or of the folder that holds it."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path} cannot be used: {reason}.") from None


def _n_heads(path: Path) -> int | None:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))["n_head"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path.name} beside it names no n_head") from None


def _read_pickled(path: Path) -> dict[str, Tensor]:
    try:
        with open(path, "rb") as file:
            weights = torch.load(file, map_location="cpu", weights_only=True)  # a pickle may not run code
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, OSError, RuntimeError, EOFError, KeyError, TypeError):
        weights = None  # what is cut short shows as any of these
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise ValueError("it is damaged, or not a file of weights")
    return weights
