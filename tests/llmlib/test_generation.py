"""The loop that writes text: with and without the cache, alone and in a padded batch."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from llmlib.cached_gpt import CachedGPT
from llmlib.generation import generate
from llmlib.gpt import GPT, GPTConfig
from llmlib.gpt2 import from_gpt2
from llmlib.padding import left_pad
from llmlib.sampling import gumbel, sample

torch.set_num_threads(1)

DRAWS = 20_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def p_value(draws: torch.Tensor, expected: np.ndarray) -> float:
    counts = np.bincount(draws.numpy(), minlength=len(expected))
    return chisquare(counts, expected * counts.sum()).pvalue


def small(**changes) -> GPT:
    """A model with weights large enough that every part of it counts."""
    shape = {"vocab_size": 13, "context_length": 12, "d_model": 12, "n_layers": 2, "n_heads": 3}
    return GPT(GPTConfig(**{**shape, "init_std": 0.6, **changes}), generator=1)


# --- the loop ---


class Counter(nn.Module):
    """A model that always says: the next token is the last one plus one. It notes what it was shown."""

    def __init__(self, vocab_size: int = 10, context_length: int = 4):
        super().__init__()
        self.config = SimpleNamespace(context_length=context_length)
        self.vocab_size = vocab_size
        self.seen: list[torch.Tensor] = []

    def forward(self, tokens):
        assert not self.training and not torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()  # what a model keeps must serve in training too
        self.seen.append(tokens)
        return 5.0 * nn.functional.one_hot((tokens + 1) % self.vocab_size, self.vocab_size).float()


def test_generation_continues_each_sequence_and_crops_to_the_context():
    model = Counter()
    got = generate(model, torch.tensor([[0, 1], [6, 7]]), 5, temperature=0)
    assert got.tolist() == [[0, 1, 2, 3, 4, 5, 6], [6, 7, 8, 9, 0, 1, 2]]
    assert [tokens.shape[1] for tokens in model.seen] == [2, 3, 4, 4, 4]
    assert model.seen[-1].tolist() == [[2, 3, 4, 5], [8, 9, 0, 1]]


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_in_its_mode(training):
    model = Counter().train(training)
    generate(model, torch.tensor([[0]]), 2)
    assert model.training is training
    with pytest.raises(ValueError, match="temperature must be a positive number: got -1"):
        generate(model, torch.tensor([[0]]), 2, temperature=-1)
    assert model.training is training


def test_generation_samples_with_the_settings_it_was_given():
    starts = torch.zeros(DRAWS, 1, dtype=torch.long)
    weights = np.full(10, 1.0)
    weights[1] = np.exp(5.0 / 2)
    draws = generate(Counter(), starts, 1, temperature=2.0, generator=generator())[:, 1]
    assert p_value(draws, weights / weights.sum()) > 0.01
    for settings in ({"top_k": 1}, {"top_p": 0.5}):
        draws = generate(Counter(), starts[:100], 1, generator=generator(), **settings)[:, 1]
        assert draws.eq(1).all()


def conditional(
    logits: np.ndarray, said: tuple, temperature=1.0, top_k=None, top_p=0.0, min_p=0.0, penalty=1.0
) -> np.ndarray:
    """Independent oracle: the probabilities of the next token, as the settings state them."""
    lowered = [z if i not in said else z / penalty if z > 0 else z * penalty for i, z in enumerate(logits)]
    weights = np.exp(np.array(lowered) / temperature)
    ranks = sorted(range(len(weights)), key=lambda i: -weights[i])
    weights[ranks[top_k or len(ranks) :]] = 0
    weights /= weights.sum()
    if top_p:
        enough = next(n for n in range(1, len(ranks) + 1) if weights[ranks[:n]].sum() >= top_p)
        weights[ranks[enough:]] = 0
    weights[weights < min_p * weights.max()] = 0
    return weights / weights.sum()


def of_all_texts(model: GPT, start: tuple, new: int, end_token=None, **settings) -> np.ndarray:
    """The probability of every continuation by `new` tokens: the product of what was stated at each place."""
    if not new:
        return np.ones(1)
    with torch.no_grad():
        logits = model(torch.tensor([start]))[0, -1].numpy()
    shares = conditional(logits, start, **settings)
    if end_token is not None and start[-1] == end_token:
        shares = np.eye(len(logits))[end_token]
    follow = [of_all_texts(model, (*start, i), new - 1, end_token, **settings) for i in range(len(logits))]
    return np.concatenate([share * rest for share, rest in zip(shares, follow, strict=True)])


def fit(drawn: torch.Tensor, expected: np.ndarray) -> float:
    """The p-value of whole texts; those of which fewer than five are expected count as one."""
    places = 5 ** torch.arange(drawn.shape[1]).flip(0)
    counts = np.bincount((drawn * places).sum(dim=1).numpy(), minlength=len(expected))
    assert counts[expected == 0].sum() == 0
    often = expected * len(drawn) >= 5
    counts, expected = (np.append(x[often], x[~often].sum()) for x in (counts, expected))
    return chisquare(counts[expected > 0], expected[expected > 0] * len(drawn)).pvalue


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.7, "top_k": 3},
        {"top_p": 0.8},
        {"temperature": 1.5, "min_p": 0.2},
        {"repetition_penalty": 1.8},
        {"end_token": 3},
    ],
    ids=str,
)
def test_whole_texts_are_drawn_as_the_settings_state(settings, use_cache):
    model = small(vocab_size=5).double()
    stated = {("penalty" if name == "repetition_penalty" else name): s for name, s in settings.items()}
    expected = of_all_texts(model, (1, 2), 3, **stated)
    starts = torch.tensor([[1, 2]]).expand(DRAWS, 2)
    drawn = generate(model, starts, 3, generator=generator(3), use_cache=use_cache, **settings)[:, 2:]
    assert expected.shape == (125,) and fit(drawn, expected) > 0.001
    # The test can tell: a little more heat does not fit, nor do tokens that know nothing of one another.
    warmer = {**stated, "temperature": 1.1 * stated.get("temperature", 1.0), "min_p": 0, "top_p": 0}
    assert fit(drawn, of_all_texts(model, (1, 2), 3, **warmer)) < 1e-6
    alone = [np.bincount(column, minlength=5) / DRAWS for column in drawn.numpy().T]
    assert fit(drawn, np.einsum("i,j,k->ijk", *alone).ravel()) < 1e-6
    # Nor do two texts of one batch know of each other.
    firsts = drawn[:, 0].reshape(-1, 2)
    share = expected.reshape(5, 25).sum(axis=1)
    assert fit(firsts, np.outer(share, share).ravel()) > 0.001


def test_a_generator_decides_the_text():
    model = GPT(GPTConfig(vocab_size=20, context_length=8, d_model=16, n_layers=1, n_heads=2), 0)
    start = torch.zeros(1, 1, dtype=torch.long)
    one = generate(model, start, 30, generator=generator(1))
    assert one.shape == (1, 31)
    assert torch.equal(one, generate(model, start, 30, generator=generator(1)))
    assert not torch.equal(one, generate(model, start, 30, generator=generator(2)))


def test_numbers_drawn_ahead_are_those_drawn_token_by_token(monkeypatch):
    model = GPT(GPTConfig(vocab_size=20, context_length=8, d_model=16, n_layers=1, n_heads=2), 0)
    starts = torch.zeros(3, 1, dtype=torch.long)
    texts, places, asked = [], [], []

    def noted(shape, *arguments):
        asked.append(shape)
        return gumbel(shape, *arguments)

    monkeypatch.setattr("llmlib.sampling.gumbel", noted)
    for at_once, calls in ((1, [1] * 25), (150, [2] * 12 + [1]), (10**6, [25])):  # 60 numbers a token
        monkeypatch.setattr("llmlib.generation.AT_ONCE", at_once)
        source = generator(1)
        texts.append(generate(model, starts, 25, generator=source))
        places.append(torch.rand(1, generator=source).item())
        assert asked == [(draws, 3, 20) for draws in calls]
        asked.clear()
    assert torch.equal(texts[0], texts[1]) and torch.equal(texts[0], texts[2])
    assert len(set(places)) == 1  # nothing is drawn that no token needs


def test_a_text_that_ends_early_draws_no_further():
    lengths = set()
    for seed in range(6):
        source, stepwise = generator(seed), generator(seed)
        text = generate(Counter(), torch.tensor([[7]]), 20, end_token=1, generator=source)
        lengths.add(text.shape[1] - 1)
        for _ in range(text.shape[1] - 1):
            sample(torch.zeros(1, 10), stepwise)
        assert torch.equal(source.get_state(), stepwise.get_state())
    # It ended early, and after odd and even numbers of tokens: no draws in pairs would go unseen.
    assert min(lengths) < 20 and {length % 2 for length in lengths} == {0, 1}


def test_nothing_new_may_be_asked_for():
    start = torch.tensor([[3, 4]])
    assert torch.equal(generate(Counter(), start, 0), start)


def test_generation_refuses_what_it_cannot_continue():
    with pytest.raises(ValueError, match=re.escape("at least one token: got (1, 0)")):
        generate(Counter(), torch.empty(1, 0, dtype=torch.long), 3)
    with pytest.raises(
        ValueError, match=re.escape("shape (batch, length) with at least one token: got (3,)")
    ):
        generate(Counter(), torch.tensor([1, 2, 3]), 3)
    with pytest.raises(ValueError, match="max_new_tokens must not be negative: got -1"):
        generate(Counter(), torch.tensor([[1]]), -1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_one_cpu_generator_serves_both_devices():
    model = GPT(GPTConfig(vocab_size=20, context_length=8, d_model=16, n_layers=1, n_heads=2), 0).double()
    start = torch.zeros(2, 1, dtype=torch.long)
    expected = generate(model, start, 20, generator=generator(1))
    got = generate(model.cuda(), start.cuda(), 20, generator=generator(1))
    assert got.is_cuda and torch.equal(got.cpu(), expected)


# --- with the cache ---

SHAPES = ({}, {"positions": "sinusoidal"}, {"fused": True, "bias": False}, {"tie_weights": False})
SETTINGS = (
    {"temperature": 0},
    {"temperature": 0.8, "top_k": 5},
    {"min_p": 0.1, "repetition_penalty": 1.3},
    {"top_p": 0.7},
)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("length", [1, 5, 12, 17])
def test_the_cache_changes_nothing_also_when_the_window_slides(shape, settings, length):
    model = small(**shape).double()  # so that no draw lies within a rounding of another
    start = torch.randint(0, 13, (3, length), generator=generator(2))
    plain = generate(model, start, 20, generator=generator(), **settings)
    cached = generate(model, start, 20, generator=generator(), use_cache=True, **settings)
    assert torch.equal(cached, plain)


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("end_token", [None, 3])
def test_what_was_written_can_be_trained_on(use_cache, end_token):
    model = small()
    text = generate(model, torch.tensor([[1, 2]]), 6, end_token=end_token, use_cache=use_cache)
    model(text).sum().backward()
    assert model.token_embedding.weight.grad.abs().sum() > 0
    text[0, -1] = 5  # and changed in place
    assert model(text).requires_grad


def test_the_cache_asks_for_each_token_once(monkeypatch):
    model, shown = small(), []
    read = CachedGPT.read

    def noted(cached, tokens, *arguments, **named):
        shown.append(tokens.shape[1])
        return read(cached, tokens, *arguments, **named)

    monkeypatch.setattr(CachedGPT, "read", noted)
    generate(model, torch.tensor([[1, 2, 3, 4]]), 11, temperature=0, use_cache=True)
    # Eleven questions: the prompt, eight tokens until the context of twelve is full, then the whole window.
    assert shown == [4, *[1] * 8, 12, 12]


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize("longest", [5, 15])  # within the context of 12, and beyond it
def test_a_padded_batch_is_each_text_alone(use_cache, positions, longest):
    model = small(positions=positions).double()
    texts = [[3, 1, 4, 1, 5], [9], [2, 6, 5], [*range(13), 0, 1][:longest]]
    tokens, real, _ = left_pad(texts, filler=0)
    settings = {"temperature": 0, "repetition_penalty": 1.4}
    together = generate(model, tokens, 16, real=real, use_cache=use_cache, **settings)
    for row, text in zip(together, texts, strict=True):
        alone = generate(model, torch.tensor([text]), 16, **settings)[0]
        assert torch.equal(row[len(row) - len(alone) :], alone), text
    assert torch.equal(together[:, : tokens.shape[1]], tokens)
    # Without saying what is padding, something else comes out.
    assert not torch.equal(generate(model, tokens, 16, use_cache=use_cache, **settings), together)


def test_what_stands_at_padding_does_not_matter():
    model, texts = small().double(), [[3, 1, 4, 1, 5], [9]]
    written = []
    for filler in (0, 12):
        tokens, real, _ = left_pad(texts, filler)
        written.append(generate(model, tokens, 9, real=real, temperature=0, use_cache=True)[:, 5:])
    assert torch.equal(*written)


@pytest.mark.parametrize("use_cache", [False, True])
def test_an_ended_text_repeats_its_end_and_the_others_go_on(use_cache):
    model = small().double()
    start = torch.arange(8)[:, None]
    free = generate(model, start, 10, temperature=0)
    end = int(free[0, 3])  # where text 0 will stop
    got = generate(model, start, 10, temperature=0, end_token=end, use_cache=use_cache)
    for row, wanted in zip(got.tolist(), free.tolist(), strict=True):
        place = wanted.index(end, 1) if end in wanted[1:] else len(wanted)
        assert row[: place + 1] == wanted[: place + 1][: len(row)]
        assert set(row[place:]) <= {end}


def test_the_loop_ends_when_all_texts_have():
    got = generate(Counter(), torch.tensor([[3], [4]]), 9, temperature=0, end_token=6)
    assert got.tolist() == [[3, 4, 5, 6], [4, 5, 6, 6]]


@pytest.mark.parametrize("use_cache", [False, True])
@pytest.mark.parametrize("penalty", [1.0, 1.5, 2.0])
def test_greedy_text_is_that_of_transformers(penalty, use_cache):
    torch.manual_seed(0)
    shape = {"vocab_size": 31, "n_positions": 24, "n_embd": 12, "n_layer": 2, "n_head": 3}
    theirs = GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.5, eos_token_id=None)).eval()
    ours = from_gpt2(theirs.state_dict(), n_heads=3)
    tokens, real, _ = left_pad([[5, 6, 7, 8], [9, 10]], filler=0)
    settings = {"max_new_tokens": 15, "do_sample": False, "repetition_penalty": penalty, "pad_token_id": 0}
    if penalty != 1:  # theirs penalises the padding as well
        tokens, real = tokens[:1], real[:1]
    expected = theirs.generate(tokens, attention_mask=real.long(), **settings)
    settings = {"temperature": 0, "repetition_penalty": penalty, "use_cache": use_cache}
    assert torch.equal(generate(ours, tokens, 15, real=real, **settings), expected)


def test_a_forward_of_its_own_is_not_cached():
    class Mine(GPT):
        def forward(self, tokens):
            return -super().forward(tokens)

    model = Mine(GPTConfig(13, context_length=12, d_model=12, n_layers=1, n_heads=3), 0)
    assert generate(model, torch.tensor([[1]]), 3).shape == (1, 4)
    with pytest.raises(ValueError, match=r"Mine has a forward of its own\. Generate without the cache"):
        generate(model, torch.tensor([[1]]), 3, use_cache=True)
