"""A GPT that reads piece by piece gives the logits of one that reads the whole text."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from llmlib.cached_gpt import CachedGPT
from llmlib.gpt import GPT, GPTConfig
from llmlib.gpt2 import from_gpt2
from llmlib.padding import left_pad

torch.set_num_threads(1)

SHAPE = {"vocab_size": 13, "context_length": 10, "d_model": 12, "n_layers": 3, "n_heads": 3, "init_std": 0.5}
KINDS = (
    {},
    {"positions": "sinusoidal"},
    {"fused": True},
    {"fused": True, "bias": False, "approximate": "tanh"},
    {"tie_weights": False, "d_ff": 7, "dropout": 0.5},
)


def model_of(kind: dict) -> GPT:
    model = GPT(GPTConfig(**{**SHAPE, **kind}), generator=1).eval()
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():  # norms and biases too
        nn.init.normal_(parameter, mean=0.1, std=0.5, generator=generator)
    return model


def tokens_of(*shape: int) -> torch.Tensor:
    return torch.randint(0, 13, shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("pieces", [[10], [1] * 10, [6, 1, 1, 2], [3, 4, 3]], ids=str)
def test_the_pieces_give_the_logits_of_the_whole(kind, pieces):
    model, tokens = model_of(kind), tokens_of(2, 10)
    with torch.no_grad():
        expected = model(tokens)
    cached = CachedGPT(model, batch=2)
    got = torch.cat([cached.read(piece) for piece in tokens.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert cached.length == 10
    cached.clear()
    for piece in tokens.split(pieces, dim=1):
        got = cached.read(piece, last=True)
        after = expected[:, cached.length - 1 : cached.length]
        torch.testing.assert_close(got, after, atol=1e-5, rtol=0)
    # The logits are ten thousand times as large as what is allowed, and the places differ.
    assert expected.std(dim=1).mean() > 0.1


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_padded_text_gets_the_logits_that_it_gets_alone(kind):
    model = model_of(kind)
    texts = [[1, 2, 3, 4, 5, 6], [7, 8], [9]]
    tokens, real, _ = left_pad(texts, filler=11)
    cached = CachedGPT(model, batch=3)
    got = torch.cat(
        [cached.read(tokens, real), cached.read(tokens_of(3, 2)), cached.read(tokens_of(3, 1))], 1
    )
    assert got.isfinite().all()
    with torch.no_grad():
        for row, text, more, last in zip(got, texts, tokens_of(3, 2), tokens_of(3, 1), strict=True):
            alone = torch.cat([torch.tensor(text), more, last])[None]
            torch.testing.assert_close(row[-alone.shape[1] :], model(alone)[0], atol=1e-5, rtol=0)


def test_it_reads_like_gpt2_of_transformers():
    torch.manual_seed(0)
    shape = {"vocab_size": 31, "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3}
    theirs = GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.5)).eval()
    tokens = tokens_of(2, 9)
    with torch.no_grad():
        expected = theirs(tokens).logits
    cached = CachedGPT(from_gpt2(theirs.state_dict(), n_heads=3), batch=2)
    got = torch.cat([cached.read(piece) for piece in tokens.split([5, 1, 3], dim=1)], dim=1)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_places_count_from_each_text_s_first_token():
    cached = CachedGPT(model_of({}), batch=2)
    tokens, real, places = left_pad([[1, 2, 3], [4]], filler=0)
    cached.read(tokens, real)
    assert places.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert cached.places(2).tolist() == [[3, 4], [1, 2]]
    cached.clear()
    assert cached.places(2) == slice(0, 2)


def test_the_weights_are_those_of_the_moment_in_which_it_was_made():
    model, tokens = model_of({}), tokens_of(1, 4)
    assert not CachedGPT(model, 1).read(tokens).requires_grad
    before = CachedGPT(model, 1).read(tokens)
    with torch.no_grad():
        model.blocks[0].attention.query.weight += 1
    assert not torch.allclose(CachedGPT(model, 1).read(tokens), before)


@pytest.mark.parametrize("made_for", [1, 3])
@pytest.mark.parametrize("new", [1, 4])
def test_another_number_of_texts_is_refused(made_for, new):
    cached = CachedGPT(model_of({}), batch=made_for)
    with pytest.raises(ValueError, match=f"made for {made_for} texts: got 2"):
        cached.read(tokens_of(2, new))
    assert cached.length == 0


def test_a_full_context_is_refused():
    cached = CachedGPT(model_of({}), batch=1)
    cached.read(tokens_of(1, 10))
    with pytest.raises(ValueError, match="the cache holds 10 positions, and 10 are filled: got 1 more"):
        cached.read(tokens_of(1, 1))


def test_padding_anywhere_else_is_refused():
    cached = CachedGPT(model_of({}), batch=1)
    for real in ([[True, False, True]], [[True, True, False]], [[False, False, False]]):
        with pytest.raises(ValueError, match="padding must stand on the left of its text"):
            cached.read(tokens_of(1, 3), torch.tensor(real))
    cached.read(tokens_of(1, 3))
    with pytest.raises(ValueError, match="with the first piece of the texts: 3 places have been read"):
        cached.read(tokens_of(1, 2), torch.tensor([[False, True]]))


def test_a_model_that_it_cannot_follow_is_refused():
    class Mine(GPT):
        def forward(self, tokens):
            return super().forward(tokens)

    with pytest.raises(ValueError, match="Mine has a forward of its own"):
        CachedGPT(Mine(GPTConfig(**SHAPE), 0), 1)
    model = GPT(GPTConfig(**SHAPE), 0)
    object.__setattr__(model.config, "positions", "some other kind")
    with pytest.raises(ValueError, match="learned and sinusoidal positions: got 'some other kind'"):
        CachedGPT(model, 1)


@pytest.mark.parametrize("token", [13, -1])
def test_a_token_that_is_not_in_the_vocabulary_is_named(token):
    cached = CachedGPT(GPT(GPTConfig(**SHAPE), 0), 1)
    cached.read(torch.tensor([[1, 2]]))
    with pytest.raises(ValueError, match=f"between 0 and vocab_size - 1 = 12: got {token}"):
        cached.read(torch.tensor([[token]]))
