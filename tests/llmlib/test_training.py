"""Training: every part against PyTorch's own or a hand computation, and resuming bit for bit."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import os
import shutil
import signal
import subprocess
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llmlib import checkpoints, precision, training
from llmlib.clipping import clip_gradients
from llmlib.gpt import GPT, GPTConfig
from llmlib.optimizers import make_optimizer, parameter_groups
from llmlib.schedule import cosine_schedule
from llmlib.training import (
    Checkpoint,
    CheckpointError,
    Record,
    TrainingConfig,
    estimate_loss,
    evaluate,
    train,
)

CONTEXT = 8
SHAPE = GPTConfig(vocab_size=11, context_length=CONTEXT, d_model=16, n_layers=2, n_heads=2, dropout=0.1)
CONFIG = TrainingConfig(
    steps=12, batch_size=3, warmup_steps=2, evaluation_interval=5, evaluation_blocks=4, seed=3
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def text(length: int = 300, seed: int = 0) -> torch.Tensor:
    return torch.randint(SHAPE.vocab_size, (length,), generator=torch.Generator().manual_seed(seed))


def run(folder: Path | None = None, config: TrainingConfig = CONFIG, **options):
    model = GPT(SHAPE, 1)
    path = None if folder is None else folder / "checkpoint.pt"
    records = train(
        model,
        text(),
        text(90, seed=1),
        config,
        context_length=CONTEXT,
        checkpoint=path,
        progress=False,
        **options,
    )
    return model, records


def equal_weights(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# The schedule


def test_the_schedule_at_its_corners():
    rate = {"steps": 100, "warmup_steps": 10, "learning_rate": 1.0, "min_learning_rate": 0.1}
    assert cosine_schedule(0, **rate) == pytest.approx(1 / 11)
    assert cosine_schedule(9, **rate) == pytest.approx(10 / 11)
    assert cosine_schedule(10, **rate) == pytest.approx(1.0)
    assert cosine_schedule(55, **rate) == pytest.approx(0.55)
    assert cosine_schedule(100, **rate) == cosine_schedule(10_000, **rate) == 0.1


def test_the_schedule_falls_like_pytorchs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=1e-4)
    for step in range(51):
        ours = cosine_schedule(step, steps=50, warmup_steps=0, learning_rate=3e-3, min_learning_rate=1e-4)
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_a_schedule_that_is_all_warm_up():
    rates = [
        cosine_schedule(step, steps=5, warmup_steps=10, learning_rate=1.0, min_learning_rate=0.0)
        for step in range(5)
    ]
    assert rates == sorted(rates)
    assert rates[0] > 0


# Clipping


def gradients(scale: float, dtype=torch.float32) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in ((3, 4), (5,), ())]
    for parameter in parameters:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return [*parameters, nn.Parameter(torch.zeros(2))]  # one that got no gradient


@pytest.mark.parametrize("scale", [1e-4, 0.2, 1.0, 1e4])
@pytest.mark.parametrize("max_norm", [0.5, 1.0, 7.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clipping_is_pytorchs(scale, max_norm, dtype):
    ours, theirs = gradients(scale, dtype), gradients(scale, dtype)
    norm = clip_gradients(ours, max_norm)
    expected = nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(norm, expected)
    for one, two in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    assert ours[-1].grad is None


def test_clipping_takes_an_iterator_and_nothing():
    parameters = gradients(100.0)
    clip_gradients(iter(parameters), 1.0)
    assert sum(p.grad.square().sum() for p in parameters[:-1]).sqrt() == pytest.approx(1.0, rel=1e-5)
    assert clip_gradients([nn.Parameter(torch.zeros(2))], 1.0) == 0


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_clipping_to_nothing_is_refused(max_norm):
    with pytest.raises(ValueError, match=rf"max_norm must be positive: got {max_norm}"):
        clip_gradients(gradients(1.0), max_norm)


# AdamW


def test_only_matrices_decay_and_every_weight_is_trained_once():
    model = GPT(SHAPE, 0)
    decayed, kept = parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in kept["params"]} == {1}
    both = [id(p) for p in decayed["params"] + kept["params"]]
    assert sorted(both) == sorted(id(p) for p in model.parameters())
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert [group["params"] for group in parameter_groups(frozen, 0.1)] == [[], []]


def test_a_step_is_adamw_by_hand():
    """Two steps of algorithm 2 in Loshchilov and Hutter, written out, on a matrix and a vector."""
    model = nn.Linear(3, 2).double()
    config = TrainingConfig(learning_rate=0.02, min_learning_rate=0.0, weight_decay=0.3, beta1=0.8, beta2=0.9)
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in expected.items()}
    second = {name: torch.zeros_like(p) for name, p in expected.items()}
    optimizer = make_optimizer(model, config)
    for step in (1, 2):
        for number, (name, parameter) in enumerate(model.named_parameters()):
            gradient = torch.full_like(parameter, 0.5 * step + number)
            parameter.grad = gradient
            first[name] = 0.8 * first[name] + 0.2 * gradient
            second[name] = 0.9 * second[name] + 0.1 * gradient**2
            update = first[name] / (1 - 0.8**step) / ((second[name] / (1 - 0.9**step)).sqrt() + 1e-8)
            decay = 0.3 if name == "weight" else 0.0
            expected[name] = expected[name] - 0.02 * (update + decay * expected[name])
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1: got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1: got 0"),
        ({"accumulation": 0}, "accumulation must be at least 1: got 0"),
        ({"accumulation": 4}, "divides the batch, so it must be at most 3: got 4"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0: got -1"),
        ({"evaluation_interval": 0}, "evaluation_interval must be at least 1: got 0"),
        ({"min_learning_rate": 1.0}, "between 0 and the learning rate: got 1.0 and 0.001"),
    ],
)
def test_a_configuration_that_makes_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


# Evaluation


@pytest.mark.parametrize("length", [2, 8, 9, 10, 65, 90, 64 * CONTEXT + 5])
def test_evaluation_predicts_every_token_but_the_first_once(length):
    model, tokens = GPT(SHAPE, 0), text(length)
    model.train()
    before = model.training
    loss = evaluate(model, tokens, CONTEXT)
    assert model.training == before

    model.eval()
    surprises = []
    for place in range(1, length):  # one by one: what can be seen is what is in its block
        seen = tokens[(place - 1) // CONTEXT * CONTEXT : place]
        with torch.no_grad():
            surprises.append(-F.log_softmax(model(seen[None])[0, -1].double(), dim=-1)[tokens[place]])
    assert loss == pytest.approx(float(torch.stack(surprises).mean()), rel=1e-5)


def test_an_estimate_takes_blocks_from_everywhere():
    """A text whose first half is easy: an estimate that looked only there would be far too low."""
    model = GPT(SHAPE, 0)
    tokens = torch.cat([torch.zeros(400, dtype=torch.int64), text(400)])
    with torch.no_grad():
        model.token_embedding.weight[0] *= 30
    whole, half = evaluate(model, tokens, CONTEXT), evaluate(model, tokens[:400], CONTEXT)
    assert abs(half - whole) > 0.2
    assert estimate_loss(model, tokens, CONTEXT, 40) == pytest.approx(whole, abs=0.1)
    assert estimate_loss(model, tokens, CONTEXT, 40) == estimate_loss(model, tokens, CONTEXT, 40)
    assert estimate_loss(model, tokens, CONTEXT, 10_000) == whole


def test_nothing_to_evaluate():
    with pytest.raises(ValueError, match=r"at least two tokens: got 1"):
        evaluate(GPT(SHAPE, 0), text(1), CONTEXT)


# The loop


def test_training_learns_what_is_there_to_learn():
    """Each token follows from the one before it, so the loss can reach 0."""
    model = GPT(dataclasses.replace(SHAPE, dropout=0.0), 0)
    cycle = torch.arange(600) % SHAPE.vocab_size
    config = TrainingConfig(
        steps=120,
        batch_size=8,
        learning_rate=1e-2,
        min_learning_rate=1e-3,
        warmup_steps=5,
        evaluation_interval=40,
    )
    records = train(model, cycle, cycle[:100], config, context_length=CONTEXT, progress=False)
    assert [record.step for record in records] == [40, 80, 120]
    assert records[-1].validation_loss < 0.1 < records[0].validation_loss
    assert records[-1].train_loss < 0.1 < 0.5 < records[0].train_loss


def test_the_loop_is_the_steps_written_out(tmp_path):
    config = dataclasses.replace(CONFIG, steps=3, evaluation_interval=3)
    shape = dataclasses.replace(SHAPE, dropout=0.0)
    trained, reference = GPT(shape, 1), GPT(shape, 1)
    (record,) = train(trained, text(), text(90, 1), config, context_length=CONTEXT, progress=False)

    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in reference.parameters() if p.dim() > 1], "weight_decay": 0.1},
            {"params": [p for p in reference.parameters() if p.dim() == 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.99),
    )
    losses = []
    for rate in (1e-3 / 3, 2e-3 / 3, 1e-3):
        starts = torch.randint(300 - CONTEXT, (3,), generator=generator).tolist()
        x = torch.stack([text()[start : start + CONTEXT] for start in starts])
        y = torch.stack([text()[start + 1 : start + CONTEXT + 1] for start in starts])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = F.cross_entropy(reference(x).transpose(1, 2), y)
        loss.backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    for one, two in zip(trained.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    assert record.train_loss == pytest.approx(sum(losses) / 3, rel=1e-5)


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(("asked", "product"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_products_are_in_the_precision_asked_for_and_all_else_in_float32(
    monkeypatch, accumulation, asked, product
):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: True)  # here it is only slower
    made, seen, losses = training.make_optimizer, [], []
    optimizers = []
    monkeypatch.setattr(training, "make_optimizer", lambda *a: optimizers.append(made(*a)) or optimizers[-1])
    step = training._step
    monkeypatch.setattr(training, "_step", lambda *a: losses.append(step(*a)) or losses[-1])
    model = GPT(SHAPE, 1)
    for part in model.modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(lambda m, x, y: seen.append(y.dtype) if m.training else None)
    config = dataclasses.replace(CONFIG, steps=3, precision=asked, accumulation=accumulation)
    train(model, text(), text(90, 1), config, context_length=CONTEXT, progress=False)
    assert set(seen) == {product}
    assert {loss.dtype for loss in losses} == {torch.float32}
    assert {p.dtype for p in model.parameters()} | {p.grad.dtype for p in model.parameters()} == {
        torch.float32
    }
    averages = [v for state in optimizers[0].state.values() for v in state.values()]
    assert len(averages) > 10 and {v.dtype for v in averages} == {torch.float32}


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_a_batch_in_parts_trains_like_the_whole_batch(parts):
    """With 5 windows in 2 or 3 parts the parts are not equally large."""
    config = dataclasses.replace(CONFIG, batch_size=5)
    shape = dataclasses.replace(SHAPE, dropout=0.0)
    models = []
    for accumulation in (1, parts):
        model = GPT(shape, 1).double()
        one = dataclasses.replace(config, accumulation=accumulation, clip=0.05)
        records = train(model, text(), text(90, 1), one, context_length=CONTEXT, progress=False)
        models.append((model, records))
    (whole, expected), (divided, records) = models
    for one, two in zip(whole.parameters(), divided.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)  # the loss is computed in float32
    assert [r.step for r in records] == [r.step for r in expected]
    assert records[-1].train_loss == pytest.approx(expected[-1].train_loss, rel=1e-5)


def test_each_part_is_seen_alone():
    model, seen = GPT(SHAPE, 1), []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(len(arguments[0])))
    config = dataclasses.replace(CONFIG, steps=1, batch_size=5, accumulation=2, evaluation_blocks=4)
    train(model, text(), text(90, 1), config, context_length=CONTEXT, progress=False)
    assert seen[:2] == [3, 2]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, records = run()
    again, same_records = run()
    other, _ = run(config=dataclasses.replace(CONFIG, seed=4))
    assert equal_weights(first, again)
    assert records == same_records
    assert not equal_weights(first, other)


def test_training_leaves_the_global_generator_and_the_signals_alone():
    state, handler = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    run()
    assert torch.equal(torch.get_rng_state(), state)
    assert signal.getsignal(signal.SIGINT) is handler


def test_looking_more_often_changes_nothing():
    rarely, _ = run()
    often, records = run(config=dataclasses.replace(CONFIG, evaluation_interval=1))
    assert equal_weights(rarely, often)
    assert len(records) == CONFIG.steps


def test_records_are_handed_out_as_they_come():
    seen = []
    _, records = run(on_record=seen.append)
    assert [record.step for record in records] == [5, 10, 12]
    assert tuple(seen) == records


def interrupt_at(step: int):
    """Interrupt from within the forward pass of this step, as Ctrl-C does: in its middle."""
    calls = []

    def hook(module, arguments):
        if module.training:
            calls.append(None)
            if len(calls) == step:
                signal.raise_signal(signal.SIGINT)

    return hook


@pytest.mark.parametrize("step", [1, 4, 5, 7, 11])
def test_interrupted_and_resumed_is_the_same_as_never_stopped(tmp_path, step):
    expected, expected_records = run()

    model = GPT(SHAPE, 1)
    model.register_forward_pre_hook(interrupt_at(step))
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(
        KeyboardInterrupt, match=rf"stopped after step {step} of 12 and saved in .*checkpoint.pt"
    ):
        train(model, text(), text(90, 1), CONFIG, context_length=CONTEXT, checkpoint=path, progress=False)
    torch.rand(5)  # other random draws in between
    checkpoint = Checkpoint.load(path)
    assert checkpoint.step == step
    fresh = GPT(SHAPE, 99)
    records = train(
        fresh, text(), text(90, 1), CONFIG, context_length=CONTEXT, resume=checkpoint, progress=False
    )
    assert equal_weights(fresh, expected)
    assert records == expected_records


@pytest.mark.parametrize(
    "change", [{}, {"accumulation": 2}, {"precision": "bfloat16"}, {"optimizer": "muon"}]
)
def test_every_checkpoint_leads_to_the_same_end(tmp_path, monkeypatch, change):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: True)  # slower, and the same steps
    config = dataclasses.replace(CONFIG, **change)
    expected, expected_records = run(config=config)
    kept = {}

    def keep(record: Record) -> None:
        kept[record.step] = (tmp_path / "checkpoint.pt").read_bytes()

    run(tmp_path, config, on_record=keep, about={"corpus": "test"})
    assert sorted(kept) == [5, 10, 12]
    for step, content in kept.items():
        (tmp_path / "old.pt").write_bytes(content)
        checkpoint = Checkpoint.load(tmp_path / "old.pt")
        assert (checkpoint.step, checkpoint.about) == (step, {"corpus": "test"})
        model, records = run(config=config, resume=checkpoint)
        assert equal_weights(model, expected)
        assert records == expected_records


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_checkpoint_can_be_resumed_more_than_once(tmp_path, optimizer):
    """A run that goes on must not write into the checkpoint that it began from."""
    config = dataclasses.replace(CONFIG, optimizer=optimizer, clip=0.0)
    kept = {}

    def keep(record: Record) -> None:
        kept.setdefault(record.step, Checkpoint.load(tmp_path / "checkpoint.pt"))

    expected, expected_records = run(tmp_path, config, on_record=keep)
    before = copy.deepcopy(kept[5])
    for _ in range(2):
        model, records = run(config=config, resume=kept[5])
        assert equal_weights(model, expected)
        assert records == expected_records
    kept[5].save(tmp_path / "again.pt")
    before.save(tmp_path / "before.pt")
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "before.pt").read_bytes()


def without(checkpoint: Checkpoint, what: str) -> Checkpoint:
    """A checkpoint in which one thing was forgotten."""
    other = torch.Generator().manual_seed(99).get_state()
    fresh = make_optimizer(GPT(SHAPE, 1), CONFIG).state_dict()
    change = {
        "averages": {"optimizer": {**checkpoint.optimizer, "state": fresh["state"]}},
        "batches": {"generator": other},
        "dropout": {"random": {"cpu": other}},
        "step": {"step": 0},
        "weights": {"model": GPT(SHAPE, 2).state_dict()},
        "losses": {"losses": ()},
        "records": {"records": ()},
    }[what]
    return dataclasses.replace(checkpoint, **change)


@pytest.mark.parametrize("what", ["averages", "batches", "dropout", "step", "weights", "losses", "records"])
def test_nothing_in_a_checkpoint_is_kept_for_nothing(tmp_path, what):
    """What the comparison bit for bit would not notice need not be saved; and it notices each of these."""
    expected, expected_records = run()
    model = GPT(SHAPE, 1)
    model.register_forward_pre_hook(interrupt_at(7))
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(model, text(), text(90, 1), CONFIG, context_length=CONTEXT, checkpoint=path, progress=False)
    checkpoint = without(Checkpoint.load(path), what)
    resumed, records = run(resume=checkpoint)
    same = equal_weights(resumed, expected), records == expected_records
    assert same == ((True, False) if what in ("losses", "records") else (False, False))


def by_the_clock(monkeypatch, resume=None, stop_at: int | None = None, path: Path | None = None):
    """Train for twenty seconds of a clock that only the steps move: the first takes 1 s, the second 2 s."""
    clock = {"now": 1000.0 if resume is None else 5.0}  # another day, another clock
    step = {"number": 0 if resume is None else resume.step}
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
    model = GPT(SHAPE, 1)
    rates = []

    def tick(module, arguments):
        if module.training:
            clock["now"] += 1 + step["number"] % 2
            step["number"] += 1
            if step["number"] == stop_at:
                signal.raise_signal(signal.SIGINT)

    model.register_forward_pre_hook(tick)
    real = training.cosine_schedule
    monkeypatch.setattr(
        training, "cosine_schedule", lambda at, **options: rates.append(real(at, **options)) or rates[-1]
    )
    config = dataclasses.replace(CONFIG, seconds=20.0)
    options = {"context_length": CONTEXT, "checkpoint": path, "resume": resume, "progress": False}
    try:
        return model, train(model, text(), text(90, 1), config, **options), rates
    except KeyboardInterrupt:
        return model, (), rates
    finally:
        monkeypatch.undo()


@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_a_run_by_the_clock_goes_on_exactly_where_the_clock_stood(tmp_path, monkeypatch, step):
    """The clock is an input of such a run. The same clock gives the same weights, bit for bit."""
    expected, expected_records, rates = by_the_clock(monkeypatch)
    path = tmp_path / "checkpoint.pt"
    _, _, first_rates = by_the_clock(monkeypatch, stop_at=step, path=path)
    checkpoint = Checkpoint.load(path)
    assert (checkpoint.step, checkpoint.seconds) == (step, sum(1 + n % 2 for n in range(step)))
    model, records, more_rates = by_the_clock(monkeypatch, resume=checkpoint)
    assert first_rates + more_rates == rates and len(set(rates)) == len(rates)
    assert records == expected_records
    assert equal_weights(model, expected)


def test_a_run_by_the_clock_counts_the_making_of_its_optimizer(monkeypatch):
    made = training.make_optimizer
    now = [0.0]

    def slowly(model, config):
        now[0] += 30.0
        return made(model, config)

    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(training, "make_optimizer", slowly)
    config = dataclasses.replace(CONFIG, seconds=20.0)
    records = train(GPT(SHAPE, 1), text(), text(90, 1), config, context_length=CONTEXT, progress=False)
    assert [record.step for record in records] == [1]  # no time is left, and a run is at least one step


def test_an_interrupt_without_a_checkpoint_says_only_how_far_it_came():
    model = GPT(SHAPE, 1)
    model.register_forward_pre_hook(interrupt_at(2))
    with pytest.raises(KeyboardInterrupt) as caught:
        train(model, text(), text(90, 1), CONFIG, context_length=CONTEXT, progress=False)
    assert str(caught.value) == "stopped after step 2 of 12"


def test_a_second_interrupt_stops_at_once(tmp_path):
    model = GPT(SHAPE, 1)

    def twice(module, arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    model.register_forward_pre_hook(twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(model, text(), text(90, 1), CONFIG, context_length=CONTEXT, progress=False)
    assert str(caught.value) == ""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_in_a_thread_needs_no_signals():
    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert equal_weights(results[0][0], run()[0])


def test_resuming_with_another_configuration_is_refused(tmp_path):
    run(tmp_path)
    checkpoint = Checkpoint.load(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"the checkpoint was made with .*steps=12.*: got .*steps=13"):
        run(config=dataclasses.replace(CONFIG, steps=13), resume=checkpoint)


def test_a_text_that_is_too_short():
    with pytest.raises(ValueError, match=r"a context of 8 tokens needs a text of at least 9: got 5"):
        train(GPT(SHAPE, 1), text(5), text(90), CONFIG, context_length=CONTEXT, progress=False)


def test_the_progress_bar_shows_the_loss_and_the_time_left(capsys):
    train(
        GPT(SHAPE, 1),
        text(),
        text(90),
        dataclasses.replace(CONFIG, steps=40),
        context_length=CONTEXT,
    )
    bar = capsys.readouterr().err
    assert "40/40" in bar
    assert "loss 2." in bar


# Checkpoints


def a_checkpoint(step: int = 0) -> Checkpoint:
    model = GPT(SHAPE, step)
    optimizer = make_optimizer(model, CONFIG)
    generator = torch.Generator().manual_seed(step)
    random = {"cpu": torch.get_rng_state()}
    return Checkpoint(
        step, CONFIG, model.state_dict(), optimizer.state_dict(), generator.get_state(), random,
        records=(Record(1, 2.0, 3.0),), losses=(0.1, 0.2), about={"corpus": "stories", "n": [1, 2]},
    )  # fmt: skip


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    saved = a_checkpoint(3)
    saved.save(tmp_path / "new" / "folder" / "run.pt")
    loaded = Checkpoint.load(tmp_path / "new" / "folder" / "run.pt")
    for name in ("step", "config", "records", "losses", "about"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert all(torch.equal(loaded.model[name], saved.model[name]) for name in saved.model)
    assert torch.equal(loaded.generator, saved.generator)
    assert [file.name for file in (tmp_path / "new" / "folder").iterdir()] == ["run.pt"]


@pytest.mark.parametrize("when", ["write", "fsync", "replace"])
def test_on_a_full_disk_the_one_before_stays_whole(tmp_path, monkeypatch, when):
    path = tmp_path / "run.pt"
    a_checkpoint(1).save(path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if when == "write":
        real = open

        class Half:
            def __init__(self, *arguments, **options):
                self.file = real(*arguments, **options)

            def __enter__(self):
                self.file.write(b"half")
                return SimpleNamespace(write=full)

            def __exit__(self, *_):
                self.file.close()

        monkeypatch.setattr(checkpoints, "open", Half, raising=False)
    else:
        monkeypatch.setattr(os, when, full)
    with pytest.raises(CheckpointError) as caught:
        a_checkpoint(2).save(path)
    assert str(caught.value) == (
        f"The checkpoint {path} cannot be written: No space left on device. What was there before is whole."
    )
    monkeypatch.undo()
    assert Checkpoint.load(path).step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_a_file_that_may_not_grow_leaves_the_one_before_whole(tmp_path):
    """No pretence: the system itself refuses the write in its middle, as a quota or a full disk does."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "run.pt"
    a_checkpoint(1).save(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written: .+What was there before is whole"):
            a_checkpoint(2).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Checkpoint.load(path).step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_on_a_disk_that_is_really_full(tmp_path):
    """A file system of half a megabyte, and a training that saves into it until it is full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    options = (mount, "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk))
    if mount is None or os.geteuid() != 0 or subprocess.run(options, capture_output=True).returncode != 0:
        pytest.skip("a small file system can be mounted only by root, where the system allows it")
    try:
        kept = []

        def fill(record: Record) -> None:
            if record.step == 5:
                kept.append((disk / "checkpoint.pt").read_bytes())
                # Room for the checkpoint that is there, and not for a second one beside it.
                (disk / "other").write_bytes(bytes(512 * 1024 - len(kept[0]) - 16 * 1024))

        with pytest.raises(
            CheckpointError, match=r"No space left on device\. What was there before is whole"
        ):
            run(disk, on_record=fill)
        assert (disk / "checkpoint.pt").read_bytes() == kept[0]
        checkpoint = Checkpoint.load(disk / "checkpoint.pt")
        assert sorted(file.name for file in disk.iterdir()) == ["checkpoint.pt", "other"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    # What is lost is what came after that checkpoint, and it is made up for.
    assert checkpoint.step == 5
    assert equal_weights(run(resume=checkpoint)[0], run()[0])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written: "):
        a_checkpoint().save(tmp_path / "file" / "run.pt")
    with pytest.raises(CheckpointError, match=r"cannot be written: "):
        run(tmp_path / "file")  # found out before the training


def test_any_damage_is_noticed(tmp_path):
    path = tmp_path / "run.pt"
    a_checkpoint().save(path)
    whole = path.read_bytes()
    message = "run.pt is damaged or is not a checkpoint. Delete it"
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=message):
            Checkpoint.load(path)
    # One bit, in the middle of every tensor: PyTorch alone would read it and say nothing.
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        places = [entry.header_offset + 200 for entry in archive.infolist() if entry.file_size > 300]
    assert len(places) > 10
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=message):
            Checkpoint.load(path)


def test_damage_with_another_face(tmp_path):
    """A foreign archive that cannot be unpacked, and a length in the directory that overflows."""
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("letter.txt", "Dear reader, " * 50)
    packed = bytearray((tmp_path / "packed.pt").read_bytes())
    packed[30 + len("letter.txt")] = 0xFF  # the first byte that is packed
    (tmp_path / "packed.pt").write_bytes(packed)
    with pytest.raises(CheckpointError, match=r"packed.pt is damaged or is not a checkpoint"):
        Checkpoint.load(tmp_path / "packed.pt")
    a_checkpoint().save(tmp_path / "run.pt")
    whole = (tmp_path / "run.pt").read_bytes()
    for place in range(whole.rindex(b"PK\x06\x06"), len(whole)):  # the end of the directory, byte by byte
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        (tmp_path / "run.pt").write_bytes(damaged)
        try:
            assert Checkpoint.load(tmp_path / "run.pt").step == a_checkpoint().step  # a date, or a comment
        except CheckpointError as error:
            assert "run.pt is damaged or is not a checkpoint" in str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {}},
        {"model": GPT(dataclasses.replace(SHAPE, d_model=2 * SHAPE.d_model), 1).state_dict()},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"random": {}},
    ],
    ids=["no weights", "another width", "no groups", "no generators"],
)
def test_a_checkpoint_of_another_model_is_refused(change):
    with pytest.raises(CheckpointError, match=r"belongs to another model, or to another version of llmlib"):
        run(resume=dataclasses.replace(a_checkpoint(), **change))


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=rf"There is no checkpoint at {tmp_path}/none.pt"):
        Checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match=r"cannot be read: "):
        Checkpoint.load(tmp_path)
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"was not written by llmlib: it cannot be resumed"):
        Checkpoint.load(tmp_path / "other.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "code.pt")  # a pickle that would run code
    with pytest.raises(CheckpointError, match=r"is damaged or is not a checkpoint"):
        Checkpoint.load(tmp_path / "code.pt")
    checkpoints.save_values({"step": 1, "config": {"steps": 3, "flavour": "vanilla"}}, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match=r"comes from another version of llmlib"):
        Checkpoint.load(tmp_path / "old.pt")


@pytest.mark.gpu
def test_training_and_resuming_on_a_gpu(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")

    def on_gpu(**options):
        model = GPT(SHAPE, 1).cuda()
        arguments = (model, text(), text(90, 1), CONFIG)
        return model, train(*arguments, context_length=CONTEXT, progress=False, **options)

    state = torch.cuda.get_rng_state()
    expected, records = on_gpu()
    assert torch.equal(torch.cuda.get_rng_state(), state)
    kept = {}
    path = tmp_path / "run.pt"
    on_gpu(checkpoint=path, on_record=lambda record: kept.setdefault(record.step, Checkpoint.load(path)))
    resumed, again = on_gpu(resume=kept[5])
    for one, two in zip(resumed.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    assert again[-1].validation_loss == pytest.approx(records[-1].validation_loss, rel=1e-4)
