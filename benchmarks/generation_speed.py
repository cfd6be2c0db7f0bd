"""Generation with the cache: `llmlib.generation.generate` beside `transformers`' `generate`, same weights.

    python benchmarks/generation_speed.py             # on the CPU
    DEVICE=cuda python benchmarks/generation_speed.py

Both sample at temperature 1 without any filter, with their key/value caches, from a GPT-2 of course size
whose weights `llmlib.gpt2` carries over. They take turns, so that what else the machine does falls on both
alike; the medians of the rounds are reported, and the ratio is taken round by round. Memory is measured in a
child process each: how much the peak of its resident memory grows from the moment before the first token on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from llmlib.cached_gpt import CachedGPT
from llmlib.generation import generate
from llmlib.gpt import GPT
from llmlib.gpt2 import from_gpt2

VOCAB_SIZE, CONTEXT, WIDTH, LAYERS, HEADS = 65, 256, 128, 4, 4
PROMPT = 16
OURS, PLAIN, RECOMPUTED, THEIRS = (
    "llmlib, cache",
    "llmlib, cache, written out",
    "llmlib, no cache",
    "transformers, cache",
)


def models(device: torch.device) -> tuple[dict[str, GPT], GPT2LMHeadModel]:
    """`transformers`' GPT-2 with random weights, and ours with the same."""
    logging.set_verbosity_error()
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCAB_SIZE,
            n_positions=CONTEXT,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            bos_token_id=0,
            eos_token_id=None,  # no text ends early
        )
    ).eval()
    weights = theirs.state_dict()
    ours = {}
    for name, fused in ((OURS, True), (PLAIN, False)):
        plain = from_gpt2(weights, n_heads=HEADS)
        model = GPT(type(plain.config)(**vars(plain.config) | {"fused": fused}), 0).eval()
        model.load_state_dict(plain.state_dict())
        ours[name] = model.to(device)
    return ours, theirs.to(device)


def writers(device: torch.device, batch: int, new_tokens: int) -> dict[str, Callable[[], object]]:
    ours, theirs = models(device)
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(VOCAB_SIZE, (batch, PROMPT), generator=generator).to(device)

    def of_transformers() -> object:
        return theirs.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new_tokens,
            do_sample=True,
            top_k=0,
            use_cache=True,
            pad_token_id=0,
        )

    def of_llmlib(name: str, use_cache: bool) -> Callable[[], object]:
        return lambda: generate(ours[name], prompt, new_tokens, use_cache=use_cache)

    return {
        OURS: of_llmlib(OURS, True),
        PLAIN: of_llmlib(PLAIN, True),
        RECOMPUTED: of_llmlib(OURS, False),
        THEIRS: of_transformers,
    }


def check(device: torch.device, new_tokens: int) -> None:
    """Greedy texts of both are the same: it is the same model."""
    ours, theirs = models(device)
    prompt = torch.arange(PROMPT, device=device)[None]
    settings = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "pad_token_id": 0}
    expected = theirs.generate(prompt, max_new_tokens=new_tokens, **settings)
    got = generate(ours[OURS], prompt, new_tokens, temperature=0, use_cache=True)
    if not torch.equal(got, expected):
        sys.exit("the two models write different texts: a comparison would mean nothing")


def memory(name: str, batch: int, new_tokens: int) -> None:
    """In a child process: print how much the peak of the resident memory grows, in MiB."""
    write = writers(torch.device("cpu"), batch, new_tokens)[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write()
    print(
        json.dumps(
            {
                "peak": before / 1024,
                "growth": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before / 1024,
            }
        )
    )


def measure(device: torch.device, batch: int, new_tokens: int, rounds: int) -> dict[str, list[float]]:
    runners = writers(device, batch, new_tokens)
    seconds: dict[str, list[float]] = {name: [] for name in runners}

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for round_number in range(-1, rounds):  # the first round only warms up
        names = list(runners)
        for name in names if round_number % 2 else reversed(names):
            wait()
            began = time.perf_counter()
            runners[name]()
            wait()
            if round_number >= 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Generation speed beside transformers' GPT-2.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default: 7)")
    parser.add_argument("--new-tokens", type=int, default=200, help="tokens a turn (default: 200)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: PyTorch's choice)")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if not 1 <= options.new_tokens <= CONTEXT - PROMPT:
        sys.exit(f"--new-tokens must lie between 1 and {CONTEXT - PROMPT}: got {options.new_tokens}")
    if options.memory_of:
        memory(options.memory_of, options.batch, options.new_tokens)
        return
    device = torch.device(os.environ.get("DEVICE", "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"DEVICE={device}: PyTorch finds no CUDA device here.")
    check(device, options.new_tokens)

    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"DEVICE={device} python {' '.join(sys.argv)}")
    print(
        f"{os.cpu_count()} cores, {device.type} ({where}), torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
    count = models(device)[0][OURS].parameter_count()
    print(
        f"{count:,} weights, {LAYERS} layers, {HEADS} heads, {WIDTH} wide, context {CONTEXT}, float32, a "
        f"prompt of {PROMPT} tokens and {options.new_tokens} new ones; medians of {options.rounds} rounds"
    )
    for batch in (1, 16):
        seconds = measure(device, batch, options.new_tokens, options.rounds)
        print(f"batch {batch}")
        for name, times in seconds.items():
            speeds = [
                batch * options.new_tokens / t for t in (statistics.median(times), max(times), min(times))
            ]
            print("  {:28}{:10,.0f} tokens/s   ({:,.0f} to {:,.0f})".format(name, *speeds))
        for name in (OURS, PLAIN):
            pairs = zip(seconds[THEIRS], seconds[name], strict=True)
            ratio = statistics.median(theirs / ours for theirs, ours in pairs)
            print(f"  {name} is {ratio:.2f} times as fast as transformers")
        ours = CachedGPT(models(device)[0][OURS], batch)
        print(f"  the cache holds {ours.cache.bytes / 2**20:.1f} MiB for {CONTEXT} places")
        for name in (OURS, THEIRS) if device.type == "cpu" else ():
            command = [sys.executable, __file__, "--memory-of", name, "--batch", str(batch)]
            command += ["--new-tokens", str(options.new_tokens)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"  {name:28} peak memory grows by {found['growth']:.1f} MiB, from {found['peak']:.0f} MiB")


if __name__ == "__main__":
    main()
