"""Whether an assembled package does what `llmlib` does, tried at equal weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from autograder.assembling import AssemblyError, modules_needed

MOST_DIFFERENCE = 1e-4
COMPARISON = """
import importlib, json, sys
import torch
folder, name, *modules = sys.argv[1:]
sys.path.insert(0, folder)
for module in modules:
    importlib.import_module(module)
torch.set_num_threads(1)
most, same, count = 0.0, True, 0
for shape in ({}, {"positions": "sinusoidal"}, {"tie_weights": False, "bias": False}):
    models = []
    for package in (name, "llmlib"):
        gpt = importlib.import_module(package + ".gpt")
        config = gpt.GPTConfig(13, context_length=8, d_model=12, n_layers=2, n_heads=3, **shape)
        models.append(gpt.GPT(config, generator=1).eval())
    mine, course = models
    course.load_state_dict(mine.state_dict())
    tokens = torch.randint(13, (2, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        most = max(most, float((mine(tokens) - course(tokens)).abs().max()))
    samples = []
    for package, model in ((name, mine), ("llmlib", course)):
        generate = importlib.import_module(package + ".generation").generate
        samples.append(generate(model, tokens[:1, :3], 12, generator=torch.Generator().manual_seed(2)))
    same, count = same and torch.equal(*samples), count + 1
print(json.dumps({"difference": most, "same_sample": same, "configurations": count}))
"""


def agreement_of(folder: Path) -> str:
    """Run the package beside `llmlib` at equal weights, in a process of its own, and say how they agree.

    Raises:
        AssemblyError: it does not run, or its logits differ.
    """
    modules = [f"{folder.name}.{module}" for module in modules_needed()]
    command = [sys.executable, "-c", COMPARISON, str(folder.parent), folder.name, *modules]
    environment = {**os.environ, "AUTOGRADER_PROGRESS": "off"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise AssemblyError(f"the assembled package does not run: {last}")
    result = json.loads(ran.stdout.strip().splitlines()[-1])
    if result["difference"] > MOST_DIFFERENCE or not result["same_sample"]:
        raise AssemblyError(
            f"the assembled model differs from the course's by {result['difference']:.2g} in its logits at "
            "equal weights, though every part passed its checks: please report this"
        )
    return (
        f"At equal weights its logits and the course's differ by at most {result['difference']:.1e} (in "
        f"{result['configurations']} small configurations), and the same seed gives the same sample."
    )
