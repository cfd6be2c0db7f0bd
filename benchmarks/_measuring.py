"""What the benchmarks share: taking turns, ratios, the peak of the memory, and what to print above them."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

MIB = 2**20

# Operators by a part of their name: the work of some is arithmetic, that of others to read and write numbers.
ARITHMETIC = ("mm", "convolution", "linear", "flash_attention", "efficient_attention")
TRAFFIC = (
    "gelu", "layer_norm", "softmax", "copy_", "add", "mul", "sum", "tanh", "pow", "fill_", "div", "where",
    "index", "cat", "embedding", "loss", "sub", "exp", "sqrt", "norm", "clamp", "foreach", "masked", "rsqrt",
)  # fmt: skip


def wanted_device() -> torch.device:
    """The device that DEVICE names, by default the CPU. Ends the program if it is not there."""
    device = torch.device(os.environ.get("DEVICE", "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"DEVICE={device}: PyTorch finds no CUDA device here.")
    return device


def print_machine(device: torch.device) -> None:
    """The command, and what it ran on."""
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"DEVICE={device} python {' '.join(sys.argv)}")
    print(
        f"{os.cpu_count()} cores, {device.type} ({where}), torch {torch.__version__}, "
        f"Python {platform.python_version()}",
        flush=True,
    )


def take_turns(
    runners: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """The seconds of each round of each runner, after one round that only warms up.

    They alternate, forwards and backwards, so that what else the machine does falls on all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(-1, rounds):
        names = list(runners)
        for name in names if number % 2 else reversed(names):
            _wait(device)
            began = time.perf_counter()
            runners[name]()
            _wait(device)
            if number >= 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def times_as_fast(slow: list[float], fast: list[float]) -> float:
    """The median of the ratios, round by round: a busy moment falls on both numbers of a pair."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def print_speeds(seconds: Mapping[str, list[float]], tokens: int, indent: str = "  ") -> None:
    """The median of the tokens a second of each, and the slowest and fastest round."""
    for name, times in seconds.items():
        speeds = [tokens / t for t in (statistics.median(times), max(times), min(times))]
        print("{}{:34}{:10,.0f} tokens/s   ({:,.0f} to {:,.0f})".format(indent, name, *speeds), flush=True)


def peak_growth(run: Callable[[], object], device: torch.device) -> float | None:
    """By how many MiB the memory grows at most while `run` runs; None where the system does not tell.

    On a GPU that is what PyTorch has taken. On the CPU it is the resident memory of this process, whose peak
    Linux can be asked to forget beforehand.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        run()
        return (_status("VmHWM") - before) / 1024
    except OSError:
        return None


def memory_of_a_child(arguments: list[str]) -> str:
    """What this benchmark prints of `peak_growth` in a fresh process, in words.

    Fresh, because an allocator keeps what it has taken once, and a second run would seem to need nothing.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return "memory unknown" if printed == "None" else f"memory grows by {float(printed):.1f} MiB"


def _status(field: str) -> int:
    """A line of Linux's report on this process, in KiB."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def what_bounds(run: Callable[[], object], device: torch.device) -> str:
    """Which share of the time of `run` goes into which kind of operator, in words.

    The operators' times come from a profile, the whole time from a run without one, which would slow it.
    """
    began = time.perf_counter()
    run()
    _wait(device)
    whole = 1e6 * (time.perf_counter() - began)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=kinds) as seen:
        run()
        _wait(device)
    arithmetic = traffic = 0.0
    for event in seen.key_averages():
        spent = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        if any(word in event.key for word in ARITHMETIC):
            arithmetic += spent
        elif event.key.startswith("aten::") and any(word in event.key for word in TRAFFIC):
            traffic += spent
    rest = max(0.0, whole - arithmetic - traffic)
    total = arithmetic + traffic + rest
    return (
        f"{arithmetic / total:.0%} products of matrices, {traffic / total:.0%} passes over memory, "
        f"{rest / total:.0%} Python and the rest"
    )
