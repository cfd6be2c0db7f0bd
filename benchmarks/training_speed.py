"""Training speed of `llmlib.GPT` beside `transformers`' GPT-2, the same model on the same device.

    python benchmarks/training_speed.py            # on the CPU
    DEVICE=cuda python benchmarks/training_speed.py

Both get the same shape, precision (float32), batches, optimizer and clipping; a step is forward, loss,
backward, clipping and AdamW. The two take turns, so that what else the machine does falls on both alike; the
median of the rounds is reported. The ratio is what to look at: the absolute numbers belong to the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from llmlib.clipping import clip_gradients
from llmlib.gpt import GPT, GPTConfig
from llmlib.optimizers import make_optimizer
from llmlib.training_config import TrainingConfig

# On the CPU nanoGPT's configuration for it; on a GPU its larger one, which keeps a GPU busy.
SHAPES = {
    "cpu": (GPTConfig(vocab_size=65, context_length=64, fused=True), 12),
    "cuda": (
        GPTConfig(vocab_size=65, context_length=256, d_model=384, n_layers=6, n_heads=6, fused=True),
        64,
    ),
}


def gpt2(config: GPTConfig) -> nn.Module:
    """The same model by `transformers`: the exact GELU, as ours, and no dropout."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    model.train()
    return model


def stepper(
    model: nn.Module, logits_of: Callable[[torch.Tensor], torch.Tensor], batches: list[torch.Tensor]
) -> Callable[[int], None]:
    optimizer = make_optimizer(model, TrainingConfig())

    def steps(count: int) -> None:
        for number in range(count):
            windows = batches[number % len(batches)]
            logits = logits_of(windows[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            clip_gradients(model.parameters(), 1.0)
            optimizer.step()

    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed beside transformers' GPT-2.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each model (default: 7)")
    parser.add_argument("--steps", type=int, default=20, help="steps in a turn (default: 20)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: PyTorch's choice)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(os.environ.get("DEVICE", "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"DEVICE={device}: PyTorch finds no CUDA device here.")
    shape, batch_size = SHAPES[device.type]

    generator = torch.Generator().manual_seed(0)
    size = (batch_size, shape.context_length + 1)
    batches = [torch.randint(shape.vocab_size, size, generator=generator).to(device) for _ in range(8)]
    ours, theirs = GPT(shape, 0).to(device), gpt2(shape).to(device)
    plain = GPT(GPTConfig(**vars(shape) | {"fused": False}), 0).to(device)
    assert ours.parameter_count() == sum(p.numel() for p in theirs.parameters())
    runners = {
        "llmlib.GPT": stepper(ours, ours, batches),
        "llmlib.GPT, written out": stepper(plain, plain, batches),
        "transformers GPT-2": stepper(theirs, lambda tokens: theirs(tokens).logits, batches),
    }

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for round_number in range(-1, options.rounds):  # the first round only warms up
        names = list(runners)
        for name in names if round_number % 2 else reversed(names):
            wait()
            began = time.perf_counter()
            runners[name](options.steps)
            wait()
            if round_number >= 0:
                seconds[name].append(time.perf_counter() - began)

    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"DEVICE={device} python {' '.join(sys.argv)}")
    print(
        f"{os.cpu_count()} cores, {device.type} ({where}), torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
    print(
        f"{ours.parameter_count():,} weights, {shape.n_layers} layers, {shape.n_heads} heads, "
        f"{shape.d_model} wide, context {shape.context_length}, batch {batch_size}, float32; "
        f"medians of {options.rounds} rounds of {options.steps} steps"
    )
    tokens = batch_size * shape.context_length * options.steps
    speeds = {name: tokens / statistics.median(times) for name, times in seconds.items()}
    for name, speed in speeds.items():
        slowest, fastest = tokens / max(seconds[name]), tokens / min(seconds[name])
        print(f"{name:24} {speed:12,.0f} tokens/s   ({slowest:,.0f} to {fastest:,.0f})")
    # Round by round: a busy moment falls on both numbers of a pair.
    for name in list(runners)[:2]:
        pairs = zip(seconds["transformers GPT-2"], seconds[name], strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        print(f"{name} is {ratio:.2f} times as fast as transformers' GPT-2")


if __name__ == "__main__":
    main()
