"""GPT-2's weights under our names, against transformers' GPT-2; its files, and what is no GPT-2."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch

from llmlib.checkpoints import CheckpointError
from llmlib.gpt import GPT, count_parameters
from llmlib.gpt2 import GPT2_SIZES, config_of, convert, convert_block, from_gpt2, load_gpt2
from llmlib.safetensors import read_safetensors

torch.set_num_threads(1)

SHAPE = {"vocab_size": 13, "n_positions": 9, "n_embd": 12, "n_layer": 3, "n_head": 2, "n_inner": 20}


def oracle(dtype=torch.float32, tied=True, **changes):
    """transformers' GPT-2 of a tiny shape; every weight is drawn, norms and biases too."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {**SHAPE, **changes}
    model = GPT2LMHeadModel(
        GPT2Config(**shape, tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4, generator=generator)
    return model.to(dtype).eval()


def tokens(length=9, batch=2):
    return torch.randint(0, 13, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("dtype", "closeness"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_logits_equal_those_of_transformers(dtype, closeness, tied):
    theirs = oracle(dtype, tied)
    ours = from_gpt2(theirs.state_dict(), n_heads=2)
    assert ours(tokens()).dtype == dtype
    torch.testing.assert_close(ours(tokens()), theirs(tokens()).logits, rtol=0, atol=closeness)
    assert ours.parameter_count() == theirs.num_parameters()
    assert (ours.head.weight is ours.token_embedding.weight) == tied


def test_the_exact_gelu_would_give_other_logits():
    theirs = oracle(torch.float64)
    ours = from_gpt2(theirs.state_dict(), n_heads=2)
    other = GPT(dataclasses.replace(ours.config, approximate="none"), generator=0).double().eval()
    other.load_state_dict(ours.state_dict())
    assert (other(tokens()) - theirs(tokens()).logits).abs().max() > 1e-4


def test_the_shape_is_read_from_the_weights():
    config = config_of(oracle().state_dict(), n_heads=2)
    assert (config.vocab_size, config.context_length, config.d_model) == (13, 9, 12)
    assert (config.n_layers, config.n_heads, config.d_ff) == (3, 2, 20)
    assert config.approximate == "tanh" and config.tie_weights
    wide = oracle(n_embd=128, n_layer=1, n_inner=None)
    assert config_of(wide.state_dict()).n_heads == 2


def test_names_without_prefix_and_with_masks_are_understood():
    """The files that OpenAI's weights are published in: no "transformer.", no head, the masks beside them."""
    weights = oracle().state_dict()
    published = {
        name.removeprefix("transformer."): weight
        for name, weight in weights.items()
        if name != "lm_head.weight"
    }
    for i in range(3):
        published[f"h.{i}.attn.bias"] = torch.ones(1, 1, 9, 9).tril()
        published[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    got, expected = convert(published), convert(weights)
    assert got.keys() == expected.keys() == GPT(config_of(weights, 2)).state_dict().keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)


def test_a_block_has_twelve_tensors_and_becomes_sixteen():
    block = oracle().transformer.h[1].state_dict()
    block = {name: weight for name, weight in block.items() if name != "attn.bias"}
    before = {name: weight.clone() for name, weight in block.items()}
    converted = convert_block(block)
    assert (len(block), len(converted)) == (12, 16)
    assert all(torch.equal(block[name], before[name]) for name in block)
    assert sum(w.numel() for w in block.values()) == sum(w.numel() for w in converted.values())


# --- Parameter counts


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_the_four_sizes_count_as_in_transformers(name, published):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2_SIZES[name]
    with torch.device("meta"):
        theirs = GPT2LMHeadModel(
            GPT2Config(n_embd=config.d_model, n_layer=config.n_layers, n_head=config.n_heads)
        )
        ours = GPT(config)
    shape = (config.vocab_size, config.context_length, config.d_model, config.n_layers)
    assert count_parameters(*shape) == ours.parameter_count() == theirs.num_parameters() == published
    assert config.d_model // config.n_heads == 64


# --- Files


def save(folder, kind, config=True):
    weights = {name: weight.contiguous() for name, weight in oracle().state_dict().items()}
    weights.pop("lm_head.weight")
    if kind == "model.safetensors":
        from safetensors.torch import save_file

        save_file({**weights, "h.0.attn.bias": torch.ones(3, 3).tril().bool()}, folder / kind)
    else:
        torch.save(weights, folder / kind)
    if config:
        (folder / "config.json").write_text(json.dumps({"n_head": 2}))
    return folder / kind


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_and_its_folder_load_alike(tmp_path, kind):
    path = save(tmp_path, kind)
    expected = oracle()(tokens()).logits
    for place in (path, tmp_path, str(tmp_path)):
        torch.testing.assert_close(load_gpt2(place)(tokens()), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_are_read_as_their_own_library_reads_them(tmp_path, dtype):
    from safetensors.torch import load_file, save_file

    path = tmp_path / "some.safetensors"
    numbers = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_file({"a": numbers, "b": numbers[0].clone(), "none": torch.empty(0, 3)}, path, {"format": "pt"})
    got, expected = read_safetensors(path), load_file(path)
    assert got.keys() == expected.keys()
    for name in expected:
        assert torch.equal(got[name], expected[name]) and got[name].dtype == expected[name].dtype


def test_a_path_that_is_not_there_is_told_what_to_give(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no file .*model.safetensors or pytorch_model.bin"):
        load_gpt2(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"holds neither model.safetensors nor pytorch_model.bin"):
        load_gpt2(tmp_path)


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("keep", [0, 5, 200, -40])
def test_a_damaged_file_is_no_traceback(tmp_path, kind, keep):
    path = save(tmp_path, kind)
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    with pytest.raises(CheckpointError, match=r"cannot be used: it is (damaged|cut short)"):
        load_gpt2(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save({"step": 3}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="damaged, or not a file of weights"):
        load_gpt2(tmp_path)
    torch.save({"layer.weight": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=re.escape("'wte.weight' is missing")):
        load_gpt2(tmp_path)


def test_a_code_running_pickle_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('it ran')",))

    torch.save({"wte.weight": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="damaged, or not a file of weights"):
        load_gpt2(tmp_path)


def test_the_number_of_heads_must_come_from_somewhere(tmp_path):
    path = save(tmp_path, "model.safetensors", config=False)
    with pytest.raises(CheckpointError, match=r"width of 12 is not a multiple of 64.*pass n_heads"):
        load_gpt2(path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config.json beside it names no n_head"):
        load_gpt2(path)


# --- What is no GPT-2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("transformer.ln_f.bias"), "'ln_f.bias' is missing"),
        (lambda w: w.pop("transformer.h.1.mlp.c_fc.weight"), "'mlp.c_fc.weight' is missing"),
        (lambda w: w.update({"transformer.h.0.rotary": torch.ones(1)}), "it has no 'h.0.rotary'"),
        (lambda w: w.update({"score.weight": torch.ones(1)}), "it has no 'score.weight'"),
        (lambda w: w.update({"transformer.h.5.ln_1.weight": torch.ones(12)}), "block 3 is missing"),
        (lambda w: [w.pop(n) for n in list(w) if ".h." in n], "block 0 is missing"),
        (lambda w: w.update({"transformer.ln_f.bias": torch.ones(7)}), "do not fit together"),
    ],
)
def test_wrong_weights_are_named(change, message):
    weights = oracle().state_dict()
    change(weights)
    with pytest.raises(ValueError, match=re.escape(message)):
        from_gpt2(weights, n_heads=2)
