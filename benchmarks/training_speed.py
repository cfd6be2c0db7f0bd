"""Training speed and memory of `llmlib.GPT` beside `transformers`' GPT-2: the same model, side by side.

    python benchmarks/training_speed.py            # on the CPU
    DEVICE=cuda python benchmarks/training_speed.py

Two sizes, each in float32 and with products in bfloat16. Both models have GPT-2's own shape and GELU (the
form with a tanh), and get the same batches, optimizer and clipping; a step is forward, loss, backward,
clipping and AdamW. llmlib's steps run as in `llmlib.training`, with `llmlib.kernels`. The two take turns; the
medians of the rounds are reported, and the ratio is taken round by round. The ratio is what to look at: the
absolute numbers belong to the machine.

Then a profile says what bounds each: which share of a step goes into products of matrices (arithmetic), into
operations that touch each number once (memory traffic), and into the rest (Python and the optimizer). And
the peak of the memory is measured while a fresh process makes its first step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from _measuring import (
    memory_of_a_child,
    peak_growth,
    print_machine,
    print_speeds,
    take_turns,
    times_as_fast,
    wanted_device,
    what_bounds,
)
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from llmlib.clipping import clip_gradients
from llmlib.gpt import GPT, GPTConfig
from llmlib.kernels import faster_kernels
from llmlib.optimizers import make_optimizer
from llmlib.precision import lower_precision, multiplies_bfloat16
from llmlib.training_config import TrainingConfig

COMMON: dict[str, Any] = {"vocab_size": 65, "approximate": "tanh"}
# nanoGPT's configurations for characters: the one for a CPU, and the one for a GPU with a batch for each.
SIZES = {
    "0.8 M": (GPTConfig(**COMMON, context_length=64), {"cpu": 12, "cuda": 12}, 20),
    "10 M": (
        GPTConfig(**COMMON, context_length=256, d_model=384, n_layers=6, n_heads=6),
        {"cpu": 8, "cuda": 64},
        2,
    ),
}
OURS, PLAIN, THEIRS = "llmlib.GPT", "llmlib.GPT, written out", "transformers GPT-2"

Step = Callable[[int], None]


def gpt2(config: GPTConfig) -> nn.Module:
    """The same model by `transformers`, without dropout."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            activation_function="gelu_new",
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
    model: nn.Module,
    logits_of: Callable[[torch.Tensor], torch.Tensor],
    batches: list[torch.Tensor],
    precision: str,
    kernels: AbstractContextManager[Any],
) -> Step:
    optimizer = make_optimizer(model, TrainingConfig())

    def steps(count: int) -> None:
        with kernels:
            for number in range(count):
                windows = batches[number % len(batches)]
                with lower_precision(windows.device, precision):
                    logits = logits_of(windows[:, :-1])
                loss = F.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())
                optimizer.zero_grad()
                loss.backward()
                clip_gradients(model.parameters(), 1.0)
                optimizer.step()

    return steps


def steppers(config: GPTConfig, batch_size: int, precision: str, device: torch.device) -> dict[str, Step]:
    generator = torch.Generator().manual_seed(0)
    size = (batch_size, config.context_length + 1)
    batches = [torch.randint(config.vocab_size, size, generator=generator).to(device) for _ in range(8)]
    ours = GPT(GPTConfig(**vars(config) | {"fused": True}), 0).to(device)
    plain, theirs = GPT(config, 0).to(device), gpt2(config).to(device)
    assert ours.parameter_count() == sum(p.numel() for p in theirs.parameters())
    faster = faster_kernels(device)
    return {
        OURS: stepper(ours, ours, batches, precision, faster),
        PLAIN: stepper(plain, plain, batches, precision, faster),
        THEIRS: stepper(theirs, lambda tokens: theirs(tokens).logits, batches, precision, nullcontext()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed beside transformers' GPT-2.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each model (default: 7)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: PyTorch's choice)")
    parser.add_argument("--size", choices=list(SIZES), help="only this one")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = wanted_device()
    if options.memory_of:
        config, batch_sizes, _ = SIZES[options.size]
        name, precision = options.memory_of
        step = steppers(config, batch_sizes[device.type], precision, device)[name]
        print(peak_growth(lambda: step(1), device))
        return
    print_machine(device)
    for size, (config, batch_sizes, count) in SIZES.items():
        if options.size not in (None, size):
            continue
        batch_size = batch_sizes[device.type]
        for precision in ("float32", "bfloat16"):
            if precision == "bfloat16" and not multiplies_bfloat16(device):
                print(f"{size}, bfloat16: left out, this processor has no instructions for it")
                continue
            steps = steppers(config, batch_size, precision, device)
            print(
                f"{size} weights, {config.n_layers} layers, {config.n_heads} heads, {config.d_model} wide, "
                f"context {config.context_length}, batch {batch_size}, {precision}; "
                f"medians of {options.rounds} rounds of {count} steps"
            )
            runners = {name: lambda step=step, n=count: step(n) for name, step in steps.items()}
            seconds = take_turns(runners, options.rounds, device)
            print_speeds(seconds, batch_size * config.context_length * count)
            for name in (OURS, PLAIN):
                ratio = times_as_fast(seconds[THEIRS], seconds[name])
                print(f"  {name} is {ratio:.2f} times as fast as transformers' GPT-2")
            for name in (OURS, THEIRS):
                memory = memory_of_a_child(["--size", size, "--memory-of", name, precision])
                print(f"  {name}: {what_bounds(runners[name], device)}; {memory} in a step", flush=True)


if __name__ == "__main__":
    main()
