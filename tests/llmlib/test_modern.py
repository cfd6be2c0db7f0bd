"""The modern GPT against PyTorch's attention, the rotary module, and what its parts promise."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from llmlib.generation import generate
from llmlib.modern import ModernGPT, ModernGPTConfig, RotaryAttention, TokenShift, turn
from llmlib.precision import lower_precision, multiplies_bfloat16
from llmlib.rotary import rotary_angles, rotate

SHAPE = ModernGPTConfig(
    vocab_size=7, context_length=10, d_model=12, n_layers=2, n_heads=3, d_ff=20, d_bigram=5
)


def random_model(seed=0) -> ModernGPT:
    model = ModernGPT(SHAPE, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def tokens(batch=2, length=10, seed=1):
    return torch.randint(0, 7, (batch, length), generator=torch.Generator().manual_seed(seed))


def test_turning_halves_is_turning_neighbours_in_another_order():
    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angles = rotary_angles(torch.arange(6), 8)
    woven = torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2)
    expected = rotate(woven, angles).unflatten(-1, (4, 2)).transpose(-1, -2).flatten(-2)
    torch.testing.assert_close(turn(x, angles.cos(), angles.sin()), expected)


def test_attention_is_pytorchs_on_turned_queries_and_keys():
    model = random_model()
    attention: RotaryAttention = model.blocks[0].attention
    x = torch.randn(2, 10, 12, generator=torch.Generator().manual_seed(2))
    place = model.cosine, model.sine

    def heads(layer):
        return layer(x).unflatten(-1, (3, 4)).transpose(1, 2)

    query, key = turn(heads(attention.query), *place), turn(heads(attention.key), *place)
    out = F.scaled_dot_product_attention(query, key, heads(attention.value), is_causal=True)
    expected = attention.output(out.transpose(1, 2).flatten(-2))
    hidden = model.hidden.expand(6, 10, 10)
    torch.testing.assert_close(attention(x, *place, hidden), expected, atol=1e-6, rtol=1e-5)


def test_the_shift_takes_columns_from_the_tokens_before():
    shift = TokenShift((0.5, 0.25, 0.25), 4)
    x = torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]])
    assert shift(x).tolist() == [[[1, 2, 0, 0], [5, 6, 3, 0], [9, 10, 7, 4]]]
    assert shift(x[:, :1]).tolist() == [[[1, 2, 0, 0]]]  # a text shorter than the longest shift
    assert torch.equal(TokenShift((1.0,), 4)(x), x)


def test_a_block_adds_its_parts_of_the_shifted_norms():
    model = random_model()
    block = model.blocks[0]
    x = torch.randn(2, 10, 12, generator=torch.Generator().manual_seed(3))
    places = model.cosine, model.sine, model.hidden.expand(6, 10, 10)

    def read(norm, stream):
        y = F.layer_norm(stream, (12,), norm.weight)
        late, later = torch.zeros(2, 10, 3), torch.zeros(2, 10, 3)
        late[:, 1:], later[:, 2:] = y[:, :-1, 6:9], y[:, :-2, 9:]
        return torch.cat([y[..., :6], late, later], dim=-1)

    middle = x + block.attention(read(block.attention_norm, x), *places)
    inner = F.gelu(read(block.feedforward_norm, middle) @ block.feedforward.hidden.weight.T)
    expected = middle + inner @ block.feedforward.output.weight.T
    torch.testing.assert_close(block(x, *places), expected, atol=1e-6, rtol=1e-5)


def test_nothing_is_seen_of_the_future():
    model = random_model()
    before = tokens()
    after = before.clone()
    after[:, 6:] = (after[:, 6:] + 1) % 7
    torch.testing.assert_close(model(before)[:, :6], model(after)[:, :6])
    assert (model(before)[:, 6:] - model(after)[:, 6:]).abs().amin(dim=-1).max() > 0


def test_a_shorter_text_gives_the_same_logits():
    model = random_model()
    torch.testing.assert_close(model(tokens())[:, :4], model(tokens()[:, :4]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu():
    model = random_model().double()
    expected = model(tokens())
    expected.square().mean().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.cuda()
    logits = model(tokens().cuda())
    torch.testing.assert_close(logits.cpu(), expected)
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad.cpu(), gradients[name])


def test_at_first_every_token_is_as_likely_as_any_other():
    logits = ModernGPT(SHAPE, 0)(tokens())
    loss = F.cross_entropy(logits.flatten(0, 1), tokens(seed=5).flatten())
    assert loss.item() == pytest.approx(math.log(7), abs=1e-6)


def test_the_pair_is_that_of_the_last_two_tokens():
    model = ModernGPT(SHAPE, 0)
    torch.nn.init.normal_(model.bigram_projection.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.bigram_embedding.weight.zero_()
        model.bigram_embedding.weight[2 * 7 + 5] = 1.0  # 5 after 2
    text = torch.tensor([[2, 5, 2, 5, 5, 3]])
    changed = model(text) != ModernGPT(SHAPE, 0).requires_grad_(False)(text)
    plain = model(torch.tensor([[5, 5]]))[0, 1]  # the blocks add nothing yet: a token alone decides
    there = [not torch.allclose(model(text)[0, place], plain) for place in (1, 3, 4)]
    assert changed.any() and there == [True, True, False]


def test_one_seed_gives_one_model_and_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two, other = ModernGPT(SHAPE, 3), ModernGPT(SHAPE, 3), ModernGPT(SHAPE, 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.token_embedding.weight, other.token_embedding.weight)


def test_without_pairs_and_in_generation():
    model = ModernGPT(ModernGPTConfig(7, 10, 12, 1, 3, 20, d_bigram=0), 0)
    assert not any("bigram" in name for name, _ in model.named_parameters())
    assert generate(model, tokens(1, 4), 9, generator=torch.Generator().manual_seed(0)).shape == (1, 13)


def test_the_recipes_size():
    assert ModernGPT(ModernGPTConfig(65), 0).parameter_count() == 746_656


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 0}, "n_layers must be a whole number of at least 1: got 0"),
        ({"d_bigram": -1}, "d_bigram must be a whole number of at least 0: got -1"),
        ({"d_model": 20, "n_heads": 4}, "multiple of 2 · n_heads.*got 20 and 4"),
        ({"shares": (0.5, 0.25)}, r"add up to 1.*128 columns.*got \(0.5, 0.25\)"),
        ({"shares": (0.7, 0.3)}, "whole ones"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1: got 1.0"),
        ({"embedding_dropout": -0.1}, "embedding_dropout must be at least 0 and less than 1: got -0.1"),
    ],
)
def test_shapes_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        ModernGPTConfig(**({"vocab_size": 7} | change))


def test_wrong_tokens():
    with pytest.raises(ValueError, match=r"shape \(batch, length\): got \(3,\)"):
        random_model()(torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="no longer than context_length=10: got 11"):
        random_model()(tokens(1, 11))


@pytest.mark.parametrize("kind", ["dropout", "embedding_dropout"])
def test_dropout_is_drawn_while_training_and_only_then(kind):
    model = ModernGPT(replace(SHAPE, **{kind: 0.5}), 0)
    model.load_state_dict(random_model().state_dict())
    torch.manual_seed(0)
    assert not torch.equal(model(tokens()), model(tokens()))
    torch.testing.assert_close(model.eval()(tokens()), random_model()(tokens()))


def test_dropout_of_attention_is_of_its_weights():
    attention = RotaryAttention(12, 3, dropout=0.5)
    angles = rotary_angles(torch.arange(10), 4)
    places = angles.cos().float(), angles.sin().float(), torch.zeros(6, 10, 10)
    x = torch.randn(2, 10, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in (attention.query, attention.key):
            layer.weight.zero_()  # every weight is a tenth, kept ones two tenths
        attention.value.weight.copy_(torch.ones(12, 12))
        attention.output.weight.copy_(torch.eye(12))
        tenths = attention(torch.ones_like(x), *places) / 12 * 10
    torch.testing.assert_close(tenths, tenths.round(), atol=1e-4, rtol=0)
    assert (tenths.round() % 2 == 0).all() and len(tenths.round().unique()) > 3


def test_lower_precision_rounds_a_little_and_only_where_asked():
    model = random_model()
    with lower_precision(torch.device("cpu"), "float32"):
        assert torch.equal(model(tokens()), model(tokens()))
        assert model(tokens()).dtype == torch.float32
    with lower_precision(torch.device("cpu"), "bfloat16"):
        logits = model(tokens())
    rounded = multiplies_bfloat16(torch.device("cpu"))
    assert logits.dtype == (torch.bfloat16 if rounded else torch.float32)
    torch.testing.assert_close(logits.float(), model(tokens()), atol=0.3 if rounded else 0, rtol=0.05)
