"""llmlib.device(): the best device there is, unless LLMLIB_DEVICE says otherwise."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import llmlib


@pytest.fixture
def machine(monkeypatch):
    """Pretend a machine: machine(cuda=2, mps=False, wanted="cuda:1")."""

    def pretend(*, cuda: int = 0, mps: bool = False, wanted: str | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.delenv("LLMLIB_DEVICE", raising=False)
        if wanted is not None:
            monkeypatch.setenv("LLMLIB_DEVICE", wanted)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda"), (1, True, "cuda")]
)
def test_the_best_device_there_is(machine, cuda, mps, expected):
    machine(cuda=cuda, mps=mps)
    assert llmlib.device() == torch.device(expected)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("cpu", "cpu"), ("cuda:1", "cuda:1"), (" CUDA ", "cuda"), ("mps", "mps"), ("", "cuda")],
)
def test_the_environment_overrides(machine, wanted, expected):
    machine(cuda=2, mps=True, wanted=wanted)
    assert llmlib.device() == torch.device(expected)


@pytest.mark.parametrize(
    ("cuda", "wanted", "sees"),
    [(0, "cuda", "0 cuda"), (2, "cuda:2", "2 cuda"), (1, "mps", "0 mps"), (0, "cpu:1", "1 cpu")],
)
def test_a_device_that_is_not_there(machine, cuda, wanted, sees):
    machine(cuda=cuda, wanted=wanted)
    with pytest.raises(
        RuntimeError, match=rf"LLMLIB_DEVICE={wanted} asks for .* PyTorch sees {sees} .*Unset"
    ):
        llmlib.device()


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "cuda:-1", "tpu:0"])
def test_a_name_that_means_nothing(machine, wanted):
    machine(cuda=1, wanted=wanted)
    with pytest.raises(ValueError, match=rf"must be cpu, mps, cuda or cuda:NUMBER: got '{wanted}'"):
        llmlib.device()


def test_llmlib_does_not_need_the_autograder():
    """Every module of the model, imported in a fresh process, leaves `autograder` out."""
    # gpt brings attention, embedding, normalization, feedforward and transformer with it.
    modules = "llmlib.tokenization, llmlib.gpt, llmlib.generation"
    code = f"import sys, {modules}; sys.exit('autograder' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
