"""A small course with an exercise of each sort, and the real chapters before they are executed."""

from __future__ import annotations

from pathlib import Path

from autograder import exercises, notebooks
from autograder.exercise import Case, Chapter, Check, Exercise
from autograder.manuscript import read
from autograder.solving import solve
from llmlib import attention

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://example.org/course"


def exercise(name, number, kind="code", **about):
    """An exercise on a real function, or one whose right value is 7."""
    if kind in ("code", "bug hunt"):
        reference = getattr(attention, name.split(".")[1], attention.causal_mask)
        checks = (Check("is right", 3, lambda generator: [Case({"length": 3})]),)
    else:
        reference = None
        checks = (Check("is seven", 2, judge=lambda value, generator: None if value == 7 else "it is not"),)
    common = {"title": f"Title of {number}", "minutes": 5, "difficulty": 2, "hints": ("Think.",)}
    return Exercise(name, number, checks=checks, kind=kind, reference=reference, **{**common, **about})


SMALL = Chapter(
    number=3,
    slug="03-small",
    title="A small chapter",
    imports="import torch\nfrom jaxtyping import Bool\nfrom torch import Tensor",
    exercises=(
        exercise("attention.causal_mask", "3.1"),
        exercise("attention.guess", "3.2", "experiment", answer_name="guess"),
        exercise(
            "attention.mended",
            "3.3",
            "bug hunt",
            starter="def mended(length):\n    return torch.ones(length, length).triu().bool()",
        ),
    ),
)
OTHER = Chapter(4, "04-other", "Another chapter", "import torch", (exercise("attention.softmax", "4.1"),))

TEXT = """\
---
kernelspec:
  name: python3
---

# A small chapter

Some words.

```{code-cell} ipython3
print("hello")
```

+++ {"exercise": "attention.causal_mask"}

Write it.

+++

```{code-cell} ipython3
print("hello")
```

+++ {"exercise": "attention.guess"}

Guess.

```{code-cell} ipython3
given = 1
### BEGIN SOLUTION
guess = 7
### END SOLUTION
```

+++ {"exercise": "attention.mended"}

Mend it.

```{code-cell} ipython3
### BEGIN SOLUTION
def mended(length):
    return torch.ones(length, length).tril().bool()
### END SOLUTION
```

+++ {"exercise": "attention.why", "kind": "words", "points": 3, "minutes": 4, "difficulty": 1, "title": "Why"}

Why?

+++ {"answer": true}

Because the secret reason holds.

+++

The end.
"""


def solve_real(slug):
    path = ROOT / "book" / f"{slug}.md"
    manuscript = read(path, exercises.chapters(), f"book/{slug}.md")
    return solve(manuscript, notebooks.repository(ROOT))
