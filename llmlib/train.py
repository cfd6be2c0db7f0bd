"""Train a GPT on a corpus, from the command line: `python -m llmlib.train --help`."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from llmlib.interrupts import INTERRUPTED, ending_at_once
from llmlib.output import printing

with ending_at_once(__name__ == "__main__"):  # PyTorch takes a second
    import torch

    import llmlib
    from llmlib.data import CORPORA, CorpusError
    from llmlib.drawing import subplots
    from llmlib.generation import generate
    from llmlib.gpt import GPT
    from llmlib.presets import ARCHITECTURES, DEFAULT_PRESET, PRESETS
    from llmlib.run_plan import Run, UsageError, plan
    from llmlib.stories import stories_entropy
    from llmlib.training import CheckpointError, Record, evaluate, train


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 trained, 1 could not, 2 wrong options, 130 interrupted."""
    return printing(lambda: _carry_out(arguments))


def _carry_out(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        device = _device(options.device)
        run = plan(options)
        _keep_threads(run, options.threads)
        return _train(run, device, as_json=options.json)
    except (CorpusError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 1
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    presets = "\n".join(f"  {name:12} {preset.about}" for name, preset in PRESETS.items())
    parser = argparse.ArgumentParser(
        prog="python -m llmlib.train",
        description="Train a GPT on a corpus. Ctrl-C saves; --resume goes on, to the same result.",
        epilog=f"presets:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--corpus", help=f"{', '.join(CORPORA)}, or the path of a text file (default: stories)"
    )
    parser.add_argument("--preset", choices=PRESETS, help=f"model and training (default: {DEFAULT_PRESET})")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_positive, help="train for so many steps instead of the preset's")
    length.add_argument(
        "--seconds", type=_seconds, help="train for so long: the schedule follows the clock, also resumed"
    )
    parser.add_argument("--seed", type=int, help="of the first weights and of the batches (default: 1337)")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/CORPUS-PRESET)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    again.add_argument("--restart", action="store_true", help="replace the run in that folder")
    parser.add_argument(
        "--threads",
        type=_positive,
        help="of the CPU (default: PyTorch's choice; with --resume as many as before)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the fastest there is")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1: got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0: got {text!r}")
    return seconds


def _device(wanted: str | None) -> torch.device:
    if wanted is None:
        try:
            return llmlib.device()
        except (ValueError, RuntimeError) as error:
            raise UsageError(str(error)) from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[wanted]:
        found = ", ".join(kind for kind in there if there[kind])
        raise UsageError(f"--device {wanted}: PyTorch finds no such device here. There is: {found}.")
    return torch.device(wanted)


def _keep_threads(run: Run, wanted: int | None) -> None:
    """A run goes on with as many threads as it had: with another number sums are rounded in other places."""
    had = run.checkpoint.about.get("threads") if run.checkpoint else None
    if had is None:  # a new run, or one from before this was kept
        return
    if wanted is None:
        torch.set_num_threads(had)
    elif wanted != had:
        print(
            f"The run had {had} {'thread' if had == 1 else 'threads'} and goes on with {wanted}: it will end "
            "nearly, but not bit for bit, as it would have.",
            file=sys.stderr,
        )


def _train(run: Run, device: torch.device, *, as_json: bool) -> int:
    encode = run.tokenizer.encode
    train_tokens, validation_tokens = (torch.tensor(encode(part)) for part in run.corpus.split())
    model = ARCHITECTURES[type(run.model).__name__][1](run.model, run.training.seed).to(device)
    path = run.folder / "checkpoint.pt"
    place = str(device) if device.type != "cpu" else f"cpu, {torch.get_num_threads()} threads"
    print(
        f"{run.corpus.name}: {len(run.corpus.text):,} characters, {run.model.vocab_size} different. "
        f"Model: {model.parameter_count():,} weights. Device: {place}.",
        file=sys.stderr,
    )
    began = time.perf_counter()
    before = _written_at(path)
    try:
        records = train(
            model,
            train_tokens,
            validation_tokens,
            run.training,
            context_length=run.model.context_length,
            checkpoint=path,
            resume=run.checkpoint,
            about=run.about(),
        )
    except KeyboardInterrupt as interrupt:
        how = f"Go on with: python -m llmlib.train --resume --out {run.folder}"
        if run.checkpoint is None and _written_at(path) == before:
            # --resume would find none, or an older run.
            how = "Nothing of this run has been saved yet."
        print(f"\n{str(interrupt).capitalize() or 'Stopped at once'}.\n{how}", file=sys.stderr)
        return INTERRUPTED
    seconds = time.perf_counter() - began
    trained = records[-1].step - (run.checkpoint.step if run.checkpoint else 0)

    loss = evaluate(model, validation_tokens, run.model.context_length)
    sample = _sample(model, run)
    floors = _floors(run)
    try:
        (run.folder / "sample.txt").write_text(sample, encoding="utf-8")
        _draw(records, loss, floors, run, run.folder / "loss.png")
    except OSError as error:
        raise CheckpointError(f"The results cannot be written to {run.folder}: {error.strerror}.") from None
    result = {
        "corpus": run.corpus.name,
        "preset": run.preset,
        "seed": run.training.seed,
        "steps": records[-1].step,
        "parameters": model.parameter_count(),
        "seconds": round(seconds, 2),
        "tokens_per_second": round(trained * run.training.batch_size * run.model.context_length / seconds),
        "train_loss": records[-1].train_loss,
        "validation_loss": loss,
        "floors": floors,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "checkpoint": str(path),
        "loss_curve": str(run.folder / "loss.png"),
        "sample": str(run.folder / "sample.txt"),
    }
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return 0
    print(f"{trained} {'step' if trained == 1 else 'steps'} in {seconds:.0f} s.")
    print(f"Validation loss: {loss:.4f} nats per character, over the whole validation text.")
    for name, floor in floors.items():
        print(f"{name.capitalize()}: {floor:.4f} nats per character.")
    print(f"\n{sample[:400].strip()}\n")
    print(f"In {run.folder}: checkpoint.pt, loss.png, sample.txt")
    return 0


def _written_at(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _sample(model: GPT, run: Run) -> str:
    """What the model writes, beginning as after the end of a line."""
    characters = run.tokenizer.characters
    start = "\n" if "\n" in characters else run.corpus.text[0]
    device = next(model.parameters()).device
    tokens = torch.tensor([run.tokenizer.encode(start)], device=device)
    generator = torch.Generator().manual_seed(run.training.seed)
    written = generate(model, tokens, 1000, temperature=0.8, generator=generator)
    return run.tokenizer.decode(written[0]).removeprefix("\n") + "\n"


def _floors(run: Run) -> dict[str, float]:
    """What no model can go below on fresh text, in nats, where it is known."""
    if run.corpus.name != "stories":
        return {}
    context = run.model.context_length
    return {
        "no model can go below": stories_entropy() * math.log(2),
        f"nor, seeing {context} characters, below": stories_entropy(context) * math.log(2),
    }


def _draw(records: Sequence[Record], loss: float, floors: dict[str, float], run: Run, path: Path) -> None:
    figure, axes = subplots(width=7.0, height=4.0)
    steps = [record.step for record in records]
    axes.plot(steps, [record.train_loss for record in records], marker="o", label="training text")
    axes.plot(steps, [record.validation_loss for record in records], marker="s", label="validation text")
    for floor, dashes in zip(floors.items(), (":", "-."), strict=False):
        axes.axhline(floor[1], color="black", linewidth=1.2, linestyle=dashes, label=floor[0])
    axes.set(
        title=f"{run.corpus.name}, preset {run.preset}: {loss:.3f} on the whole validation text",
        xlabel="step",
        ylabel="loss (nats per character)",
    )
    if floors:
        axes.set_ylim(bottom=0)
    axes.grid(True)
    axes.legend()
    figure.savefig(path, dpi=150, facecolor="white")


if __name__ == "__main__":
    sys.exit(main())
