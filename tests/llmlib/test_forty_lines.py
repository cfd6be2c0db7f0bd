"""The forty lines, repaired, against PyTorch's own block, and each fault against what it is said to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llmlib.forty_lines import FAULTS, Bigrams, Faulty, FortyLines, train_and_score
from llmlib.gpt import GPT, GPTConfig
from llmlib.validation import evaluate

SIZES = (11, 6, 8, 2)  # vocabulary, context, width, heads


@pytest.fixture
def tokens():
    return torch.randint(0, 11, (3, 5), generator=torch.Generator().manual_seed(0))


def pair(*faults):
    """The repaired model and a faulty one with the same weights."""
    torch.manual_seed(0)
    right, faulty = FortyLines(*SIZES).double(), Faulty(*SIZES, faults=faults).double()
    faulty.load_state_dict(right.state_dict())
    return right, faulty


def moved(model, tokens, text, place):
    changed = tokens.clone()
    changed[text, place] = (changed[text, place] + 1) % 11
    with torch.no_grad():
        return (model(changed) - model(tokens)).abs().amax(dim=-1) > 1e-9


def test_the_repaired_model_is_pytorch_s_pre_norm_block(tokens):
    model, _ = pair()
    block = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    weights = {
        name.replace("attention.", "self_attn.").replace("mlp.0", "linear1").replace("mlp.2", "linear2"): w
        for name, w in model.state_dict().items()
        if name.startswith(("attention.", "mlp.", "norm1.", "norm2."))
    }
    block.load_state_dict(weights)
    x = model.embedding(tokens) + model.positions(torch.arange(5))
    future = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    expected = F.linear(model.norm3(block(x, src_mask=future)), model.head.weight, model.head.bias)
    torch.testing.assert_close(model(tokens), expected)


def test_one_token_moves_its_own_text_from_its_place_on(tokens):
    expected = torch.zeros(3, 5, dtype=torch.bool)
    expected[1, 2:] = True
    assert torch.equal(moved(pair()[0], tokens, 1, 2), expected)


def test_without_faults_the_faulty_model_is_the_repaired_one(tokens):
    right, faulty = pair()
    torch.testing.assert_close(faulty(tokens), right(tokens))


def test_without_a_mask_the_whole_text_moves(tokens):
    _, faulty = pair("no mask")
    assert moved(faulty, tokens, 1, 2).tolist() == [[False] * 5, [True] * 5, [False] * 5]


def test_with_the_batch_second_the_same_place_of_every_text_moves(tokens):
    _, faulty = pair("batch second", "no mask")
    column = torch.zeros(3, 5, dtype=torch.bool)
    column[:, 2] = True
    assert torch.equal(moved(faulty, tokens, 1, 2), column)
    _, masked = pair("batch second")
    with pytest.raises(RuntimeError, match="attn_mask"):
        masked(tokens)


def test_without_positions_order_is_lost(tokens):
    right, _ = pair("no mask")
    _, faulty = pair("no positions", "no mask")
    order = torch.tensor([4, 1, 3, 0, 2])
    torch.testing.assert_close(faulty(tokens[:, order]), faulty(tokens)[:, order])
    assert not torch.allclose(right(tokens[:, order]), right(tokens)[:, order], atol=1e-3)


def test_without_a_residual_silenced_attention_leaves_nothing(tokens):
    for model, rows in zip(pair("no residual"), (15, 1), strict=True):
        with torch.no_grad():
            for parameter in model.attention.out_proj.parameters():
                parameter.zero_()
        found = len(model(tokens).flatten(0, 1).detach().round(decimals=9).unique(dim=0))
        assert found == rows or (rows > 1 and found > 5)


def test_every_fault_is_there_by_default(tokens):
    assert Faulty(*SIZES).faults == set(FAULTS)
    with pytest.raises(ValueError, match="got no brakes"):
        Faulty(*SIZES, faults=["no brakes", "no mask"])


def test_a_text_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match="6 places: got 7 tokens"):
        FortyLines(*SIZES)(torch.zeros(1, 7, dtype=torch.long))


def test_the_smallest_model_may_know_its_places():
    tokens = torch.tensor([[1, 0, 1], [2, 2, 0]])
    free = Bigrams(3, torch.Generator().manual_seed(1))
    assert torch.equal(free(tokens)[0, 0], free(tokens)[0, 2])
    bound = Bigrams(3, torch.Generator().manual_seed(1), context_length=3)
    torch.testing.assert_close(bound(tokens) - free(tokens), bound.places.expand(2, 3, 3))
    assert not torch.equal(bound(tokens)[0, 0], bound(tokens)[0, 2])
    with pytest.raises(ValueError, match="3 places: got 4 tokens"):
        bound(torch.zeros(1, 4, dtype=torch.long))


# --- Training and scoring


def settings(**changed):
    about = {"context_length": 4, "batch_size": 3, "steps": 3, "learning_rate": 0.05, "clip": 0.5}
    return {**about, "train_share": 0.75, "generator": torch.Generator().manual_seed(1), **changed}


def small():
    return GPT(GPTConfig(5, 4, 8, 1, n_heads=2, init_std=0.3), generator=0)


def test_the_loss_is_that_of_evaluate_on_the_rest():
    tokens = torch.randint(0, 5, (60,), generator=torch.Generator().manual_seed(2))
    model = small()
    loss, accuracy = train_and_score(model, tokens, **settings())
    rest = tokens[45:]
    assert loss == pytest.approx(evaluate(model, rest[:13], 4), rel=1e-5)
    guesses = torch.cat([model(rest[None, start : start + 4])[0].argmax(dim=-1) for start in (0, 4, 8)])
    assert accuracy == pytest.approx(float((guesses == rest[1:13]).double().mean()))


def test_what_is_held_back_is_never_trained_on():
    tokens = torch.randint(0, 5, (60,), generator=torch.Generator().manual_seed(2))
    other = tokens.clone()
    other[45:] = (other[45:] + 1) % 5
    first, second = small(), small()
    train_and_score(first, tokens, **settings())
    train_and_score(second, other, **settings())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_number_is_used():
    tokens = torch.randint(0, 5, (60,), generator=torch.Generator().manual_seed(2))
    usual = train_and_score(small(), tokens, **settings())
    assert train_and_score(small(), tokens, **settings()) == usual
    for changed in (
        {"context_length": 3},
        {"batch_size": 2},
        {"steps": 4},
        {"learning_rate": 0.06},
        {"clip": 0.01},
        {"train_share": 0.5},
        {"generator": torch.Generator().manual_seed(3)},
    ):
        assert train_and_score(small(), tokens, **settings(**changed))[0] != usual[0], changed


def test_gradients_may_be_switched_off_outside():
    tokens = torch.randint(0, 5, (60,), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert train_and_score(small(), tokens, **settings()) == train_and_score(
            small(), tokens, **settings()
        )
