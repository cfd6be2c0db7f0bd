"""Which run the options of `python -m llmlib.train` ask for: a new one, or one that was begun."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llmlib.checkpoints import CheckpointError
from llmlib.data import CORPORA, Corpus, CorpusError, load_corpus
from llmlib.gpt import GPTConfig
from llmlib.modern import ModernGPTConfig
from llmlib.presets import ARCHITECTURES, DEFAULT_PRESET, PRESETS
from llmlib.run_state import Checkpoint
from llmlib.tokenization import CharTokenizer
from llmlib.training_config import TrainingConfig


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
            "threads": torch.get_num_threads(),
        }


def plan(options: argparse.Namespace) -> Run:
    """The run that the options ask for; with --resume, the one that was begun.

    Raises:
        UsageError: the options do not fit together, or do not fit the run that was begun.
        CorpusError: the text is not to be had, or too short.
        CheckpointError: the checkpoint cannot be read.
    """
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
    try:
        corpus_name, preset, sha256 = (about[name] for name in ("corpus", "preset", "sha256"))
        tokenizer = CharTokenizer(about["characters"])
        model = ARCHITECTURES[about.get("architecture", "GPTConfig")][0](**about["model"])
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{path} was written by a program of your own, or by another version of llmlib: it cannot be "
            "resumed here. Replace the run by --restart, or begin another by --out."
        ) from None
    given = {
        "corpus": (options.corpus and _corpus_name(options.corpus), corpus_name),
        "preset": (options.preset, preset),
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
    corpus = load_corpus(corpus_name)
    if _sha256(corpus) != sha256:
        raise UsageError(f"{corpus.name} has changed since the run in {folder} was begun: it cannot go on.")
    return Run(
        corpus=corpus,
        preset=preset,
        tokenizer=tokenizer,
        model=model,
        training=checkpoint.config,
        folder=folder,
        checkpoint=checkpoint,
    )


def _corpus_name(corpus: str) -> str:
    """A name stays; a path becomes absolute, so that a run can be resumed from another folder."""
    return corpus if corpus in CORPORA or not Path(corpus).exists() else str(Path(corpus).resolve())


def _sha256(corpus: Corpus) -> str:
    return hashlib.sha256(corpus.text.encode()).hexdigest()
