"""Exercise 6.6: one block of GPT-2 under our names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from einops import rearrange
from torch import Tensor

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import gpt2

Weights = Mapping[str, Tensor]


def _block(
    g: torch.Generator, d_model: int, d_ff: int, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    shapes = {
        "ln_1": (d_model,),
        "attn.c_attn": (d_model, 3 * d_model),
        "attn.c_proj": (d_model, d_model),
        "ln_2": (d_model,),
        "mlp.c_fc": (d_model, d_ff),
        "mlp.c_proj": (d_ff, d_model),
    }
    block = {}
    for layer, shape in shapes.items():
        block[f"{layer}.weight"] = normal(g, *shape, dtype=dtype)
        block[f"{layer}.bias"] = normal(g, shape[-1], dtype=dtype)
    return block


def _symmetric(g: torch.Generator, size: int) -> Tensor:
    matrix = normal(g, size, size)
    return matrix + matrix.T


# --- Probes that show one step at a time


def _names(g: torch.Generator) -> Iterator[Case]:
    # Every matrix is symmetric and c_attn holds three times the same: how they are cut and turned is hidden.
    block = _block(g, 3, 3)
    for layer in ("attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
        block[f"{layer}.weight"] = _symmetric(g, 3)
    block["attn.c_attn.weight"] = _symmetric(g, 3).repeat(1, 3)
    block["attn.c_attn.bias"] = normal(g, 3).repeat(3)
    yield Case({"block": block})


def _cut(g: torch.Generator) -> Iterator[Case]:
    # Symmetric again, but query, key and value differ.
    block = _block(g, 3, 3)
    for layer in ("attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
        block[f"{layer}.weight"] = _symmetric(g, 3)
    block["attn.c_attn.weight"] = torch.cat([_symmetric(g, 3) for _ in range(3)], dim=1)
    yield Case({"block": block})


def _turned(g: torch.Generator) -> Iterator[Case]:
    yield Case({"block": _block(g, 4, 6)})
    yield Case({"block": _block(g, 3, 12)})


def _kept(g: torch.Generator) -> Iterator[Case]:
    yield Case({"block": _block(g, 2, 5, torch.float64)})
    block = _block(g, 4, 3)
    yield Case({"block": dict(reversed(block.items()))})


# --- Mistakes


def _turn(weight: Tensor) -> Tensor:
    return weight.T


def _keep(weight: Tensor) -> Tensor:
    return weight


def _thirds(weight: Tensor) -> tuple[Tensor, ...]:
    return weight.T.chunk(3)


def _bias_thirds(bias: Tensor) -> tuple[Tensor, ...]:
    return bias.chunk(3)


def _variant(
    *,
    thirds: Callable[[Tensor], tuple[Tensor, ...]] = _thirds,
    bias_thirds: Callable[[Tensor], tuple[Tensor, ...]] = _bias_thirds,
    order: tuple[str, str, str] = ("query", "key", "value"),
    output: Callable[[Tensor], Tensor] = _turn,
    feedforward: Callable[[Tensor], Tensor] = _turn,
    norms: tuple[str, str] = ("attention_norm", "feedforward_norm"),
    layers: tuple[str, str] = ("feedforward.hidden", "feedforward.output"),
) -> Callable[[Weights], dict[str, Tensor]]:
    def convert_block(block):
        weights, biases = thirds(block["attn.c_attn.weight"]), bias_thirds(block["attn.c_attn.bias"])
        ours = {}
        for place, name in enumerate(order):
            ours[f"attention.{name}.weight"] = weights[place]
            ours[f"attention.{name}.bias"] = biases[place]
        ours["attention.output.weight"] = output(block["attn.c_proj.weight"])
        ours["attention.output.bias"] = block["attn.c_proj.bias"]
        for theirs, name in zip(("mlp.c_fc", "mlp.c_proj"), layers, strict=True):
            ours[f"{name}.weight"] = feedforward(block[f"{theirs}.weight"])
            ours[f"{name}.bias"] = block[f"{theirs}.bias"]
        for theirs, name in zip(("ln_1", "ln_2"), norms, strict=True):
            ours[f"{name}.weight"], ours[f"{name}.bias"] = block[f"{theirs}.weight"], block[f"{theirs}.bias"]
        return ours

    return convert_block


def _never_turned(weight: Tensor) -> tuple[Tensor, ...]:
    return weight.chunk(3, dim=1)


def _reshaped(weight: Tensor) -> tuple[Tensor, ...]:
    return tuple(weight.reshape(3, len(weight), len(weight)))


def _interleaved(weight: Tensor) -> tuple[Tensor, ...]:
    return tuple(weight.T[place::3] for place in range(3))


def _bias_interleaved(bias: Tensor) -> tuple[Tensor, ...]:
    return tuple(bias[place::3] for place in range(3))


def _cut_by_rows(weight: Tensor) -> tuple[Tensor, ...]:
    return weight.chunk(3)


def _not_cut(weight: Tensor) -> tuple[Tensor, ...]:
    return (weight.T,) * 3


def _whole_bias(bias: Tensor) -> tuple[Tensor, ...]:
    return (bias,) * 3


def _reshaped_flat(weight: Tensor) -> Tensor:
    return weight.reshape(weight.shape[1], weight.shape[0])


def _without_biases(block):
    return {name: w for name, w in _variant()(block).items() if not name.endswith("bias")}


def _with_their_names(block):
    return {**_variant()(block), **block}


def _turned_in_place(block):
    result = _variant()(block)
    for weight in result.values():
        weight.mul_(2).div_(4)
    return result


def _changed(
    change: Callable[[dict[str, Tensor], Weights], object],
) -> Callable[[Weights], dict[str, Tensor]]:
    """The right conversion, and then a change to it."""

    def convert_block(block):
        ours = _variant()(block)
        change(ours, block)
        return ours

    return convert_block


def _one_turned(theirs: str, name: str) -> Callable[[Weights], dict[str, Tensor]]:
    """One of the feed-forward network's matrices is left as it was."""
    return _changed(lambda ours, block: ours.update({f"{name}.weight": block[f"{theirs}.weight"]}))


def _norm_turned_over(ours, block):
    ours["attention_norm.weight"], ours["attention_norm.bias"] = block["ln_1.bias"], block["ln_1.weight"]
    ours["feedforward_norm.weight"], ours["feedforward_norm.bias"] = block["ln_2.bias"], block["ln_2.weight"]


def _projections_exchanged(ours, block):
    names = ("attention.output", "feedforward.output")
    for name, theirs in zip(names, ("mlp.c_proj", "attn.c_proj"), strict=True):
        ours[f"{name}.weight"], ours[f"{name}.bias"] = block[f"{theirs}.weight"].T, block[f"{theirs}.bias"]


def _threes_in_each_row(weight: Tensor) -> tuple[Tensor, ...]:
    return weight.T.reshape(len(weight), 3, len(weight)).unbind(dim=1)


def _in_one_piece(block):
    ours = {name: w for name, w in _variant()(block).items() if name.split(".")[1] not in PARTS}
    weight, bias = block["attn.c_attn.weight"], block["attn.c_attn.bias"]
    return {**ours, "attention.qkv.weight": weight.T, "attention.qkv.bias": bias}


def _with_the_block_s_number(block):
    return {f"blocks.0.{name}": weight for name, weight in _variant()(block).items()}


def _names_of_the_whole_model(block):
    return _variant()({name: block[f"h.0.{name}"] for name in block})


def _taken_out(block):
    ours = _variant()(block)
    for name in list(block):
        block.pop(name)
    return ours


def _always_float32(block):
    return {name: weight.float() for name, weight in _variant()(block).items()}


PARTS = ("query", "key", "value")


MISCONCEPTIONS = (
    Misconception(
        "nothing-turned",
        "no matrix is turned",
        "A linear layer of ours keeps its weight as (outputs, inputs), GPT-2's as (inputs, outputs).",
        _variant(thirds=_never_turned, output=_keep, feedforward=_keep),
    ),
    Misconception(
        "square-not-turned",
        "the square matrix of attention's output is not turned",
        "Its shape fits both ways, and that is the trap: it multiplies from the other side like the rest.",
        _variant(output=_keep),
    ),
    Misconception(
        "attention-not-turned",
        "query, key and value are cut out but not turned",
        "Each of the three is square, so no shape complains. Look at which axis holds the inputs.",
        _variant(thirds=_never_turned),
    ),
    Misconception(
        "feedforward-not-turned",
        "the feed-forward network's matrices are not turned",
        "Compare their shapes with those of `feedforward.hidden.weight` and `feedforward.output.weight`.",
        _variant(feedforward=_keep),
    ),
    Misconception(
        "reshaped",
        "`reshape` stands where the matrix should be cut and turned",
        "`reshape` reads the numbers row by row into another shape: numbers of different columns get mixed.",
        _variant(thirds=_reshaped),
    ),
    Misconception(
        "feedforward-reshaped",
        "`reshape` gives the right shape, and puts the numbers in the wrong places",
        "Turning a matrix and reading it into another shape are two things. Try a matrix of 2 by 3.",
        _variant(feedforward=_reshaped_flat),
    ),
    Misconception(
        "interleaved",
        "query, key and value are taken as every third row",
        "In GPT-2 all of the queries come first, then all of the keys, then all of the values.",
        _variant(thirds=_interleaved, bias_thirds=_bias_interleaved),
    ),
    Misconception(
        "cut-by-rows",
        "c_attn is cut along the inputs",
        "Its columns belong to query, key and value; its rows are the inputs that all three read.",
        _variant(thirds=_cut_by_rows),
    ),
    Misconception(
        "not-cut",
        "query, key and value all get the whole of c_attn",
        "Each gets a third of it.",
        _variant(thirds=_not_cut, bias_thirds=_whole_bias),
    ),
    Misconception(
        "bias-not-cut",
        "query, key and value all get the whole bias",
        "The bias has three parts as well, in the same order as the matrix.",
        _variant(bias_thirds=_whole_bias),
    ),
    Misconception(
        "key-first",
        "query and key have changed places",
        "The order in c_attn is query, key, value.",
        _variant(order=("key", "query", "value")),
    ),
    Misconception(
        "value-first",
        "query and value have changed places",
        "The order in c_attn is query, key, value.",
        _variant(order=("value", "key", "query")),
    ),
    Misconception(
        "norms-swapped",
        "the two norms have changed places",
        "ln_1 stands in front of attention.",
        _variant(norms=("feedforward_norm", "attention_norm")),
    ),
    Misconception(
        "layers-swapped",
        "the two layers of the feed-forward network have changed places",
        "c_fc makes the wide vector and c_proj brings it back.",
        _variant(layers=("feedforward.output", "feedforward.hidden")),
    ),
    Misconception(
        "without-biases",
        "the biases are missing",
        "Every layer of a GPT-2 block has one, and so has every norm.",
        _without_biases,
    ),
    Misconception(
        "their-names-too",
        "the names of GPT-2 are still among ours",
        "Only the sixteen new names should be in the result.",
        _with_their_names,
    ),
    Misconception(
        "in-place",
        "the tensors that came in are changed",
        "A turned tensor shares its numbers with the one it came from. Write nothing into it.",
        _turned_in_place,
    ),
    Misconception(
        "only-hidden-turned",
        "the matrix that narrows again is not turned",
        "All of GPT-2's matrices are stored as (inputs, outputs).",
        _one_turned("mlp.c_proj", "feedforward.output"),
    ),
    Misconception(
        "only-output-turned",
        "the matrix that widens is not turned",
        "All of GPT-2's matrices are stored as (inputs, outputs).",
        _one_turned("mlp.c_fc", "feedforward.hidden"),
    ),
    Misconception(
        "key-and-value-exchanged",
        "key and value have changed places",
        "The order in c_attn is query, key, value.",
        _variant(order=("query", "value", "key")),
    ),
    Misconception(
        "rows-in-threes",
        "the thirds of c_attn are taken as neighbouring rows in threes",
        "All of the queries come first. A third of the whole is one piece.",
        _variant(thirds=_threes_in_each_row),
    ),
    Misconception(
        "projections-exchanged",
        "attention's c_proj and the feed-forward network's have changed places",
        "Both are called c_proj. What stands in front of the name says whose it is.",
        _changed(_projections_exchanged),
    ),
    Misconception(
        "norms-turned-over",
        "the norms' weights and biases have changed places",
        "A norm's weight keeps its name, and so does its bias.",
        _changed(_norm_turned_over),
    ),
    Misconception(
        "in-one-piece",
        "query, key and value are still one matrix",
        "Our attention has three layers, each with a name of its own.",
        _in_one_piece,
    ),
    Misconception(
        "with-the-block-s-number",
        "each name has the block's number in front",
        "This is one block: which one it is, the caller knows.",
        _with_the_block_s_number,
    ),
    Misconception(
        "names-of-the-whole-model",
        "the names are looked up with the block's number in front",
        "The names that arrive begin behind it: print `block.keys()`.",
        _names_of_the_whole_model,
    ),
    Misconception(
        "taken-out",
        "the names are taken out of the dict that came in",
        "`pop` and `del` change the caller's dict. Read from it, and fill one of your own.",
        _taken_out,
    ),
    Misconception(
        "always-float32",
        "the result is float32 whatever comes in",
        "Keep the type of the weights: leave `.float()` out.",
        _always_float32,
    ),
)


# --- Right answers in another form


def _slices(block):
    d_model = block["ln_1.weight"].shape[0]
    ours = {}
    for place, name in enumerate(("query", "key", "value")):
        columns = slice(place * d_model, (place + 1) * d_model)
        ours[f"attention.{name}.weight"] = block["attn.c_attn.weight"][:, columns].T
        ours[f"attention.{name}.bias"] = block["attn.c_attn.bias"][columns]
    renamed = {
        "ln_1": "attention_norm",
        "ln_2": "feedforward_norm",
        "attn.c_proj": "attention.output",
        "mlp.c_fc": "feedforward.hidden",
        "mlp.c_proj": "feedforward.output",
    }
    for theirs, name in renamed.items():
        weight = block[theirs + ".weight"]
        ours[name + ".weight"] = weight.T if weight.ndim == 2 else weight
        ours[name + ".bias"] = block[theirs + ".bias"]
    return ours


def _by_einops(block):
    weight = rearrange(block["attn.c_attn.weight"], "inputs (part outputs) -> part outputs inputs", part=3)
    bias = rearrange(block["attn.c_attn.bias"], "(part outputs) -> part outputs", part=3)
    ours = {
        "attention.output.weight": rearrange(block["attn.c_proj.weight"], "i o -> o i"),
        "attention.output.bias": block["attn.c_proj.bias"],
        "feedforward.hidden.weight": rearrange(block["mlp.c_fc.weight"], "i o -> o i"),
        "feedforward.hidden.bias": block["mlp.c_fc.bias"],
        "feedforward.output.weight": rearrange(block["mlp.c_proj.weight"], "i o -> o i"),
        "feedforward.output.bias": block["mlp.c_proj.bias"],
        "attention_norm.weight": block["ln_1.weight"],
        "attention_norm.bias": block["ln_1.bias"],
        "feedforward_norm.weight": block["ln_2.weight"],
        "feedforward_norm.bias": block["ln_2.bias"],
    }
    for place, name in enumerate(("query", "key", "value")):
        ours[f"attention.{name}.weight"], ours[f"attention.{name}.bias"] = weight[place], bias[place]
    return ours


def _name_by_name(block):
    names = (
        ("attn.c_proj", "attention.output"),
        ("mlp.c_fc", "feedforward.hidden"),
        ("mlp.c_proj", "feedforward.output"),
        ("ln_1", "attention_norm"),
        ("ln_2", "feedforward_norm"),
    )
    ours = {}
    for full, tensor in block.items():
        layer, kind = full.rsplit(".", 1)
        tensor = tensor.t().clone()
        if layer == "attn.c_attn":
            size = len(tensor) // 3
            for place, name in enumerate(["query", "key", "value"]):
                ours[f"attention.{name}.{kind}"] = tensor[place * size : (place + 1) * size]
        else:
            ours[f"{dict(names)[layer]}.{kind}"] = tensor
    return ours


def _split_then_turned(block):
    d_model = block["attn.c_attn.weight"].size(0)
    query, key, value = torch.split(block["attn.c_attn.weight"], d_model, dim=1)
    biases = torch.tensor_split(block["attn.c_attn.bias"], 3)
    ours = _variant()(block)
    for name, weight, bias in zip(("query", "key", "value"), (query, key, value), biases, strict=True):
        ours[f"attention.{name}.weight"] = weight.transpose(0, 1).contiguous()
        ours[f"attention.{name}.bias"] = bias.clone()
    return ours


ALTERNATIVES = (
    Alternative("slices of columns, one table of names", _slices),
    Alternative("einops", _by_einops),
    Alternative("name by name, as they come", _name_by_name),
    Alternative("cut first, turned after", _split_then_turned),
)

NAMES = "gives all sixteen tensors their names"
CUT = "cuts query, key and value apart, in the right order"

EXERCISE = Exercise(
    name="gpt2.convert_block",
    number="6.6",
    title="GPT-2's names: convert one block",
    minutes=15,
    difficulty=2,
    reference=gpt2.convert_block,
    checks=(
        Check(NAMES, 1, _names),
        Check(CUT, 1, _cut),
        Check("turns every matrix, the square ones too", 2, _turned, after=(NAMES, CUT)),
        Check("keeps the dtype, takes the tensors in any order", 1, _kept, after=(NAMES, CUT)),
    ),
    hints=(
        "Write the table of names as a dictionary first, one entry a layer. Which layers need more than a "
        "new name?",
        "Turn a matrix before you cut it, and the thirds of c_attn lie one below the other. A bias has only "
        "one axis, and nothing to turn.",
        "`.T` turns, `.chunk(3)` cuts along the first axis. A norm's weight is a vector: it gets a new name "
        "and nothing else.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={
        'for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):  ⟶  '
        "True becomes False": "chunk(3) of a matrix with 3 · d_model rows gives three pieces, as many as "
        "there are names",
    },
)
