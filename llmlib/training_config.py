"""How to train: one frozen configuration, every number with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are nanoGPT's for a small model on characters.

    steps:               how many times the weights are changed.
    batch_size:          windows per step: more make the gradient less noisy and the step slower.
    accumulation:        into how many parts those windows are divided, one of which is in memory at a time.
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
    accumulation: int = 1
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
            ("accumulation", 1),
            ("warmup_steps", 0),
            ("evaluation_interval", 1),
            ("evaluation_blocks", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}: got {getattr(self, name)}")
        if self.accumulation > self.batch_size:
            raise ValueError(
                f"accumulation divides the batch, so it must be at most {self.batch_size}: "
                f"got {self.accumulation}"
            )
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
