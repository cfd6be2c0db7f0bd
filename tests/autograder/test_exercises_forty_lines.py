"""What is particular to the bug hunt of chapter 7: the script and its lines, partial points, every repair."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
import torch

from autograder.exercises import find
from autograder.exercises.pretraining import CHAPTER, find_faults
from autograder.exercises.pretraining.repair_model import STARTER as MODEL
from autograder.exercises.pretraining.repair_script import STARTER as TRAINING
from autograder.grading import grade_callable

torch.set_num_threads(1)
FIND, REPAIR_MODEL, REPAIR_SCRIPT = find("7.8"), find("7.9"), find("7.10")

MANUSCRIPT = (Path(__file__).parents[2] / "book/07-pretraining.md").read_text("utf-8")
SCRIPT = re.search(r'^script = """\\\n(.*?)^"""', MANUSCRIPT, re.DOTALL | re.MULTILINE).group(1).splitlines()
RIGHT = FIND.alternatives[0].answer()


# --- 7.8: the lines that the judge knows are those of the script


def test_the_script_has_forty_lines_and_the_faults_stand_where_the_judge_looks():
    assert len(SCRIPT) == find_faults.LINES == 40
    words = {
        "B": ["self.attention(x, x, x)"],
        "C": ["learning_rate, clip", "AdamW(model.parameters())", "backward()", "optimizer.step()"],
        "E": ["x = self.norm1", "x, _ =", "x = self.mlp"],
        "F": ["for batch in loader:", "batch.flatten())", "argmax(-1) == batch"],
        "G": ["nn.MultiheadAttention(d_model, n_heads)", "self.attention(x, x, x)"],
        "I": ["import DataLoader", "TextDataset("],
        "J": ["text =", "tokens =", "loader =", "no_grad", "hits =", "print("],
        "K": ["nn.Embedding", "self.embedding(batch)"],
    }
    assert words.keys() == find_faults.FAULTS.keys()
    for letter, lines in find_faults.FAULTS.items():
        assert [
            word in SCRIPT[line - 1] for line, word in zip(sorted(lines), words[letter], strict=True)
        ] == [True] * len(lines), letter


def test_the_script_names_one_thing_that_does_not_exist():
    source = "\n".join(SCRIPT).replace("60_000", "600")
    with pytest.raises(NameError, match="TextDataset"):
        exec(compile(source, "forty_lines.py", "exec"), {})


@pytest.mark.parametrize("count", range(1, 9))
def test_each_fault_found_is_a_point(count):
    for faults in (RIGHT[:count], RIGHT[-count:]):
        assert grade_callable(FIND, faults).points == count


def test_a_guess_of_all_lines_and_letters_is_no_answer():
    everything = [(line, letter) for line in range(1, 41) for letter in find_faults.LETTERS]
    report = grade_callable(FIND, everything)
    assert report.points == 0 and "decide" in report.reason


def test_the_same_fault_counts_once():
    assert grade_callable(FIND, [(20, "G"), (26, "G"), (20, "g")]).points == 1


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([(13, "I"), (3, "B")], "1 of 8 found; not right: 3, B: this line is innocent"),
        ([(13, "I"), (34, "G")], "34, G: this line has a fault, but this is not what it does"),
        ([(13, "I"), (12, "H")], "12, H: a false alarm"),
        ([(13, "I")], "1 of 8 found"),
        ([(13, "I"), 26], "`faults[1]` should be a pair"),
        ([(True, "I")], "should be a whole number from 1 to 40"),
        ([(41, "I")], "should be a whole number from 1 to 40"),
        ([(13, "M")], "should be one of A to L"),
        ([(13, "")], "should be one of A to L"),
        ({"13": "I"}, "should be a list of pairs"),
    ],
)
def test_what_is_said(faults, said):
    report = grade_callable(FIND, faults)
    assert said in report.reason
    # A line that was not named by the learner is never named by the judge.
    named = {int(n) for n in re.findall(r"(?<=: )\d+(?=,)|(?<=; )\d+(?=,)", report.reason)}
    assert named <= {item[0] for item in faults if isinstance(item, tuple)}


# --- 7.9 and 7.10: each repair counts for itself, and only all of them are enough

MODEL_REPAIRS = {
    "batch": (("Attention(d_model, n_heads)", "Attention(d_model, n_heads, batch_first=True)"),),
    "positions": (
        ("self.embedding(tokens)", "(self.embedding(tokens) + self.positions.weight[: tokens.shape[1]])"),
    ),
    "residual": (
        ("x = self.norm1(", "x = ("),
        ("x, _ = self.attention(x, x, x)", "h = self.norm1(x)\n        x = x + self.attention(h, h, h)[0]"),
        ("x = self.mlp", "x = x + self.mlp"),
    ),
}
MASK = "attn_mask=torch.ones(tokens.shape[1], tokens.shape[1], device=tokens.device).bool().triu(1)"


def _model(repairs):
    source = MODEL
    for name in MODEL_REPAIRS:
        for old, new in MODEL_REPAIRS[name] if name in repairs else ():
            assert source.count(old) == 1, old
            source = source.replace(old, new)
    if "mask" in repairs:
        source = re.sub(
            r"self\.attention\((\w), (\w), (\w)\)", rf"self.attention(\1, \2, \3, {MASK})", source
        )
    namespace = {}
    exec(CHAPTER.imports + source, namespace)
    return namespace["FortyLines"]


def test_each_of_the_model_s_faults_must_go():
    everything = (*MODEL_REPAIRS, "mask")
    assert grade_callable(REPAIR_MODEL, _model(everything)).status == "passed"
    for count in range(4):
        for repairs in combinations(everything, count):
            report = grade_callable(REPAIR_MODEL, _model(repairs))
            left = [name for name in ("residual", "batch", "positions", "mask") if name not in repairs]
            assert report.misconception.id == "left-" + "-".join(left)
            # A mask along the wrong axis raises an error; and it counts once attention has the right one.
            lost = {"mask", "batch"} & set(left)
            assert report.points == (4 - len(left)) - (lost == {"batch"}), repairs


def test_the_model_s_starter_runs_and_is_the_post_s():
    model = _model(())(7, 5, 4, 2)
    assert model(torch.tensor([[1, 2, 3], [4, 5, 6]])).shape == (2, 3, 7)
    forward = MODEL[MODEL.index("x = self.norm1") :].splitlines()
    post = "\n".join(SCRIPT[24:28]).replace("batch", "tokens").strip().splitlines()
    assert [line.strip() for line in forward] == [line.strip() for line in post]


SCRIPT_REPAIRS = {
    "names": (
        ("    dataset = TextDataset(train_tokens, context_length)\n", ""),
        (
            "inputs = dataset.batch(batch_size, generator)",
            "inputs, targets = get_batch(train_tokens, batch_size, context_length, generator)",
        ),
    ),
    "shift": (
        ("inputs.flatten())\n            optimizer", "targets.flatten())\n            optimizer"),
        ("inputs = train_tokens[:n]", "inputs, targets = train_tokens[:n], train_tokens[1 : n + 1]"),
        ("cross_entropy(logits, inputs)", "cross_entropy(logits, targets)"),
        ("== inputs)", "== targets)"),
    ),
    "numbers": (
        ("AdamW(model.parameters())", "AdamW(model.parameters(), lr=learning_rate)"),
        ("optimizer.step()", "clip_gradients(model.parameters(), clip); optimizer.step()"),
    ),
}


def _training(repairs):
    source = TRAINING
    for name, changes in SCRIPT_REPAIRS.items():
        for old, new in changes if name in repairs else ():
            assert source.count(old) == 1, old
            source = source.replace(old, new)
    if "score" in repairs:
        begin, middle, end = source.partition("    n = ")
        source = begin + middle + end.replace("train_tokens", "validation_tokens")
    namespace = {}
    exec(CHAPTER.imports + source, namespace)
    return namespace["train_and_score"]


def test_each_of_the_script_s_faults_must_go():
    others = ("shift", "score", "numbers")
    assert grade_callable(REPAIR_SCRIPT, _training(("names", *others))).status == "passed"
    for count in range(3):
        for repairs in combinations(others, count):
            report = grade_callable(REPAIR_SCRIPT, _training(("names", *repairs)))
            left = [name for name in others if name not in repairs]
            assert report.misconception.id == "left-" + "-".join(left)
            assert report.points == 1 + ("shift" in repairs) + ("score" in repairs) + 2 * (
                "numbers" in repairs
            )
            report = grade_callable(REPAIR_SCRIPT, _training(repairs))
            assert (report.points, report.misconception.id) == (0, "nothing-repaired")
