"""Models and their trainings under a name: the course's recipe, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from llmlib.gpt import GPT, GPTConfig
from llmlib.modern import ModernGPT, ModernGPTConfig
from llmlib.training_config import TrainingConfig


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
