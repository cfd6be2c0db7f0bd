"""What stays as it was while an answer is checked: the screen, random numbers, the default dtype."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


@contextmanager
def quiet() -> Iterator[None]:
    """What an answer prints or warns while checked stays unseen: nbgrader takes stderr for a failure."""
    nowhere = _Nowhere()
    with redirect_stdout(nowhere), redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def set_seed(seed: int) -> None:
    """As `torch.manual_seed`, which notes a whole traceback for the GPU's sake where no GPU is in use."""
    seeded = torch if torch.cuda.is_initialized() else torch.default_generator
    seeded.manual_seed(seed)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """A check leaves the learner's random numbers and default dtype as it found them."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
