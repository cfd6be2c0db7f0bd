"""GPT against transformers' GPT-2 at the same weights; its configuration, its first weights, its errors."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
import torch.nn.functional as F

from llmlib.gpt import GPT, GPTConfig, count_parameters, initial_std

torch.set_num_threads(1)

SMALL = GPTConfig(vocab_size=11, context_length=9, d_model=12, n_layers=3, n_heads=3)


def small(**changes) -> GPTConfig:
    return dataclasses.replace(SMALL, **changes)


def draw_tokens(config: GPTConfig, batch: int = 2, length: int | None = None, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, config.vocab_size, (batch, length or config.context_length), generator=generator)


def next_token_loss(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def gradients(model: GPT, tokens) -> dict[str, torch.Tensor]:
    model.zero_grad()
    next_token_loss(model(tokens), tokens).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


# --- an independent oracle ---


def carry_to_gpt2(model: GPT):
    """transformers' GPT-2 with the weights of ours. Its linear layers are stored transposed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = model.config
    oracle = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            n_inner=config.d_ff,
            activation_function="gelu",
            tie_word_embeddings=config.tie_weights,
            bos_token_id=None,
            eos_token_id=None,
        )
    ).double()
    weights = {
        "transformer.wte.weight": model.token_embedding.weight,
        "transformer.wpe.weight": model.positions.weight,
        "lm_head.weight": model.head.weight,
        "transformer.ln_f.weight": model.norm.weight,
        "transformer.ln_f.bias": model.norm.bias,
    }
    for i, block in enumerate(model.blocks):
        at = f"transformer.h.{i}."
        attention = (block.attention.query, block.attention.key, block.attention.value)
        weights[at + "attn.c_attn.weight"] = torch.cat([layer.weight.T for layer in attention], dim=1)
        weights[at + "attn.c_attn.bias"] = torch.cat([layer.bias for layer in attention])
        for name, layer in (
            ("attn.c_proj", block.attention.output),
            ("mlp.c_fc", block.feedforward.hidden),
            ("mlp.c_proj", block.feedforward.output),
        ):
            weights[at + name + ".weight"], weights[at + name + ".bias"] = layer.weight.T, layer.bias
        for name, norm in (("ln_1", block.attention_norm), ("ln_2", block.feedforward_norm)):
            weights[at + name + ".weight"], weights[at + name + ".bias"] = norm.weight, norm.bias
    missing, unexpected = oracle.load_state_dict(weights, strict=False)
    assert not unexpected and all("attn.bias" in name or "masked_bias" in name for name in missing)
    return oracle.eval()


@pytest.mark.parametrize("tie_weights", [False, True])
def test_logits_and_gradients_equal_gpt2(tie_weights):
    model = GPT(small(d_ff=20, tie_weights=tie_weights), generator=0).double()
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(i))
    oracle = carry_to_gpt2(model)
    tokens = draw_tokens(model.config)
    logits = model(tokens)
    torch.testing.assert_close(logits, oracle(tokens).logits, rtol=1e-9, atol=1e-9)
    assert logits.shape == (2, 9, 11)

    ours = gradients(model, tokens)
    # Not the oracle's own loss: it rounds the logits to float32 first.
    next_token_loss(oracle(tokens).logits, tokens).backward()
    theirs = {
        "token_embedding.weight": oracle.transformer.wte.weight.grad,
        "positions.weight": oracle.transformer.wpe.weight.grad,
        "blocks.0.attention_norm.weight": oracle.transformer.h[0].ln_1.weight.grad,
        "blocks.2.feedforward.output.weight": oracle.transformer.h[2].mlp.c_proj.weight.grad.T,
    }
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-7, atol=1e-10)
    if tie_weights:
        assert model.parameter_count() == oracle.num_parameters()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_equals_plain(dtype, positions):
    plain = GPT(small(positions=positions), generator=0).to(dtype)
    fused = GPT(small(positions=positions, fused=True), generator=1).to(dtype)
    fused.load_state_dict(plain.state_dict())
    tokens = draw_tokens(SMALL)
    torch.testing.assert_close(fused(tokens), plain(tokens))
    ours, theirs = gradients(fused, tokens), gradients(plain, tokens)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fused", [False, True])
def test_cuda_equals_cpu(fused):
    model = GPT(small(fused=fused), generator=0).double()
    tokens = draw_tokens(SMALL)
    expected, expected_gradients = model(tokens).detach(), gradients(model, tokens)
    model.cuda()
    torch.testing.assert_close(model(tokens.cuda()).cpu(), expected)
    for name, gradient in gradients(model, tokens.cuda()).items():
        torch.testing.assert_close(gradient.cpu(), expected_gradients[name].cpu())


# --- what it sees ---


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_the_future_is_not_seen(fused, positions):
    model = GPT(small(fused=fused, positions=positions), generator=0)
    tokens = draw_tokens(SMALL)
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % SMALL.vocab_size
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert before[:, 5:].ne(after[:, 5:]).any(dim=-1).all()
    # The logits of a prefix are the prefix of the logits.
    torch.testing.assert_close(model(tokens[:, :4]), before[:, :4])


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_order_matters(positions):
    # With one block: the causal masks of several would tell the order even without positions.
    model = GPT(small(positions=positions, n_layers=1), generator=0).double()
    one, other = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 1, 3]])
    assert (model(one)[:, -1] - model(other)[:, -1]).abs().max() > 1e-6


def test_sinusoidal_positions_are_a_fixed_table():
    waves = GPT(small(positions="sinusoidal", tie_weights=False), generator=0).double()
    table = GPT(small(tie_weights=False), generator=0).double()
    weights = waves.state_dict()
    weights["token_embedding.weight"] = weights["token_embedding.weight"] * 12**0.5
    weights["positions.weight"] = waves.position_table
    table.load_state_dict(weights)
    tokens = draw_tokens(SMALL, length=7)
    torch.testing.assert_close(waves(tokens), table(tokens))


def test_sinusoidal_positions_are_no_weights_and_follow_the_device():
    model = GPT(small(positions="sinusoidal"), generator=0)
    assert not [name for name in model.state_dict() if "position" in name]
    assert model.to("meta").position_table.device.type == "meta"


# --- first weights ---


def test_first_weights_have_the_stated_size():
    config = GPTConfig(vocab_size=300, d_model=128, n_layers=8, n_heads=4, tie_weights=False)
    model = GPT(config, generator=0)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            expected = 0.02 / 4 if name.endswith("output.weight") else 0.02  # √(2 · 8) = 4
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
            assert abs(parameter.mean().item()) < expected / 10, name
        elif "norm" in name and name.endswith("weight"):
            assert parameter.eq(1).all(), name
        else:
            assert parameter.eq(0).all(), name
    scaled = [name for name, _ in model.named_parameters() if name.endswith("output.weight")]
    assert len(scaled) == 2 * 8


def test_the_first_loss_is_that_of_a_blind_guess():
    config = small(vocab_size=65, context_length=64, d_model=64, n_heads=4)
    tokens = draw_tokens(config, batch=8)
    loss = next_token_loss(GPT(config, 0)(tokens), tokens)
    assert loss.item() == pytest.approx(torch.tensor(65.0).log().item(), abs=0.05)


def test_a_seed_or_a_generator_decides_the_weights_and_nothing_else():
    def weights(generator):
        return torch.cat([p.flatten() for p in GPT(SMALL, generator).parameters()])

    state = torch.get_rng_state()
    one = weights(7)
    torch.rand(3)
    assert torch.equal(one, weights(7))
    assert torch.equal(one, weights(torch.Generator().manual_seed(7)))
    assert not torch.equal(one, weights(8))
    torch.set_rng_state(state)
    weights(7)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_generator_torchs_own_is_used():
    torch.manual_seed(3)
    one = GPT(SMALL).head.weight
    torch.manual_seed(3)
    assert torch.equal(one, GPT(SMALL).head.weight)
    assert not torch.equal(one, GPT(SMALL).head.weight)


def test_tied_weights_are_one_and_stay_one():
    model = GPT(SMALL, generator=0)
    assert model.head.weight is model.token_embedding.weight
    loaded = GPT(SMALL, generator=1)
    loaded.load_state_dict(model.state_dict())
    assert loaded.head.weight is loaded.token_embedding.weight
    tokens = draw_tokens(SMALL)
    assert torch.equal(loaded(tokens), model(tokens))
    untied = GPT(small(tie_weights=False), generator=0)
    assert not torch.equal(untied.head.weight, untied.token_embedding.weight)


@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_parameter_count_by_hand(positions, bias, tie_weights):
    v, t, d, f, layers = 11, 9, 12, 20, 3
    block = 4 * d * d + 2 * d * f + 2 * d + bias * (4 * d + f + d + 2 * d)
    expected = v * d * (1 if tie_weights else 2) + layers * block + d + bias * d
    expected += t * d if positions == "learned" else 0
    config = small(d_ff=f, positions=positions, bias=bias, tie_weights=tie_weights)
    assert GPT(config, 0).parameter_count() == expected


def test_dropout_acts_only_while_training():
    model, tokens = GPT(small(dropout=0.5), generator=0), draw_tokens(SMALL)
    model.eval()
    assert torch.equal(model(tokens), model(tokens))
    # On the embeddings, and on each part's output.
    model.dropout.train()
    assert not torch.equal(model(tokens), model(tokens))
    for block in model.blocks:
        for part in (block.attention, block.feedforward):
            model.eval()
            part.train()
            assert not torch.equal(model(tokens), model(tokens))


def test_it_learns_a_short_sequence():
    model = GPT(small(fused=True), generator=0)
    tokens = draw_tokens(SMALL, batch=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = next_token_loss(model(tokens), tokens)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


# --- errors ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be a whole number of at least 1: got 0"),
        ({"context_length": -3}, "context_length must be a whole number of at least 1: got -3"),
        ({"d_model": 12.0}, "d_model must be a whole number of at least 1: got 12.0"),
        ({"n_layers": True}, "n_layers must be a whole number of at least 1: got True"),
        ({"n_heads": 0}, "n_heads must be a whole number of at least 1: got 0"),
        ({"d_ff": 0}, "d_ff must be a whole number of at least 1: got 0"),
        ({"n_heads": 5}, "d_model must be a multiple of n_heads: got 12 and 5"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1: got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0 and less than 1: got -0.1"),
        ({"positions": "rotary"}, "positions must be 'learned' or 'sinusoidal': got 'rotary'"),
        (
            {"d_model": 9, "positions": "sinusoidal"},
            "sinusoidal positions need an even d_model: got 9",
        ),
    ],
)
def test_a_wrong_configuration_is_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        small(**changes)


def test_the_configuration_is_frozen_and_a_plain_record():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.d_model = 24
    assert GPTConfig(**dataclasses.asdict(SMALL)) == SMALL


def test_wrong_tokens_are_refused():
    model = GPT(SMALL, generator=0)
    with pytest.raises(ValueError, match="no longer than context_length=9: got 10"):
        model(torch.zeros(1, 10, dtype=torch.long))
    with pytest.raises(ValueError, match="between 0 and vocab_size - 1 = 10: got 11"):
        model(torch.tensor([[0, 11]]))
    with pytest.raises(ValueError, match="vocab_size - 1 = 10: got -1"):
        model(torch.tensor([[0, -1]]))
    with pytest.raises(ValueError, match=re.escape("shape (batch, length): got (3,)")):
        model(torch.tensor([0, 1, 2]))


def test_a_wrong_form_of_gelu_is_refused():
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh': got 'sigmoid'"):
        small(approximate="sigmoid")


@pytest.mark.parametrize("fused", [False, True])
def test_the_form_of_gelu_reaches_every_block(fused):
    model = GPT(small(approximate="tanh", fused=fused), generator=0)
    assert [block.feedforward.approximate for block in model.blocks] == ["tanh"] * 3
    x = torch.linspace(-4, 4, 12)[None]
    feedforward = model.blocks[1].feedforward
    expected = feedforward.output(F.gelu(feedforward.hidden(x), approximate="tanh"))
    torch.testing.assert_close(feedforward(x), expected)


# --- the counted and the drawn


@pytest.mark.parametrize("d_ff", [None, 20])
@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_formula_counts_what_the_model_has(bias, tie_weights, d_ff):
    model = GPT(small(d_ff=d_ff, bias=bias, tie_weights=tie_weights), generator=0)
    assert count_parameters(11, 9, 12, 3, d_ff, bias, tie_weights) == model.parameter_count()


def test_the_stated_size_is_zero_exactly_where_nothing_is_drawn():
    model = GPT(small(tie_weights=False), generator=0)
    for name, parameter in model.named_parameters():
        drawn = parameter.dim() == 2
        assert (initial_std(name, 3) > 0) == drawn, name
    assert initial_std("blocks.2.attention.output.weight", 8, 0.04) == pytest.approx(0.01)
    assert initial_std("head.weight", 8, 0.04) == 0.04
