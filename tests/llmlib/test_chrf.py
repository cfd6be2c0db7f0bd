"""chrF against sacrebleu's."""

from __future__ import annotations

import random

import pytest
from sacrebleu.metrics import CHRF

from llmlib.chrf import chrf


def corpus(seed, items=5):
    rng = random.Random(seed)

    def text(most=30):
        return "".join(rng.choices("aabbcé  ", k=rng.randint(0, most)))

    references = [[text() for _ in range(rng.choice([1, 2, 3]))] for _ in range(items)]
    hypotheses = [
        "".join(c if rng.random() < 0.8 else rng.choice("ab ") for c in rng.choice(its)) for its in references
    ]
    return hypotheses, references


def theirs(hypotheses, references, **options):
    most = max(map(len, references))
    streams = [[its[i] if i < len(its) else None for its in references] for i in range(most)]
    return CHRF(**options).corpus_score(hypotheses, streams).score


@pytest.mark.parametrize("beta", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 3, 6])
@pytest.mark.parametrize("seed", range(8))
def test_as_sacrebleu_does_it(seed, n, beta):
    hypotheses, references = corpus(seed)
    expected = theirs(hypotheses, references, char_order=n, beta=beta)
    assert chrf(hypotheses, references, n, beta) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_single_short_texts(seed):
    hypotheses, references = corpus(100 + seed, items=1)
    assert chrf(hypotheses, references) == pytest.approx(theirs(hypotheses, references), abs=1e-9)


def test_by_hand():
    # One letter of four is wrong: 3 of 4 letters, 1 of 3 pairs ("ab"), both ways.
    assert chrf(["abxd"], [["abcd"]], n=2) == pytest.approx(100 * (3 / 4 + 1 / 3) / 2)
    assert chrf(["ab cd"], [["abcd"]]) == pytest.approx(100)
    assert chrf(["xyz"], [["abc"]]) == 0
    assert chrf([""], [["abc"]]) == 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="1 hypotheses and 0 lists"):
        chrf(["a"], [])
    with pytest.raises(ValueError, match="a list of its own"):
        chrf(["a"], ["a"])
    with pytest.raises(ValueError, match="at least one character: got n = 0"):
        chrf(["a"], [["a"]], n=0)
