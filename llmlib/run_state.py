"""What a run is made of between two steps: what it has recorded, and all that it needs to go on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from llmlib.checkpoints import CheckpointError, load_values, save_values
from llmlib.training_config import TrainingConfig


@dataclass(frozen=True)
class Record:
    """At a step: the mean training loss since the last record, and the estimated validation loss."""

    step: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on as if it had never stopped.

    step:      how many steps are done.
    model, optimizer: their `state_dict()`.
    generator: the state of the generator of the batches.
    random:    the states of PyTorch's own generators, which dropout draws from.
    losses:    the training losses since the last record.
    seconds:   how long the run has trained.
    about:     plain values that the caller wants back, as the corpus and the model's configuration.
    """

    step: int
    config: TrainingConfig
    model: dict[str, Any]
    optimizer: dict[str, Any]
    generator: Tensor
    random: dict[str, Tensor]
    records: tuple[Record, ...] = ()
    losses: tuple[float, ...] = ()
    seconds: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            CheckpointError: it cannot be written, for example because the disk is full.
        """
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        values["config"] = dataclasses.asdict(self.config)
        values["records"] = [dataclasses.astuple(record) for record in self.records]
        values["losses"] = list(self.losses)
        save_values(values, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Read a checkpoint, onto the CPU.

        Raises:
            CheckpointError: there is none, or it is damaged, or something else.
        """
        values = load_values(path)
        try:
            values["config"] = TrainingConfig(**values["config"])
            values["records"] = tuple(Record(*record) for record in values["records"])
            values["losses"] = tuple(values["losses"])
            return cls(**values)
        except (TypeError, KeyError, ValueError):
            raise CheckpointError(
                f"{path} comes from another version of llmlib and cannot be resumed. Start a new run."
            ) from None


@contextmanager
def own_random_numbers(seed: int, device: torch.device) -> Iterator[None]:
    """PyTorch's generators, seeded for the run and afterwards put back as they were."""
    before = random_states(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_states(before, device)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """PyTorch's own generators: the CPU's, and the device's if that is another."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators back to what `random_states` found."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
