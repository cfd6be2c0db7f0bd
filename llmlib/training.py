"""The training loop.

A run that was interrupted and resumed ends with the same weights, bit for bit, as one that was not (on the
same machine, with the same number of threads). A killed run loses what it did since its last checkpoint and
does it again, to the same result.

A run by the clock (`TrainingConfig.seconds`) reads its learning rates off the clock, so no two such runs are
equal, resumed or not. What holds: it goes on from the same weights, with the batches and the dropout that
were next, and its clock goes on from where it stood at the checkpoint, so that the time in between is not
counted and the whole schedule is run through once. Were the clock to show the same times, the weights would
be the same, bit for bit.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from llmlib.accumulation import accumulate_gradients
from llmlib.checkpoints import CheckpointError
from llmlib.clipping import clip_gradients
from llmlib.data import get_batch
from llmlib.interrupts import stop_after_the_step
from llmlib.kernels import faster_kernels
from llmlib.optimizers import make_optimizer
from llmlib.precision import InPrecision, lower_precision
from llmlib.run_state import Checkpoint, Record, own_random_numbers, random_states, set_random_states
from llmlib.schedule import cosine_schedule
from llmlib.training_config import TrainingConfig
from llmlib.validation import estimate_loss, evaluate

# What one needs to train, from one place. Each thing stands in a module of its own.
__all__ = ["Checkpoint", "CheckpointError", "Record", "TrainingConfig", "estimate_loss", "evaluate", "train"]


def train(
    model: nn.Module,
    train_tokens: Int[Tensor, " corpus"],
    validation_tokens: Int[Tensor, " validation"],
    config: TrainingConfig,
    *,
    context_length: int,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: Checkpoint | None = None,
    about: dict[str, Any] | None = None,
    progress: bool = True,
    on_record: Callable[[Record], None] | None = None,
) -> tuple[Record, ...]:
    """Train the model in place, on the device where it is; the records come back.

    With a path as `checkpoint`, the run is saved there at its start, at every evaluation and at its end. An
    interrupt (Ctrl-C, or a notebook's stop button) lets the step at hand end, saves, and then raises
    KeyboardInterrupt; a second one stops at once. `resume` goes on from a checkpoint, to the same result.

    PyTorch's own random generators, which dropout draws from, are as before when training ends.

    Raises:
        ValueError: the text is too short, or `resume` belongs to another configuration.
        CheckpointError: the checkpoint cannot be written, or `resume` belongs to another model.
        KeyboardInterrupt: after saving; its message says how far the run came.
    """
    if resume is not None and resume.config != config:
        raise ValueError(f"the checkpoint was made with {resume.config}: got {config}")
    began = time.monotonic()  # before the optimizer is made, for which PyTorch imports for most of a second
    device = next(model.parameters()).device
    train_tokens = train_tokens.to(device)  # once, instead of a batch at every step
    optimizer = make_optimizer(model, config)
    generator = torch.Generator().manual_seed(config.seed)
    done = 0
    records: list[Record] = []
    losses: list[Tensor] = []

    def seconds() -> float:
        return time.monotonic() - began

    def share() -> float:
        """How much of the run is done, from 0 to 1."""
        return done / config.steps if config.seconds is None else seconds() / config.seconds

    def save() -> None:
        if checkpoint is not None:
            Checkpoint(
                step=done,
                config=config,
                model=model.state_dict(),
                optimizer=optimizer.state_dict(),
                generator=generator.get_state(),
                random=random_states(device),
                records=tuple(records),
                losses=tuple(float(loss) for loss in losses),
                seconds=seconds(),
                about=about or {},
            ).save(checkpoint)

    with own_random_numbers(config.seed, device), stop_after_the_step() as stop, faster_kernels(device):
        if resume is None:
            save()  # a folder that cannot be written is found out now, not after the training
        else:
            _put_back(resume, model, optimizer, generator)
            done, records = resume.step, list(resume.records)
            losses = [torch.tensor(loss, device=device) for loss in resume.losses]
            began -= resume.seconds
        model.train()
        finished = done > 0 and share() >= 1  # a run is at least one step, however short its time
        with _bar(config, done, seconds(), progress) as bar:
            while not finished:
                inputs, targets = get_batch(
                    train_tokens, config.batch_size, context_length, generator, device
                )
                losses.append(_step(model, optimizer, inputs, targets, share() * config.steps, config))
                done += 1
                finished = share() >= 1
                bar.update(1 if config.seconds is None else min(seconds(), config.seconds) - bar.n)
                if done % 20 == 0:  # not at every step: reading the loss makes a GPU wait
                    bar.set_postfix_str(f"loss {float(losses[-1]):.3f}", refresh=False)
                if done % config.evaluation_interval == 0 or finished:
                    train_loss = math.fsum(float(loss) for loss in losses) / len(losses)
                    validation_loss = estimate_loss(
                        model, validation_tokens, context_length, config.evaluation_blocks
                    )
                    records.append(Record(done, train_loss, validation_loss))
                    losses = []
                    save()
                    if on_record is not None:
                        on_record(records[-1])
                if stop.is_set() and not finished:
                    save()
                    kept = f" and saved in {checkpoint}" if checkpoint is not None else ""
                    of = f" of {config.steps}" if config.seconds is None else f", {seconds():.0f} s,"
                    raise KeyboardInterrupt(f"stopped after step {done}{of}{kept}")
    return tuple(records)


def _put_back(
    checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """All that a step changes, and the generators that it draws from, as they were.

    Raises:
        CheckpointError: they do not fit: it is another model, or one of another version.
    """
    try:
        model.load_state_dict(checkpoint.model)
        # A copy: the optimizer goes on in the tensors that it is given, and who resumes may do it again.
        optimizer.load_state_dict(copy.deepcopy(checkpoint.optimizer))
        generator.set_state(checkpoint.generator)
        set_random_states(checkpoint.random, next(model.parameters()).device)
    except (RuntimeError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            "The checkpoint belongs to another model, or to another version of llmlib, and cannot be resumed "
            "here. Make the model as it was made then, or start a new run."
        ) from None


def _bar(config: TrainingConfig, done: int, seconds: float, progress: bool) -> tqdm:
    """The time left, told from the steps or from the clock."""
    if config.seconds is None:
        return tqdm(total=config.steps, initial=done, unit="step", disable=not progress)
    form = "{l_bar}{bar}| {n:.0f} of {total:.0f} s{postfix}"
    start = min(seconds, config.seconds)
    return tqdm(total=config.seconds, initial=start, bar_format=form, disable=not progress)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Int[Tensor, "batch length"],
    targets: Int[Tensor, "batch length"],
    step: float,
    config: TrainingConfig,
) -> Float[Tensor, ""]:
    """One change of the weights. Returns the loss before it."""
    learning_rate = cosine_schedule(
        step,
        steps=config.steps,
        warmup_steps=config.warmup_steps,
        learning_rate=config.learning_rate,
        min_learning_rate=config.min_learning_rate,
    )
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("pace", 1.0)
    loss = _gradients(model, inputs, targets, config)
    if config.clip:
        clip_gradients(model.parameters(), config.clip)
    optimizer.step()
    return loss


def _gradients(
    model: nn.Module,
    inputs: Int[Tensor, "batch length"],
    targets: Int[Tensor, "batch length"],
    config: TrainingConfig,
) -> Float[Tensor, ""]:
    """The mean loss, with its gradient put into `.grad`: at once, or in parts."""
    if config.accumulation > 1:
        parts = zip(inputs.chunk(config.accumulation), targets.chunk(config.accumulation), strict=True)
        return accumulate_gradients(InPrecision(model, config.precision), list(parts))[0]
    with lower_precision(inputs.device, config.precision):
        logits = model(inputs)
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
    model.zero_grad()
    loss.backward()
    return loss.detach()
