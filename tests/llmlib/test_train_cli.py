"""`python -m llmlib.train` as a user meets it: what it leaves behind, what it says, and how it goes on."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from llmlib import train
from llmlib.gpt import GPT, GPTConfig
from llmlib.presets import PRESETS
from llmlib.stories import stories_entropy
from llmlib.training import Checkpoint

TEXT = "the cat sat on the mat and the dog sat on the log. " * 30


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "cats.txt"
    path.write_text(TEXT)
    return path


def main(*arguments) -> int:
    return train.main([str(argument) for argument in arguments])


def short(corpus, out, *more):
    return ("--corpus", corpus, "--preset", "tiny", "--steps", 20, "--device", "cpu", "--out", out, *more)


def same_run(first: Path, second: Path) -> bool:
    one, two = (Checkpoint.load(folder / "checkpoint.pt") for folder in (first, second))
    return (
        one.step == two.step
        and one.records == two.records
        and all(torch.equal(one.model[name], two.model[name]) for name in one.model)
        and (first / "sample.txt").read_text() == (second / "sample.txt").read_text()
    )


def test_a_run_leaves_a_checkpoint_a_curve_and_a_sample(corpus, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(*short(corpus, out)) == 0
    said = capsys.readouterr()
    assert sorted(file.name for file in out.iterdir()) == ["checkpoint.pt", "loss.png", "sample.txt"]
    assert "Validation loss: " in said.out
    assert "over the whole validation text" in said.out
    assert f"1,{len(TEXT) - 1000:03} characters" in said.err
    assert "20/20" in said.err

    picture = (out / "loss.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 600 and height > 300
    sample = (out / "sample.txt").read_text()
    assert 900 < len(sample) <= 1002
    assert set(sample) <= set(TEXT) | {"\n"}
    checkpoint = Checkpoint.load(out / "checkpoint.pt")
    assert checkpoint.step == 20
    assert checkpoint.about["characters"] == "".join(sorted(set(TEXT)))


def test_the_result_as_json(corpus, tmp_path, capsys):
    assert main(*short(corpus, tmp_path / "run", "--json", "--seed", 5)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert (result["seed"], result["steps"], result["preset"], result["floors"]) == (5, 20, "tiny", {})
    assert 0 < result["validation_loss"] < 4
    assert Path(result["checkpoint"]).is_file() and Path(result["loss_curve"]).is_file()


def test_stories_are_the_default_and_show_their_floor(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main("--preset", "tiny", "--steps", 2, "--device", "cpu", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["corpus"] == "stories"
    lowest, window = result["floors"].values()
    assert lowest == pytest.approx(stories_entropy() * 0.6931472)
    assert window == pytest.approx(stories_entropy(32) * 0.6931472)
    assert (tmp_path / "runs" / "stories-tiny" / "loss.png").is_file()


def test_the_curve_has_a_line_for_each_floor(monkeypatch, tmp_path):
    drawn = []
    real = train.subplots
    monkeypatch.setattr(train, "subplots", lambda **options: drawn.append(real(**options)) or drawn[-1])
    monkeypatch.chdir(tmp_path)
    assert main("--preset", "tiny", "--steps", 4, "--device", "cpu", "--json") == 0
    lines = {line.get_label(): line.get_ydata() for line in drawn[0][1].get_lines()}
    assert list(lines) == [
        "training text",
        "validation text",
        "no model can go below",
        "nor, seeing 32 characters, below",
    ]
    assert list(lines["no model can go below"]) == pytest.approx([stories_entropy() * 0.6931472] * 2)
    assert len(lines["validation text"]) == 4


def test_a_run_is_not_overwritten_unless_asked(corpus, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(*short(corpus, out)) == 0
    before = (out / "checkpoint.pt").read_bytes()
    assert main(*short(corpus, out)) == 2
    assert (
        "already holds a run. Go on with it by --resume, replace it by --restart" in capsys.readouterr().err
    )
    assert (out / "checkpoint.pt").read_bytes() == before
    assert main(*short(corpus, out, "--restart", "--seed", 9)) == 0
    assert (out / "checkpoint.pt").read_bytes() != before


def test_a_finished_run_can_be_resumed_and_stays_as_it_is(corpus, tmp_path):
    out = tmp_path / "run"
    assert main(*short(corpus, out)) == 0
    weights = Checkpoint.load(out / "checkpoint.pt").model
    (out / "loss.png").unlink()
    assert main("--resume", "--out", out, "--device", "cpu") == 0
    assert (out / "loss.png").is_file()
    again = Checkpoint.load(out / "checkpoint.pt").model
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize(
    ("option", "now", "then"),
    [
        ("--steps", 30, 20),
        ("--seed", 5, 1337),
        ("--preset", "laptop", "tiny"),
        ("--corpus", "stories", "/.*cats.txt"),
    ],
)
def test_another_setting_cannot_go_on_with_a_run(corpus, tmp_path, capsys, option, now, then):
    out = tmp_path / "run"
    assert main(*short(corpus, out)) == 0
    capsys.readouterr()
    assert main("--resume", "--out", out, option, now) == 2
    message = capsys.readouterr().err
    assert f"not {now}. Leave {option} out, or begin another run by --out." in message
    assert "was begun with" in message


def test_a_run_goes_on_with_as_many_threads_as_it_had(corpus, tmp_path, capsys, monkeypatch):
    """Another number rounds sums in other places, so the result would be another one."""
    # A thousand characters, each by two threads that wait for each other: minutes where both cores are taken.
    monkeypatch.setattr(train, "_sample", lambda model, run: "a sample")
    out = tmp_path / "run"
    assert main(*short(corpus, out, "--threads", 2)) == 0
    torch.set_num_threads(1)
    capsys.readouterr()
    assert main("--resume", "--out", out, "--device", "cpu") == 0
    assert "cpu, 2 threads" in capsys.readouterr().err
    assert main("--resume", "--out", out, "--device", "cpu", "--threads", 1) == 0
    message = capsys.readouterr().err
    assert "The run had 2 threads and goes on with 1" in message and "not bit for bit" in message


@pytest.mark.parametrize("older", [False, True])
def test_stopped_before_anything_was_saved(corpus, tmp_path, capsys, monkeypatch, older):
    """The advice to resume would lead to no run at all, or to the older one that --restart was to replace."""
    out = tmp_path / "run"
    if older:
        assert main(*short(corpus, out)) == 0
        content = (out / "checkpoint.pt").read_bytes()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("llmlib.training.make_optimizer", stopped)
    capsys.readouterr()
    assert main(*short(corpus, out, *(["--restart"] if older else []))) == 130
    message = capsys.readouterr().err
    assert "Stopped at once.\nNothing of this run has been saved yet." in message
    assert "--resume" not in message
    assert not older or (out / "checkpoint.pt").read_bytes() == content
    monkeypatch.undo()
    if older:  # a run that goes on has its checkpoint, however early it is stopped
        monkeypatch.setattr("llmlib.training.make_optimizer", stopped)
        assert main("--resume", "--out", out, "--device", "cpu") == 130
        assert f"Go on with: python -m llmlib.train --resume --out {out}" in capsys.readouterr().err


def test_a_text_that_has_changed_cannot_go_on(corpus, tmp_path, capsys):
    assert main(*short(corpus, tmp_path / "run")) == 0
    corpus.write_text(TEXT + "More.")
    assert main("--resume", "--out", tmp_path / "run") == 2
    assert "cats.txt has changed since the run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--resume"],
            2,
            "There is no run to resume in runs/stories-laptop. Leave out --resume to begin one.",
        ),
        (["--corpus", "nothing"], 1, "no corpus and no file named 'nothing'"),
        (["--corpus", "."], 1, "is a folder"),
        (
            ["--corpus", "short.txt"],
            1,
            "too short for the preset laptop: it has 9 characters, and at least 145",
        ),
        (["--corpus", "broken.txt"], 1, "broken.txt is not UTF-8 text"),
        (["--device", "cuda"], 2, "--device cuda: PyTorch finds no such device here. There is: cpu"),
    ],
)
def test_what_a_user_can_get_wrong(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("short.txt").write_text("too short")
    Path("broken.txt").write_bytes(b"\xff\xfe\x00")
    assert main(*arguments) == code
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "expected a whole number of at least 1: got '0'"),
        (["--steps", "many"], "expected a whole number of at least 1: got 'many'"),
        (["--threads", "-1"], "expected a whole number of at least 1: got '-1'"),
        (["--preset", "gpt-5"], "invalid choice: 'gpt-5'"),
        (["--seed", "x"], "invalid int value: 'x'"),
        (["--resume", "--restart"], "not allowed with argument"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_options(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(*arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_wrong_device_in_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("LLMLIB_DEVICE", "toaster")
    assert main("--preset", "tiny") == 2
    assert "LLMLIB_DEVICE must be cpu, mps, cuda" in capsys.readouterr().err


def test_a_damaged_checkpoint(corpus, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(*short(corpus, out)) == 0
    path = out / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    assert main("--resume", "--out", out) == 1
    assert "is damaged or is not a checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("about", "change"),
    [
        (None, {}),  # as chapter 7's own checkpoints, which hold a training and not what it was about
        ("model", {"activation": "relu squared"}),  # a part that models of an earlier recipe had
        ("model", {"d_model": 0}),
        ("characters", "aa"),
        ("architecture", "Perceptron"),
    ],
)
def test_a_checkpoint_that_tells_of_another_run(corpus, tmp_path, capsys, about, change):
    out = tmp_path / "run"
    assert main(*short(corpus, out)) == 0
    was = Checkpoint.load(out / "checkpoint.pt")
    told = {} if about is None else dict(was.about)
    if about is not None:
        told[about] = {**told[about], **change} if isinstance(change, dict) else change
    dataclasses.replace(was, about=told).save(out / "checkpoint.pt")
    before = (out / "checkpoint.pt").read_bytes()
    capsys.readouterr()
    assert main("--resume", "--out", out, "--device", "cpu") == 1
    message = capsys.readouterr().err
    assert f"{out / 'checkpoint.pt'} was written by a program of your own, or by another version" in message
    assert "Replace the run by --restart, or begin another by --out." in message
    assert (out / "checkpoint.pt").read_bytes() == before
    assert main(*short(corpus, out, "--restart")) == 0  # the advice holds


def test_a_folder_that_cannot_be_written(corpus, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(*short(corpus, tmp_path / "file" / "run")) == 1
    assert "cannot be written: " in capsys.readouterr().err


def test_a_disk_that_takes_no_more(corpus, tmp_path, capsys):
    resource = pytest.importorskip("resource")
    out = tmp_path / "run"
    assert main(*short(corpus, out)) == 0
    content = (out / "checkpoint.pt").read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 10, before[1]))
    try:
        assert main(*short(corpus, out, "--restart", "--seed", 9)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = capsys.readouterr().err
    assert "checkpoint.pt cannot be written: " in message and "What was there before is whole." in message
    assert "Traceback" not in message
    assert (out / "checkpoint.pt").read_bytes() == content


def test_no_network_names_the_default(tmp_path, monkeypatch, capsys):
    import urllib.error
    import urllib.request

    def refuse(*_, **__):
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.delenv("LLMLIB_DATA", raising=False)
    monkeypatch.setenv("LLMLIB_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert main("--corpus", "shakespeare", "--out", tmp_path / "run") == 1
    message = capsys.readouterr().err
    assert "Network is unreachable" in message
    assert "'stories' comes with llmlib" in message


def test_every_preset_can_be_built():
    for name, preset in PRESETS.items():
        assert preset.about, name
        assert preset.training.steps >= preset.training.warmup_steps
    cpu = PRESETS["nanogpt-cpu"]
    model, training = cpu.model, cpu.training
    assert (model.n_layers, model.n_heads, model.d_model, model.context_length) == (4, 4, 128, 64)
    assert (model.dropout, training.batch_size, training.steps, training.warmup_steps) == (0.0, 12, 2000, 100)
    assert (training.learning_rate, training.min_learning_rate) == (1e-3, 1e-4)
    assert (training.beta2, training.weight_decay, training.clip) == (0.99, 0.1, 1.0)


def test_first_weights_of_another_size_are_the_same_weights_scaled():
    shape = GPTConfig(vocab_size=7, d_model=8, n_layers=1, n_heads=2)
    usual, larger = GPT(shape, 0), GPT(dataclasses.replace(shape, init_std=0.05), 0)
    for one, two in zip(usual.parameters(), larger.parameters(), strict=True):
        torch.testing.assert_close(two, one * 2.5 if one.dim() == 2 else one)
    with pytest.raises(ValueError, match=r"init_std must be positive: got 0"):
        dataclasses.replace(shape, init_std=0)


# In a process of its own: signals.


def begin(corpus, out, *more, steps=400, program=("-m", "llmlib.train")) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, *program, "--corpus", str(corpus), "--preset", "tiny"),
            *("--steps", str(steps), "--threads", "1", "--device", "cpu", "--out", str(out), *more),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, process: subprocess.Popen) -> None:
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended early: {process.communicate()}")
        time.sleep(0.01)


# However fast the machine is, or however late the signal: step 70 goes on until it has come.
WAITS_IN_STEP_70 = """
import contextlib, pathlib, sys, time
from llmlib import train, training
step, stopping, steps, stops = training._step, training.stop_after_the_step, [], []
@contextlib.contextmanager
def known():
    with stopping() as stop:
        stops.append(stop)
        yield stop
def slow(*about):
    steps.append(None)
    if len(steps) == 70:
        pathlib.Path(sys.argv[1]).touch()
        while not stops[0].is_set():
            time.sleep(0.01)
    return step(*about)
training._step, training.stop_after_the_step = slow, known
sys.exit(train.main(sys.argv[2:]))
"""


def test_ctrl_c_saves_and_resume_goes_on_to_the_same_result(corpus, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = ("--corpus", corpus, "--preset", "tiny", "--steps", 400, "--threads", 1, "--device", "cpu")
    assert main(*options, "--out", whole) == 0

    process = begin(corpus, stopped, program=("-c", WAITS_IN_STEP_70, str(tmp_path / "in step 70")))
    wait_for((tmp_path / "in step 70").exists, process)
    process.send_signal(signal.SIGINT)
    said, complaint = process.communicate(timeout=600)
    assert process.returncode == 130, complaint
    step = Checkpoint.load(stopped / "checkpoint.pt").step
    assert step == 70, "that step is not cut in half, and is the last"
    assert f"Stopped after step {step} of 400 and saved in {stopped}/checkpoint.pt." in complaint
    assert f"Go on with: python -m llmlib.train --resume --out {stopped}" in complaint
    assert "Traceback" not in complaint
    assert said == ""

    assert main("--resume", "--out", stopped, "--threads", 1, "--device", "cpu") == 0
    assert same_run(whole, stopped)


def test_a_killed_run_loses_at_most_the_steps_since_its_last_checkpoint(corpus, tmp_path):
    """No signal that it could catch. What was announced as saved is there, and it is whole."""
    process = begin(corpus, tmp_path, steps=4000)
    path = tmp_path / "checkpoint.pt"
    wait_for(lambda: path.exists() and Checkpoint.load(path).step >= 100, process)
    announced = Checkpoint.load(path).step
    process.kill()
    process.communicate(timeout=600)
    kept = Checkpoint.load(path)
    assert kept.step >= announced and kept.step % kept.config.evaluation_interval == 0
    assert kept.config.evaluation_interval == 50
    assert [record.step for record in kept.records] == list(range(50, kept.step + 1, 50))


@pytest.mark.long
def test_killed_at_any_instant_and_resumed_is_the_same_as_never_stopped(corpus, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = begin(corpus, whole)
    assert process.wait(timeout=600) == 0, process.communicate()
    choose = random.Random(0)
    kills = 0
    while True:
        there = (killed / "checkpoint.pt").exists()
        process = begin(corpus, killed) if not there else begin(corpus, killed, "--resume")
        if kills < 8:
            before = Checkpoint.load(killed / "checkpoint.pt").step if there else -1
            # Kill within the time that the run takes after the library is loaded, wherever that is.
            process.stderr.readline()
            time.sleep(choose.uniform(0, 0.8))
            if process.poll() is None:
                process.kill()
                kills += 1
            process.communicate(timeout=600)
            if (killed / "checkpoint.pt").exists():
                assert Checkpoint.load(killed / "checkpoint.pt").step >= before
        else:
            assert process.wait(timeout=600) == 0, process.communicate()
            break
    assert kills == 8
    assert same_run(whole, killed)


@pytest.mark.long
def test_nanogpts_configuration_reaches_its_loss(shakespeare, tmp_path, capsys):
    torch.set_num_threads(2)
    assert main("--corpus", "shakespeare", "--preset", "nanogpt-cpu", "--out", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["validation_loss"] <= 1.90


def test_training_for_a_time_ends_with_the_schedule_at_its_end(corpus, tmp_path, capsys, monkeypatch):
    """By a clock that goes on by 5 ms whenever it is looked at: how fast the machine is does not count."""
    looked = itertools.count()
    monkeypatch.setattr("llmlib.training.time", SimpleNamespace(monotonic=lambda: next(looked) * 0.005))
    out = tmp_path / "timed"
    options = ("--corpus", corpus, "--preset", "tiny", "--device", "cpu", "--out", out)
    assert main(*options, "--seconds", 1.5, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    checkpoint = Checkpoint.load(out / "checkpoint.pt")
    assert checkpoint.config.seconds == 1.5 and checkpoint.seconds >= 1.5
    assert result["steps"] == checkpoint.step > 1
    assert result["tokens_per_second"] > 0
    group = checkpoint.optimizer["param_groups"][0]
    assert group["lr"] < 0.5 * checkpoint.config.learning_rate, "the rate has not come down"
    assert main("--resume", "--out", out, "--device", "cpu", "--seconds", 3) == 2
    assert "begun with --seconds 1.5, not 3" in capsys.readouterr().err


def test_the_laptop_recipe_trains_and_resumes(corpus, tmp_path, capsys):
    whole, out = tmp_path / "whole", tmp_path / "run"
    options = ("--corpus", corpus, "--steps", 8, "--device", "cpu")
    assert main(*options, "--out", whole) == 0 and main(*options, "--out", out) == 0
    assert same_run(whole, out)
    assert Checkpoint.load(out / "checkpoint.pt").about["architecture"] == "ModernGPTConfig"
    assert main("--resume", "--out", out, "--device", "cpu") == 0


@pytest.mark.long
def test_the_recipe_reaches_its_loss_in_as_many_steps_as_a_minute_has(shakespeare, tmp_path, capsys):
    """The clock is left out: 1,200 steps are what two cores with bfloat16 do in 66 seconds."""
    torch.set_num_threads(2)
    assert main("--corpus", "shakespeare", "--steps", 1200, "--out", tmp_path, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["validation_loss"] <= 1.58 and result["parameters"] <= 800_000
