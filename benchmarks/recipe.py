"""What each change of the course's training recipe is worth: the recipe without it, on Tiny Shakespeare.

    python benchmarks/recipe.py                        # equal numbers of characters
    python benchmarks/recipe.py --seconds 66           # equal times, for a machine that does nothing else
    python benchmarks/recipe.py --rows recipe nanoGPT  # some rows only
    DEVICE=cuda python benchmarks/recipe.py            # one size up, beside nanoGPT's configuration for a GPU

Every row trains on as many characters as `--steps` of the recipe see, or for the same time, and is judged by
its loss over the whole validation set, in consecutive blocks of its context. Every row runs with the same
seeds, so that one sees which differences mean anything. How long a character takes is measured for all rows
in turns, before the trainings, as a ratio to the recipe's.

Nothing is tuned for a row: what is left is what the recipe's numbers give without that one change.

What is for a GPU: the settings of the row "gpu" were found by trials on an NVIDIA H100, where one run with
them (seed 1337) ended at 1.4548 over the whole validation set; nanoGPT gives 1.4697 for its configuration.

A row that is done is kept in `--out` and not run again; `--json` prints all of them for a program.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _measuring import print_machine, take_turns, times_as_fast, wanted_device
from torch import Tensor, nn

from llmlib.data import CorpusError, load_corpus
from llmlib.feedforward import FeedForward
from llmlib.gpt import GPT, GPTConfig, initial_std
from llmlib.modern import ModernGPT, ModernGPTConfig, RotaryAttention, turn
from llmlib.normalization import LayerNorm, RMSNorm
from llmlib.presets import PRESETS
from llmlib.tokenization import CharTokenizer
from llmlib.training import TrainingConfig, evaluate, train

LAPTOP, NANOGPT = PRESETS["laptop"], PRESETS["nanogpt-cpu"]
Change = Callable[[nn.Module], None]
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Row:
    """A variation: what is not as in the recipe, in the configurations or in the model once it is made."""

    about: str
    model: ModernGPTConfig | GPTConfig = LAPTOP.model
    training: TrainingConfig = LAPTOP.training
    change: Change | None = None

    def make(self, vocab_size: int, seed: int) -> nn.Module:
        config = dataclasses.replace(self.model, vocab_size=vocab_size)
        model = GPT(config, seed) if isinstance(config, GPTConfig) else ModernGPT(config, seed)
        if self.change is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.change(model)
        return model


class WithPositions(nn.Module):
    """A token embedding that adds a learned vector for each position, as GPT-2 does."""

    def __init__(self, embedding: nn.Module, context_length: int, d_model: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.position_embedding = nn.Parameter(torch.randn(context_length, d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens) + self.position_embedding[: tokens.shape[1]]


class NormedAttention(RotaryAttention):
    """Queries and keys of the length √d_head, so that no score can run away, times a number for each head.

    Source: Henry et al., "Query-Key Normalization for Transformers" (2020).
    """

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__(d_model, n_heads)
        self.sharpness = nn.Parameter(torch.ones(n_heads, 1, 1))

    def turned(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        return turn(F.rms_norm(x, x.shape[-1:]), cosine, sine) * self.sharpness


class SquaredReLU(FeedForward):
    """max(0, x W₁)² W₂. Source: So et al., "Primer" (2021), section 4.2."""

    def forward(self, x: Tensor) -> Tensor:
        positive = F.relu(self.hidden(x))
        return self.output(positive * positive)  # the gradient of `positive**2` would take a power again


def learned_positions(model: nn.Module) -> None:
    model.cosine.fill_(1.0)
    model.sine.zero_()
    config = model.config
    model.token_embedding = WithPositions(model.token_embedding, config.context_length, config.d_model)


def normed_queries_and_keys(model: nn.Module) -> None:
    config = model.config
    for block in model.blocks:
        normed = NormedAttention(config.d_model, config.n_heads)
        normed.load_state_dict(block.attention.state_dict(), strict=False)  # but for the sharpness
        block.attention = normed


def squared_relu(model: nn.Module) -> None:
    config = model.config
    for block in model.blocks:
        bent = SquaredReLU(config.d_model, config.d_ff, bias=False)
        bent.load_state_dict(block.feedforward.state_dict())
        block.feedforward = bent


def rms_norms(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LayerNorm):
                setattr(parent, name, RMSNorm(len(child.weight), fused=True))


def first_weights_as_in_gpt2(model: nn.Module) -> None:
    """Normal weights of 0.02 everywhere, and smaller ones where a layer writes to the stream."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            nn.init.normal_(parameter, std=initial_std(name, model.config.n_layers))


def _training(**fields: Any) -> TrainingConfig:
    return dataclasses.replace(LAPTOP.training, **fields)


def _model(**fields: Any) -> ModernGPTConfig:
    return dataclasses.replace(LAPTOP.model, **fields)


ROWS = {
    "recipe": Row("the recipe"),
    "AdamW": Row(
        "AdamW for all weights in the place of Muon", training=_training(optimizer="adamw", clip=1.0)
    ),
    "no pairs": Row("no vectors for pairs of characters", model=_model(d_bigram=0)),
    "learned positions": Row("learned positions in the place of rotary ones", change=learned_positions),
    "no shift": Row("no columns from the tokens before", model=_model(shares=(1.0,))),
    "normed queries": Row("queries and keys normed", change=normed_queries_and_keys),
    "squared ReLU": Row("the square of a ReLU in the place of GELU", change=squared_relu),
    "RMSNorm": Row("RMSNorm in the place of LayerNorm", change=rms_norms),
    "GPT-2's first weights": Row(
        "first weights as in GPT-2, nothing at zero", change=first_weights_as_in_gpt2
    ),
    "constant rate": Row("a learning rate that does not fall", training=_training(min_learning_rate=3e-3)),
    "short context": Row(
        "a context of 64 characters, twice as many windows",
        model=_model(context_length=64),
        training=_training(batch_size=24),
    ),
    "large batch": Row("a batch twice as large, half the steps", training=_training(batch_size=24)),
    "float32": Row("products in float32", training=_training(precision="float32")),
    "nanoGPT": Row("nanoGPT's configuration for a CPU", model=NANOGPT.model, training=NANOGPT.training),
    "gpu": Row("the recipe one size up", PRESETS["gpu"].model, PRESETS["gpu"].training),
    "nanoGPT gpu": Row(
        "nanoGPT's configuration for a GPU", PRESETS["nanogpt-gpu"].model, PRESETS["nanogpt-gpu"].training
    ),
}
FOR_A_GPU = ("gpu", "nanoGPT gpu")


def windows(row: Row) -> int:
    """Characters that one step trains on."""
    return row.training.batch_size * row.model.context_length


def scheduled(row: Row, options: argparse.Namespace) -> TrainingConfig:
    """The row's training, for as many characters as the recipe's steps see, or for so many seconds.

    What is for a GPU trains as long as its preset says.
    """
    if row.model in (PRESETS["gpu"].model, PRESETS["nanogpt-gpu"].model) and options.seconds is None:
        return row.training
    steps = round(options.steps * windows(ROWS["recipe"]) / windows(row))
    warmup = math.ceil(row.training.warmup_steps * steps / row.training.steps)
    return dataclasses.replace(
        row.training, steps=steps, warmup_steps=warmup, seconds=options.seconds, evaluation_interval=10**9
    )


class Text:
    """Tiny Shakespeare as numbers, the training part and the validation part."""

    def __init__(self) -> None:
        corpus = load_corpus("shakespeare")
        self.tokenizer = CharTokenizer.from_text(corpus.text)
        self.train, self.validation = (torch.tensor(self.tokenizer.encode(part)) for part in corpus.split())


def run(row: Row, seed: int, text: Text, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    model = row.make(text.tokenizer.vocab_size, seed).to(device)
    config = dataclasses.replace(scheduled(row, options), seed=seed)
    context = row.model.context_length
    records = train(model, text.train, text.validation, config, context_length=context)
    return {
        "seed": seed,
        "validation_loss": round(evaluate(model, text.validation, context), 4),
        "parameters": model.parameter_count(),
        "steps": records[-1].step,
        "characters": records[-1].step * windows(row),
    }


def relative_times(names: list[str], text: Text, device: torch.device) -> dict[str, float]:
    """How long each row takes for a character, beside the recipe, measured in turns."""
    runners = {}
    for name in dict.fromkeys(["recipe", *names]):
        row = ROWS[name]
        model = row.make(text.tokenizer.vocab_size, 1).to(device)
        steps = max(1, round(8 * windows(ROWS["recipe"]) / windows(row)))
        config = dataclasses.replace(
            row.training, steps=steps, warmup_steps=0, evaluation_interval=10**9, evaluation_blocks=1
        )
        runners[name] = lambda m=model, c=config, r=row: train(
            m, text.train, text.validation[:200], c, context_length=r.model.context_length, progress=False
        )
    seconds = take_turns(runners, 5, device)
    return {name: round(1 / times_as_fast(seconds["recipe"], seconds[name]), 3) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description="What each change of the recipe is worth.")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), metavar="ROW",
                        help=f"some of: {', '.join(ROWS)}")  # fmt: skip
    parser.add_argument(
        "--steps", type=int, default=2000, help="of the recipe (default: 2000, a minute's worth)"
    )
    parser.add_argument("--seconds", type=float, help="train each row for so long instead")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of each row (default: 1 2 3)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: PyTorch's choice)")
    parser.add_argument("--out", type=Path, default=Path("runs/recipe.json"), help="where rows are kept")
    parser.add_argument(
        "--times", action="store_true", help="measure the times of a step anew, train nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the rows for a program")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = wanted_device()
    if options.rows is None:
        options.rows = [name for name in ROWS if (name in FOR_A_GPU) == (device.type == "cuda")]
    try:
        text = Text()
    except CorpusError as error:
        sys.exit(str(error))
    kept = _kept(options)
    if options.times or not kept["times"].keys() >= set(options.rows):
        kept["times"] |= relative_times(options.rows, text, device)
        _keep(kept, options.out)
    for name in options.rows if not options.times else ():
        done = kept["rows"].setdefault(name, [])
        for seed in options.seeds:
            if seed not in [result["seed"] for result in done]:
                print(f"{name}, seed {seed}", file=sys.stderr)
                done.append(run(ROWS[name], seed, text, options, device))
                _keep(kept, options.out)
    if options.json:
        print(json.dumps(kept))
        return
    print_machine(device)
    _print(kept, options)


def _kept(options: argparse.Namespace) -> dict[str, Any]:
    """What was run before, if it was run for as long."""
    length = {"steps": options.steps, "seconds": options.seconds}
    if options.out.exists():
        kept = json.loads(options.out.read_text("utf-8"))
        if kept["length"] != length:
            sys.exit(
                f"{options.out} holds rows of another length, {kept['length']}: name another file by --out."
            )
        return kept
    return {"length": length, "times": {}, "rows": {}}


def _keep(kept: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def _print(kept: dict[str, Any], options: argparse.Namespace) -> None:
    """For each row: the median, the lowest and the highest of its seeds, and how far above the recipe."""

    def losses(name: str) -> dict[int, float]:
        results = kept["rows"].get(name, [])
        return {r["seed"]: r["validation_loss"] for r in results if r["seed"] in options.seeds}

    def spread(values: list[float], sign: str = "") -> str:
        if not values:
            return ""
        low, high = (f"{extreme:{sign}.3f}" for extreme in (min(values), max(values)))
        return f"{statistics.median(values):{sign}.3f} ({low} to {high})"

    recipe = losses("recipe")
    print("| | loss | above the recipe | time of a character | weights |\n|---|---|---|---|---|")
    for name in options.rows:
        found = losses(name)
        if not found:
            continue
        above = [found[seed] - recipe[seed] for seed in found if name != "recipe" and seed in recipe]
        cells = (
            ROWS[name].about,
            spread(list(found.values())),
            spread(above, "+"),
            f"{kept['times'].get(name, math.nan):.2f}",
            f"{kept['rows'][name][0]['parameters']:,}",
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
