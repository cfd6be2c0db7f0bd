"""Train a GPT on a corpus, from the command line: `python -m llmlib.train --help`."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import llmlib
from llmlib.data import CORPORA, Corpus, CorpusError, load_corpus
from llmlib.drawing import subplots
from llmlib.generation import generate
from llmlib.gpt import GPT, GPTConfig
from llmlib.modern import ModernGPT, ModernGPTConfig
from llmlib.stories import stories_entropy
from llmlib.tokenization import CharTokenizer
from llmlib.training import Checkpoint, CheckpointError, Record, TrainingConfig, evaluate, train


@dataclass(frozen=True)
class Preset:
    """A model and its training, under a name. The vocabulary comes from the corpus."""

    about: str
    model: GPTConfig | ModernGPTConfig
    training: TrainingConfig


ARCHITECTURES = {"GPTConfig": (GPTConfig, GPT), "ModernGPTConfig": (ModernGPTConfig, ModernGPT)}

_ANY = 1  # stands for the vocabulary's size until the corpus is known

PRESETS = {
    "laptop": Preset(
        about="0.75 M weights, a context of 128 characters, the course's best recipe: a minute on a laptop",
        model=ModernGPTConfig(vocab_size=_ANY),
        training=TrainingConfig(
            steps=1200,
            batch_size=12,
            learning_rate=3e-3,
            min_learning_rate=0.0,
            warmup_steps=24,
            beta2=0.95,
            clip=0.0,
            optimizer="muon",
            precision="bfloat16",
            evaluation_interval=200,
            evaluation_blocks=50,
        ),
    ),
    # Every number is nanoGPT's but one: its first weights have the standard deviation 0.02, which was made
    # for models ten times as wide. With 0.02 this model ends at 1.90 or 1.91, as nanoGPT's own does.
    "nanogpt-cpu": Preset(
        about="nanoGPT's configuration for a CPU: 0.8 M weights, a context of 64 characters, 2000 steps",
        model=GPTConfig(vocab_size=_ANY, context_length=64, bias=False, fused=True, init_std=0.05),
        training=TrainingConfig(steps=2000, batch_size=12, evaluation_interval=200),
    ),
    # The two for a GPU: the course's recipe one size up, and what it is to be compared with. A large model
    # learns a small text by heart (with a dropout of 0.3 for the parts alone it is at its best after 250 of
    # 1500 steps), pairs and neighbours help it to: they are left out, and dropout is everywhere.
    "gpu": Preset(
        about="10.7 M weights, a context of 256 characters, the course's recipe one size up, for a GPU",
        model=ModernGPTConfig(
            vocab_size=_ANY,
            context_length=256,
            d_model=384,
            n_layers=6,
            n_heads=6,
            d_ff=1536,
            d_bigram=0,
            shares=(1.0,),
            dropout=0.3,
            embedding_dropout=0.2,
        ),
        training=TrainingConfig(
            steps=1200,
            batch_size=64,
            learning_rate=3e-3,
            min_learning_rate=0.0,
            warmup_steps=50,
            beta2=0.95,
            clip=0.0,
            optimizer="muon",
            precision="bfloat16",
        ),
    ),
    "nanogpt-gpu": Preset(
        about="nanoGPT's configuration for a GPU: 10.7 M weights, a context of 256 characters, 5000 steps",
        model=GPTConfig(
            vocab_size=_ANY,
            context_length=256,
            d_model=384,
            n_layers=6,
            n_heads=6,
            dropout=0.2,
            bias=False,
            fused=True,
        ),
        training=TrainingConfig(steps=5000, batch_size=64, precision="bfloat16"),
    ),
    "tiny": Preset(
        about="a few thousand weights, seconds: to see that everything works",
        model=GPTConfig(vocab_size=_ANY, context_length=32, d_model=32, n_layers=1, n_heads=2, bias=False),
        training=TrainingConfig(
            steps=200, batch_size=8, learning_rate=1e-2, warmup_steps=20, evaluation_interval=50
        ),
    ),
}
DEFAULT_PRESET = "laptop"


class UsageError(Exception):
    """The options do not fit together, or do not fit what is there."""


@dataclass(frozen=True)
class Run:
    """What is trained on what: all that the options and the checkpoint together say."""

    corpus: Corpus
    preset: str
    tokenizer: CharTokenizer
    model: GPTConfig | ModernGPTConfig
    training: TrainingConfig
    folder: Path
    checkpoint: Checkpoint | None

    def about(self) -> dict[str, Any]:
        """What is kept in the checkpoint, so that the model can be used and the run resumed."""
        return {
            "corpus": self.corpus.name,
            "sha256": _sha256(self.corpus),
            "preset": self.preset,
            "characters": self.tokenizer.characters,
            "architecture": type(self.model).__name__,
            "model": dataclasses.asdict(self.model),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 trained, 1 could not, 2 wrong options, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        device = _device(options.device)
        run = _plan(options)
        return _train(run, device, as_json=options.json)
    except (CorpusError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 1
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


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
    parser.add_argument("--threads", type=_positive, help="of the CPU (default: PyTorch's choice)")
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


def _plan(options: argparse.Namespace) -> Run:
    """The run that the options ask for; with --resume, the one that was begun."""
    name = _corpus_name(options.corpus or "stories")
    preset_name = options.preset or DEFAULT_PRESET
    folder = options.out or Path("runs") / f"{Path(name).stem}-{preset_name}"
    path = folder / "checkpoint.pt"
    if options.resume:
        return _begun(options, folder, path)
    if path.exists() and not options.restart:
        raise UsageError(
            f"{folder} already holds a run. Go on with it by --resume, replace it by --restart, or choose "
            "another folder by --out."
        )

    preset = PRESETS[preset_name]
    corpus = load_corpus(name)
    tokenizer = CharTokenizer.from_text(corpus.text)
    training = preset.training
    if options.steps is not None and options.steps != training.steps:
        training = dataclasses.replace(
            training,
            steps=options.steps,
            # A short run keeps its proportions: it must not be all warm-up.
            warmup_steps=min(training.warmup_steps, options.steps // 10),
            evaluation_interval=min(training.evaluation_interval, max(1, options.steps // 4)),
        )
    if options.seconds is not None:
        training = dataclasses.replace(training, seconds=options.seconds)
    if options.seed is not None:
        training = dataclasses.replace(training, seed=options.seed)
    run = Run(
        corpus=corpus,
        preset=preset_name,
        tokenizer=tokenizer,
        model=dataclasses.replace(preset.model, vocab_size=tokenizer.vocab_size),
        training=training,
        folder=folder,
        checkpoint=None,
    )
    # The validation text, a tenth, needs two characters at least, the training text a window and one more.
    needed = max(20, math.ceil((run.model.context_length + 1) / 0.9) + 1)
    if len(corpus.text) < needed:
        raise CorpusError(
            f"{name} is too short for the preset {preset_name}: it has {len(corpus.text)} characters, and "
            f"at least {needed} are needed. Use a longer text or --preset tiny."
        )
    return run


def _begun(options: argparse.Namespace, folder: Path, path: Path) -> Run:
    if not path.exists():
        raise UsageError(f"There is no run to resume in {folder}. Leave out --resume to begin one.")
    checkpoint = Checkpoint.load(path)
    about = checkpoint.about
    given = {
        "corpus": (options.corpus and _corpus_name(options.corpus), about["corpus"]),
        "preset": (options.preset, about["preset"]),
        "steps": (options.steps, checkpoint.config.steps),
        "seconds": (options.seconds, checkpoint.config.seconds),
        "seed": (options.seed, checkpoint.config.seed),
    }
    for option, (now, then) in given.items():
        if now is not None and now != then:
            raise UsageError(
                f"The run in {folder} was begun with --{option} {then}, not {now}. Leave --{option} out, or "
                "begin another run by --out."
            )
    corpus = load_corpus(about["corpus"])
    if _sha256(corpus) != about["sha256"]:
        raise UsageError(f"{corpus.name} has changed since the run in {folder} was begun: it cannot go on.")
    return Run(
        corpus=corpus,
        preset=about["preset"],
        tokenizer=CharTokenizer(about["characters"]),
        model=ARCHITECTURES[about.get("architecture", "GPTConfig")][0](**about["model"]),
        training=checkpoint.config,
        folder=folder,
        checkpoint=checkpoint,
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
        print(f"\n{str(interrupt).capitalize() or 'Stopped at once'}.\n{how}", file=sys.stderr)
        return 130
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


def _corpus_name(corpus: str) -> str:
    """A name stays; a path becomes absolute, so that a run can be resumed from another folder."""
    return corpus if corpus in CORPORA or not Path(corpus).exists() else str(Path(corpus).resolve())


def _sha256(corpus: Corpus) -> str:
    return hashlib.sha256(corpus.text.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
