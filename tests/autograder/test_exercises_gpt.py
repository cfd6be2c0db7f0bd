"""What is particular to chapter 6: the prediction, the recipe, the bug hunt, the mutants, partial points."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from autograder.exercises import find
from autograder.exercises.gpt import CHAPTER, expose_mutants, overfit_one_batch, predict_first_loss
from autograder.exercises.gpt.repair_gpt import STARTER, SmallGPT
from autograder.grading import grade_callable
from llmlib.gpt import GPT, GPTConfig

torch.set_num_threads(1)

# --- Partial points: a fault costs what depends on it, and no more


@pytest.mark.parametrize(
    ("number", "misconception", "points"),
    [
        ("6.1", "no-output-matrix", 0),
        ("6.1", "never-biases", 3),
        ("6.1", "width-ignored", 4),
        ("6.1", "head-never-counted", 4),
        ("6.2", "depth-forgotten", 2),
        ("6.2", "biases-drawn", 3),
        ("6.2", "always-two-hundredths", 0),
        ("6.3", "not-normed", 0),
        ("6.3", "backwards", 1),
        ("6.3", "no-mask", 2),
        ("6.3", "not-dropped", 6),
        ("6.3", "waves-unscaled", 6),
        ("6.3", "detached", 6),
        ("6.6", "without-biases", 0),
        ("6.6", "key-first", 1),
        ("6.6", "square-not-turned", 2),
        ("6.7", "nothing-repaired", 0),
        ("6.7", "only-the-norm", 1),
        ("6.7", "not-the-future", 3),
        ("6.7", "not-the-norm", 0),
    ],
)
def test_partial_points(number, misconception, points):
    exercise = find(number)
    answer = next(m.answer for m in exercise.misconceptions if m.id == misconception)
    assert grade_callable(exercise, answer).points == points


def test_the_course_s_own_forward_is_refused_under_another_name():
    class Borrowed(GPT):
        def forward(self, tokens):
            return super().forward(tokens)

    report = grade_callable(find("6.3"), Borrowed)
    assert report.points == 0 and "course's own solution" in report.reason


# --- 6.4, the prediction


def _predict(value, confidence=0.5):
    return grade_callable(find("6.4"), {"value": value, "confidence": confidence})


def test_the_truth_is_the_largest_logit_of_a_normal_draw():
    """Without any model: the largest of 65 normal numbers of spread 16, less the right one's 0."""
    generator = torch.Generator().manual_seed(0)
    logits = 16 * torch.randn(20_000, 65, generator=generator)
    expected = float(torch.logsumexp(logits, dim=-1).mean())
    assert abs(predict_first_loss.first_loss() - expected) < 2


def test_a_prediction_is_right_within_six():
    truth = predict_first_loss.first_loss()
    assert _predict(truth - 5.9).status == _predict(truth + 5.9).status == "passed"
    assert _predict(truth - 6.1).status == _predict(truth + 6.1).status == "failed"
    assert _predict(torch.tensor(truth)).status == "passed"


# --- 6.5, the recipe

GOOD = {"learning_rate": 0.01, "init_std": 0.1, "d_model": 64, "n_layers": 1, "steps": 15}


def test_the_usual_values_of_large_models_earn_nothing():
    usual = {"learning_rate": 0.001, "init_std": 0.02, "d_model": 64, "n_layers": 4, "steps": 15}
    report = grade_callable(find("6.5"), usual)
    assert (report.status, report.points) == ("failed", 0)
    assert "ends at 1." in report.reason


def test_half_a_recipe_earns_the_first_point():
    report = grade_callable(find("6.5"), {**GOOD, "init_std": 0.06, "d_model": 32, "n_layers": 2})
    assert report.points == 1 and "below 0.1 is asked for" in report.reason


def test_a_recipe_that_explodes_is_a_failed_recipe():
    report = grade_callable(find("6.5"), {**GOOD, "learning_rate": 10.0, "init_std": 10.0})
    assert (report.status, report.points) == ("failed", 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 16}, "steps should lie between 1 and 15: it is 16"),
        ({"steps": 15.0}, "steps should be a whole number"),
        ({"d_model": 30}, "multiple of the 4 heads: it is 30"),
        ({"d_model": 128}, "d_model should lie between 4 and 64"),
        ({"learning_rate": 0}, "learning_rate should lie between"),
        ({"learning_rate": float("nan")}, "learning_rate should be a number"),
        ({"init_std": "large"}, "init_std should be a number"),
        ({"momentum": 0.9}, "unknown key 'momentum'"),
    ],
)
def test_a_recipe_outside_its_limits_is_told_so(change, words):
    report = grade_callable(find("6.5"), {**GOOD, **change})
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason


def test_a_recipe_needs_every_key():
    report = grade_callable(find("6.5"), {name: v for name, v in GOOD.items() if name != "steps"})
    assert "no 'steps'" in report.reason


def test_every_token_of_the_batch_can_be_known_from_its_past():
    for seed in range(50):
        tokens = overfit_one_batch.draw_batch(torch.Generator().manual_seed(seed))
        assert len(set(tokens[:, 0].tolist())) == len(tokens)


# --- 6.7, the bug hunt


def _defined(source):
    namespace = {}
    exec(CHAPTER.imports + source, namespace)
    return namespace["SmallGPT"]


def test_the_starter_runs_gives_right_shapes_and_is_wrong():
    starter = _defined(STARTER)
    shape = {"vocab_size": 7, "context_length": 6, "d_model": 4, "n_layers": 2, "n_heads": 2}
    model, right = starter(**shape), SmallGPT(**shape)
    right.load_state_dict(model.state_dict())
    tokens = torch.tensor([[0, 3, 2, 6], [1, 1, 5, 4]])
    assert model(tokens).shape == right(tokens).shape == (2, 4, 7)
    assert not torch.allclose(model(tokens), right(tokens), atol=0.05)
    report = grade_callable(find("6.7"), starter)
    assert (report.points, report.misconception.id) == (0, "nothing-repaired")


def test_the_repaired_model_is_the_course_s_gpt():
    shape = {"vocab_size": 7, "context_length": 6, "d_model": 4, "n_layers": 3, "n_heads": 2}
    gpt = GPT(GPTConfig(**shape), generator=0).double()
    small = SmallGPT(**shape).double()
    small.load_state_dict({n: w for n, w in gpt.state_dict().items() if n != "head.weight"})
    tokens = torch.tensor([[0, 3, 2, 6, 6, 1]])
    torch.testing.assert_close(small(tokens), gpt(tokens))


# --- 6.8, the mutants

SHAPE = {"vocab_size": 8, "context_length": 6, "d_model": 8, "n_layers": 3, "n_heads": 2}


def _exposed(probes):
    checks = grade_callable(find("6.8"), probes).checks
    return {check.name: check.message or "passed" for check in checks if check.name.startswith("exposes")}


def test_every_mutant_is_wrong_and_every_one_belongs_to_one_group():
    ids = [id for group in expose_mutants.GROUPS.values() for id in group]
    assert len(ids) == len(set(ids)) >= 20


def test_what_gpt_answers_is_right_on_every_probe():
    """The oracle of the mutants is the model that test_gpt2.py compares with transformers."""
    probe = expose_mutants._Probe(GPTConfig(**SHAPE), torch.tensor([[0, 3, 2], [1, 1, 7]]))
    model = GPT(GPTConfig(**SHAPE), generator=0).double()
    model.load_state_dict({**probe.weights, "head.weight": probe.weights["token_embedding.weight"]})
    unmasked = next(m for m in expose_mutants.EXPOSING.mutants["future"] if m.id == "no-mask")
    with torch.no_grad():
        torch.testing.assert_close(probe.right, model(probe.tokens))
        assert probe.exposes(unmasked)
        assert not expose_mutants._Probe(GPTConfig(**SHAPE), torch.tensor([[3]])).exposes(unmasked)


@pytest.mark.parametrize(
    ("probe", "group", "hidden"),
    [
        ({**SHAPE, "n_layers": 1, "tokens": [[3, 1, 4], [2, 6, 5]]}, "blocks that are", "wrong order"),
        ({**SHAPE, "n_heads": 1, "tokens": [[3, 1, 4], [2, 6, 5]]}, "blocks that are", "heads are merged"),
        ({**SHAPE, "tokens": [[3, 1, 4, 1, 5, 2]]}, "positions that", "last places"),
        ({**SHAPE, "tokens": [[3, 1, 4, 1]]}, "looks into", "logits of the first"),
        ({**SHAPE, "tokens": [[3, 1, 4], [2, 6, 5]]}, "rare token", "token 0"),
        ({**SHAPE, "tokens": [[3, 1, 4], [2, 6, 5]]}, "refusal", "too long"),
    ],
)
def test_what_a_probe_cannot_show_stays_alive(probe, group, hidden):
    message = next(text for name, text in _exposed([probe]).items() if group in name)
    assert "not yet" in message and hidden in message


BAD_PROBES = {
    "not a dict": ([1, 2], "should be a dict"),
    "no tokens": (SHAPE, "has no 'tokens'"),
    "an unknown key": ({**SHAPE, "tokens": [[1]], "bias": True}, "unknown key 'bias'"),
    "a size of text": (
        {**SHAPE, "d_model": "8", "tokens": [[1]]},
        "d_model of `probes[1]` should be a whole",
    ),
    "a huge size": ({**SHAPE, "d_model": 4096, "tokens": [[1]]}, "from 1 to 24"),
    "heads that do not fit": ({**SHAPE, "n_heads": 3, "tokens": [[1]]}, "multiple of n_heads: got 8 and 3"),
    "texts of different lengths": ({**SHAPE, "tokens": [[1, 2], [3]]}, "texts of equal length"),
    "one flat text": ({**SHAPE, "tokens": [1, 2]}, "shape (batch, length)"),
    "too many tokens": ({**SHAPE, "tokens": torch.zeros(9, 9, dtype=torch.long)}, "at most 64 numbers"),
    "fractions": ({**SHAPE, "tokens": [[0.5]]}, "should be whole numbers"),
    "nothing": ({**SHAPE, "tokens": [[]]}, "should be whole numbers"),
    "tokens without numbers": ({**SHAPE, "tokens": torch.ones(1, 2, device="meta").long()}, "list of texts"),
}


@pytest.mark.parametrize("bad", BAD_PROBES)
def test_an_unusable_probe_is_named_and_told_why(bad):
    probe, words = BAD_PROBES[bad]
    report = grade_callable(find("6.8"), [{**SHAPE, "tokens": [[1, 2]]}, probe])
    assert (report.status, report.points) == ("failed", 0)
    assert words in report.reason and "probes[1]" in report.reason


def test_probes_that_are_all_refused_expose_nothing():
    report = grade_callable(find("6.8"), [{**SHAPE, "tokens": [[99]]}])
    assert report.points == 0 and "write at least one that it can answer" in report.reason


# --- What the chapter claims


def test_the_first_loss_is_ln_v_and_half_the_variance_of_the_logits():
    """σ = s · √d, for models of two widths; the average of several models."""
    for d_model, s in ((64, 0.05), (256, 0.05), (64, 0.1)):
        losses = []
        for seed in range(6):
            config = GPTConfig(65, 32, d_model, n_layers=2, n_heads=4, init_std=s)
            tokens = torch.randint(0, 65, (16, 33), generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                logits = GPT(config, generator=seed)(tokens[:, :-1])
            losses.append(float(F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())))
        expected = math.log(65) + s * s * d_model / 2
        assert sum(losses) / len(losses) == pytest.approx(expected, abs=0.05), (d_model, s)


def test_a_tied_matrix_gets_the_gradients_of_both_its_uses():
    config = {"vocab_size": 11, "context_length": 8, "d_model": 12, "n_layers": 2, "n_heads": 2}
    tied = GPT(GPTConfig(**config), generator=0).double()
    untied = GPT(GPTConfig(**config, tie_weights=False), generator=1).double()
    untied.load_state_dict(tied.state_dict())
    tokens = torch.randint(0, 11, (2, 8), generator=torch.Generator().manual_seed(0))
    for model in (tied, untied):
        F.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    sides = untied.token_embedding.weight.grad + untied.head.weight.grad
    torch.testing.assert_close(tied.token_embedding.weight.grad, sides)
