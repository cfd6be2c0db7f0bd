"""Training: the schedule of the learning rate, clipping, AdamW, evaluation, checkpoints, and the loop.

A run that was interrupted and resumed ends with the same weights, bit for bit, as one that was not (on the
same machine, with the same number of threads).
"""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from llmlib.checkpoints import CheckpointError, load_values, save_values
from llmlib.data import get_batch
from llmlib.muon import muon_and_adamw
from llmlib.precision import lower_precision


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are nanoGPT's for a small model on characters.

    steps:               how many times the weights are changed.
    batch_size:          windows per step: more make the gradient less noisy and the step slower.
    learning_rate:       the highest; small models bear a high one.
    min_learning_rate:   the last; a tenth of the highest, as in the Chinchilla paper.
    warmup_steps:        the rate rises to its highest over these steps, while AdamW's averages are still
                         built from few gradients.
    beta1, beta2:        how slowly AdamW's averages of the gradient and of its square forget. Small batches
                         are noisy, so the square's average is longer than GPT-3's 0.95.
    weight_decay:        pulls the matrices towards zero; vectors (norms, biases) are left alone.
    clip:                gradients longer than this are shortened to it; 0 leaves them as they are.
    evaluation_interval: steps between two looks at the validation loss; the run is also saved there.
    evaluation_blocks:   how many blocks of the validation text such a look reads: a few hundred show
                         the trend.
    seed:                of the batches and of dropout.
    seconds:             train for so long instead of so many steps: the schedule follows the clock, and where
                         it has come after a second depends on the machine. None: `steps` counts.
    optimizer:           "adamw" for all weights, or "muon" for the blocks' matrices and AdamW for the rest.
    matrix_learning_rate: Muon's; embeddings learn ten times as fast as `learning_rate` beside it.
    precision:           "float32", or "bfloat16": products of matrices in bfloat16 where the processor is
                         made for it, all else in float32. Elsewhere it changes nothing.
    """

    steps: int = 2000
    batch_size: int = 12
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-4
    warmup_steps: int = 100
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    clip: float = 1.0
    evaluation_interval: int = 250
    evaluation_blocks: int = 200
    seed: int = 1337
    seconds: float | None = None
    optimizer: Literal["adamw", "muon"] = "adamw"
    matrix_learning_rate: float = 0.02
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1),
            ("batch_size", 1),
            ("warmup_steps", 0),
            ("evaluation_interval", 1),
            ("evaluation_blocks", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}: got {getattr(self, name)}")
        if not 0 <= self.min_learning_rate <= self.learning_rate:
            raise ValueError(
                "min_learning_rate must lie between 0 and the learning rate: "
                f"got {self.min_learning_rate} and {self.learning_rate}"
            )
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds must be positive, or None: got {self.seconds}")
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer must be 'adamw' or 'muon': got {self.optimizer!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16': got {self.precision!r}")


def cosine_schedule(
    step: float, *, steps: int, warmup_steps: int, learning_rate: float, min_learning_rate: float
) -> float:
    """The learning rate at a step, counted from 0.

    It rises in a straight line over the first `warmup_steps` steps, then falls along half a cosine wave to
    `min_learning_rate`, which it reaches at `steps` and keeps.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5.
    """
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    if step >= steps:
        return min_learning_rate
    done = (step - warmup_steps) / (steps - warmup_steps)
    return min_learning_rate + 0.5 * (1 + math.cos(math.pi * done)) * (learning_rate - min_learning_rate)


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Float[Tensor, ""]:
    """Shorten the gradient to `max_norm` if it is longer. Returns its length before.

    It is taken as one vector, of all parameters together, and keeps its direction: one step from an
    unusually steep place must not throw the weights far away.

    Raises:
        ValueError: `max_norm` is not positive.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013),
    section 3.2.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive: got {max_norm}")
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.tensor(0.0)
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    # No `if`: reading the norm would make a GPU wait at every step.
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)
    return norm


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: decay for matrices, none for vectors.

    A norm's scale or a bias pulled towards zero would not be simpler, only wrong.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The configuration's optimizer: AdamW, in PyTorch's fused form where there is one, or Muon beside it.

    A group's `pace` says how its learning rate compares with the schedule's.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """
    if config.optimizer == "muon":
        return muon_and_adamw(model, config)
    groups = parameter_groups(model, config.weight_decay)
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in model.parameters())
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=fused)


def evaluate(model: nn.Module, tokens: Int[Tensor, " corpus"], context_length: int) -> float:
    """The loss in nats per token over the whole text, in consecutive blocks of the context length.

    Every token but the first is predicted once. The first of a block is predicted from one token, the last
    from a whole context, as in training. The last block may be shorter.

    Raises:
        ValueError: the text has fewer than two tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"evaluation needs a text of at least two tokens: got {len(tokens)}")
    inputs, targets = tokens[:-1], tokens[1:]
    end = len(inputs) // context_length * context_length
    total = _loss_sum(model, inputs[:end].view(-1, context_length), targets[:end].view(-1, context_length))
    total += _loss_sum(model, inputs[None, end:], targets[None, end:])
    return total / len(targets)


@torch.no_grad()
def _loss_sum(
    model: nn.Module, inputs: Int[Tensor, "blocks length"], targets: Int[Tensor, "blocks length"]
) -> float:
    """The sum of the losses over all places, a few blocks at a time, without dropout."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total = 0.0
    for x, y in zip(inputs.split(64), targets.split(64), strict=True):
        if x.numel():
            logits = model(x.to(device))
            total += float(F.cross_entropy(logits.flatten(0, 1), y.to(device).flatten(), reduction="sum"))
    model.train(was_training)
    return total


def estimate_loss(
    model: nn.Module, tokens: Int[Tensor, " corpus"], context_length: int, blocks: int
) -> float:
    """The loss on so many blocks, spread evenly over the text: `evaluate`, sooner and less exactly.

    The blocks are the same every time, so that two estimates differ by the model alone.

    Raises:
        ValueError: the text has fewer than two tokens.
    """
    there = (len(tokens) - 1) // context_length
    if there <= blocks:
        return evaluate(model, tokens, context_length)
    starts = torch.arange(blocks, device=tokens.device) * there // blocks * context_length
    windows = tokens[starts[:, None] + torch.arange(context_length + 1, device=tokens.device)]
    return _loss_sum(model, windows[:, :-1], windows[:, 1:]) / windows[:, 1:].numel()


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
        CheckpointError: the checkpoint cannot be written.
        KeyboardInterrupt: after saving; its message says how far the run came.
    """
    if resume is not None and resume.config != config:
        raise ValueError(f"the checkpoint was made with {resume.config}: got {config}")
    device = next(model.parameters()).device
    train_tokens = train_tokens.to(device)  # once, instead of a batch at every step
    optimizer = make_optimizer(model, config)
    generator = torch.Generator().manual_seed(config.seed)
    done = 0
    records: list[Record] = []
    losses: list[Tensor] = []
    began = time.monotonic()

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
                random=_random_states(device),
                records=tuple(records),
                losses=tuple(float(loss) for loss in losses),
                seconds=seconds(),
                about=about or {},
            ).save(checkpoint)

    with _own_random_numbers(config.seed, device), _stop_after_the_step() as stop:
        if resume is None:
            save()  # a folder that cannot be written is found out now, not after the training
        else:
            model.load_state_dict(resume.model)
            optimizer.load_state_dict(resume.optimizer)
            generator.set_state(resume.generator)
            _set_random_states(resume.random, device)
            done, records = resume.step, list(resume.records)
            losses = [torch.tensor(loss, device=device) for loss in resume.losses]
            began -= resume.seconds
        model.train()
        finished = share() >= 1
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
    with lower_precision(inputs.device, config.precision):
        logits = model(inputs)
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
    optimizer.zero_grad()
    loss.backward()
    if config.clip:
        clip_gradients(model.parameters(), config.clip)
    optimizer.step()
    return loss.detach()


@contextmanager
def _own_random_numbers(seed: int, device: torch.device) -> Iterator[None]:
    """PyTorch's generators, seeded for the run and afterwards put back as they were."""
    before = _random_states(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        _set_random_states(before, device)


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def _stop_after_the_step() -> Iterator[threading.Event]:
    """An interrupt sets the event, so that no step is cut in half. A second one interrupts at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    # Signals reach the main thread only; and who ignores interrupts (as under nohup) goes on doing so.
    if threading.current_thread() is not threading.main_thread() or (
        (before := signal.getsignal(signal.SIGINT)) in (signal.SIG_IGN, None)
    ):
        yield stop
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
