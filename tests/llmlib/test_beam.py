"""Beam search against trying every text, and against the beams of `transformers`."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from llmlib.beam import beam_search, beam_step
from llmlib.generation import generate
from llmlib.gpt import GPT, GPTConfig
from llmlib.gpt2 import from_gpt2

torch.set_num_threads(1)


def tiny(vocab_size: int = 4) -> GPT:
    config = GPTConfig(vocab_size, context_length=8, d_model=8, n_layers=2, n_heads=2, init_std=0.8)
    return GPT(config, generator=3)


@torch.no_grad()
def log_probability(model: GPT, text: torch.Tensor, start: int) -> float:
    logs = model(text[None, :-1])[0].log_softmax(dim=-1)
    return float(logs.gather(-1, text[1:, None])[start - 1 :].sum())


def test_a_step_by_hand():
    scores = torch.tensor([-1.0, -2.0])
    logs = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05]]).log()
    beams, tokens, totals = beam_step(scores, logs, 3)
    assert beams.tolist() == [0, 1, 0] and tokens.tolist() == [0, 1, 1]
    torch.testing.assert_close(totals, torch.tensor([0.7, 0.9, 0.2]).log() + torch.tensor([-1.0, -2.0, -1.0]))
    assert len(beam_step(scores, logs, 10)[0]) == 6
    with pytest.raises(ValueError, match="at least 1 wide: got 0"):
        beam_step(scores, logs, 0)


def test_a_beam_as_wide_as_all_texts_finds_the_best_of_them():
    model, start = tiny(), torch.tensor([1, 2])
    texts = [torch.tensor([1, 2, *rest]) for rest in itertools.product(range(4), repeat=4)]
    best = sorted(texts, key=lambda text: -log_probability(model, text, 2))
    found = beam_search(model, start, 4, width=64)
    for (text, score), wanted in zip(found[:10], best, strict=False):
        assert torch.equal(text, wanted)
        assert score == pytest.approx(log_probability(model, wanted, 2), abs=1e-5)


def test_a_wider_beam_can_only_be_better_here_and_one_is_greedy():
    model, start = tiny(9), torch.tensor([1, 2])
    scores = []
    for width in (1, 2, 4, 8):
        text, score = beam_search(model, start, 5, width=width)[0]
        assert score == pytest.approx(log_probability(model, text, 2), abs=1e-5)
        scores.append(score)
    assert scores == sorted(scores)
    greedy = generate(model, start[None], 5, temperature=0)[0]
    assert torch.equal(beam_search(model, start, 5, width=1)[0][0], greedy)


def test_the_search_can_beat_greed():
    """At some seed the likeliest first token leads to a worse text: that is why one searches."""
    for seed in range(20):
        config = GPTConfig(6, context_length=8, d_model=8, n_layers=1, n_heads=2, init_std=1.0)
        model, start = GPT(config, generator=seed), torch.tensor([0])
        greedy = generate(model, start[None], 4, temperature=0)[0]
        text, score = beam_search(model, start, 4, width=6)[0]
        if not torch.equal(text, greedy):
            assert score > log_probability(model, greedy, 1)
            return
    pytest.fail("no model of twenty in which greed loses")


@pytest.mark.parametrize("end_token", [None, 3])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_the_beams_are_those_of_transformers(end_token, length_penalty, width):
    ended = []
    for seed in range(12):
        torch.manual_seed(seed)
        shape = {"vocab_size": 5, "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3}
        special = {"bos_token_id": 0, "eos_token_id": end_token, "pad_token_id": 0}
        theirs = GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.3, **special)).eval()
        expected = theirs.generate(
            torch.tensor([[1, 2]]),
            max_new_tokens=6,
            num_beams=width,
            do_sample=False,
            length_penalty=length_penalty,
            num_return_sequences=width,
            early_stopping="never",
            output_scores=True,
            return_dict_in_generate=True,
        )
        model = from_gpt2(theirs.state_dict(), n_heads=3)
        settings = {"width": width, "end_token": end_token, "length_penalty": length_penalty}
        found = beam_search(model, torch.tensor([1, 2]), 6, **settings)
        for (text, score), row, rank in zip(
            found, expected.sequences, expected.sequences_scores, strict=True
        ):
            assert text.tolist() == row[: len(text)].tolist()
            assert score / (len(text) - 2) ** length_penalty == pytest.approx(float(rank), abs=1e-4)
        ended.append(sum(int(text[-1]) == end_token for text, _ in found))
    # The search met both: beams whose texts had all ended (if no mean is asked for), and texts that went on.
    assert end_token is None or (max(ended) >= (width if length_penalty == 0 else 1) and min(ended) < width)


class Ending(nn.Module):
    """A model that is nearly sure of the end, whatever stands before it. It counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(context_length=8)
        self.asked = 0

    def forward(self, tokens):
        self.asked += 1
        return torch.tensor([0.05, 0.05, 0.9]).log().expand(*tokens.shape, 3)


def test_the_search_is_over_when_no_running_text_can_win():
    for width, asked in ((1, 1), (2, 2), (3, 2)):  # one end, then two more of five hundredths
        model = Ending()
        found = beam_search(model, torch.tensor([0]), 7, width=width, end_token=2)
        assert model.asked == asked and all(int(text[-1]) == 2 for text, _ in found)
    model = Ending()  # the mean per token may still rise, so that the search goes on
    beam_search(model, torch.tensor([0]), 7, width=1, end_token=2, length_penalty=1.0)
    assert model.asked == 7


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(ValueError, match="one text of at least one token"):
        beam_search(tiny(), torch.tensor([[1]]), 3, width=2)
    with pytest.raises(ValueError, match="at least 1 wide"):
        beam_search(tiny(), torch.tensor([1]), 3, width=0)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_in_its_mode(training):
    model = tiny().train(training)
    beam_search(model, torch.tensor([1]), 2, width=2)
    assert model.training is training
