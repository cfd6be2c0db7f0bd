"""Generation with the cache: `llmlib.generation.generate` beside `transformers`' `generate`, same weights.

    python benchmarks/generation_speed.py             # on the CPU
    DEVICE=cuda python benchmarks/generation_speed.py

Both sample at temperature 1 without any filter, with their key/value caches, from GPT-2s of two sizes: the
model that chapters 8 and 9 train, and nanoGPT's for a CPU. `llmlib.gpt2` carries the weights over. They take
turns, so that what else the machine does falls on both alike; the medians of the rounds are reported, and the
ratio is taken round by round. Memory is measured in a fresh process each: how much its peak lies above what
was taken before the first token. Last, a profile says what bounds a token: products, which for every token
read all weights and, of each text, all keys and values; passes over memory; or Python.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from _measuring import (
    MIB,
    memory_of_a_child,
    peak_growth,
    print_machine,
    print_speeds,
    take_turns,
    times_as_fast,
    wanted_device,
    what_bounds,
)
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from llmlib.cached_gpt import CachedGPT
from llmlib.generation import generate
from llmlib.gpt import GPT
from llmlib.gpt2 import from_gpt2

VOCAB_SIZE, PROMPT = 65, 16


@dataclass(frozen=True)
class Size:
    about: str
    context: int
    width: int
    layers: int
    heads: int

    @property
    def new_tokens(self) -> int:
        """As many as the context has room for, but for a few."""
        return min(200, self.context - PROMPT)


SIZES = {
    "chapter": Size("the model of chapters 8 and 9", context=64, width=64, layers=2, heads=4),
    "nanogpt": Size("nanoGPT's size for a CPU", context=256, width=128, layers=4, heads=4),
}
OURS, PLAIN, RECOMPUTED, THEIRS = (
    "llmlib, cache",
    "llmlib, cache, written out",
    "llmlib, no cache",
    "transformers, cache",
)


def models(size: Size, device: torch.device) -> tuple[dict[str, GPT], GPT2LMHeadModel]:
    """`transformers`' GPT-2 with random weights, and ours with the same."""
    logging.set_verbosity_error()
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCAB_SIZE,
            n_positions=size.context,
            n_embd=size.width,
            n_layer=size.layers,
            n_head=size.heads,
            bos_token_id=0,
            eos_token_id=None,  # no text ends early
        )
    ).eval()
    weights = theirs.state_dict()
    ours = {}
    for name, fused in ((OURS, True), (PLAIN, False)):
        plain = from_gpt2(weights, n_heads=size.heads)
        model = GPT(type(plain.config)(**vars(plain.config) | {"fused": fused}), 0).eval()
        model.load_state_dict(plain.state_dict())
        ours[name] = model.to(device)
    return ours, theirs.to(device)


def writers(size: Size, device: torch.device, batch: int) -> dict[str, Callable[[], object]]:
    ours, theirs = models(size, device)
    new_tokens = size.new_tokens
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


def check(size: Size, device: torch.device) -> None:
    """Greedy texts of both are the same: it is the same model."""
    ours, theirs = models(size, device)
    prompt = torch.arange(PROMPT, device=device)[None]
    settings = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "pad_token_id": 0}
    expected = theirs.generate(prompt, max_new_tokens=size.new_tokens, **settings)
    got = generate(ours[OURS], prompt, size.new_tokens, temperature=0, use_cache=True)
    if not torch.equal(got, expected):
        sys.exit("the two models write different texts: a comparison would mean nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description="Generation speed beside transformers' GPT-2.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default: 7)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: PyTorch's choice)")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES), help="of the model")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = wanted_device()
    if options.memory_of:
        write = writers(SIZES[options.sizes[0]], device, options.batch)[options.memory_of]
        print(peak_growth(write, device))
        return
    print_machine(device)
    for name in options.sizes:
        compare(name, options.rounds, device)


def compare(name: str, rounds: int, device: torch.device) -> None:
    size = SIZES[name]
    check(size, device)
    count = models(size, device)[0][OURS].parameter_count()
    print(
        f"{size.about}: {count:,} weights, {size.layers} layers, {size.heads} heads, {size.width} wide, "
        f"context {size.context}, float32, a prompt of {PROMPT} tokens and {size.new_tokens} new ones; "
        f"medians of {rounds} rounds"
    )
    for batch in (1, 16):
        runners = writers(size, device, batch)
        seconds = take_turns(runners, rounds, device)
        print(f"batch {batch}")
        print_speeds(seconds, batch * size.new_tokens)
        for ours in (OURS, PLAIN):
            print(f"  {ours} is {times_as_fast(seconds[THEIRS], seconds[ours]):.2f} times as fast")
        cache = CachedGPT(models(size, device)[0][OURS], batch).cache
        print(f"  the cache holds {cache.bytes / MIB:.1f} MiB for {size.context} places")
        for which in (OURS, THEIRS):
            memory = memory_of_a_child(["--memory-of", which, "--batch", str(batch), "--sizes", name])
            print(f"  {which}: {what_bounds(runners[which], device)}; {memory}", flush=True)


if __name__ == "__main__":
    main()
