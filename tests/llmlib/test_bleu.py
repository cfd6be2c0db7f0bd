"""BLEU and its words against sacrebleu's."""

from __future__ import annotations

import random

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from llmlib.bleu import bleu, clipped_counts, tokenize_13a

HARD = [
    "The price was $1,234.56, they said; about 3.5% (or more)!",
    "He said: \"Don't go — it's 5-10 km away...\"",
    "state-of-the-art, e.g. v13a. &quot;A &amp; B&quot; &lt;tag&gt;",
    "a-\nb\nc <skipped>  ends here.  ",
    "Größe: 12,5 cm. Ende,",
    ",start .5 5. ...",
    "tab\there [x]{y}`z~ a_b c/d e\\f",
    "",
    "2-3-4 x-5 5-x",
]


def corpus(seed, items=6):
    rng = random.Random(seed)
    words = ["the", "a", "cat", "dog", "sat", "on", "mat", "ran"]

    def text():
        return " ".join(rng.choices(words, k=rng.randint(1, 12)))

    references = [[text() for _ in range(rng.choice([1, 2, 3]))] for _ in range(items)]
    hypotheses = []
    for its in references:
        copied = rng.choice(its).split()
        hypotheses.append(" ".join(w if rng.random() < 0.8 else rng.choice(words) for w in copied))
    return hypotheses, references


def theirs(hypotheses, references, **options):
    most = max(map(len, references))
    streams = [[its[i] if i < len(its) else None for its in references] for i in range(most)]
    return BLEU(**options).corpus_score(hypotheses, streams).score


@pytest.mark.parametrize("text", HARD)
def test_words_are_those_of_mteval_13a(text):
    assert tokenize_13a(text) == Tokenizer13a()(text.rstrip()).split()


@pytest.mark.parametrize("smoothing", ["exp", "none"])
@pytest.mark.parametrize("seed", range(12))
def test_as_sacrebleu_does_it(seed, smoothing):
    hypotheses, references = corpus(seed)
    expected = theirs(hypotheses, references, smooth_method=smoothing, tokenize="none")
    assert bleu(hypotheses, references, smoothing=smoothing) == pytest.approx(expected, abs=1e-9)
    tokens = [h.split() for h in hypotheses], [[r.split() for r in its] for its in references]
    assert bleu(*tokens, smoothing=smoothing) == pytest.approx(expected, abs=1e-9)
    for max_n in (1, 2, 6):
        expected = theirs(
            hypotheses, references, smooth_method=smoothing, tokenize="none", max_ngram_order=max_n
        )
        assert bleu(hypotheses, references, max_n=max_n, smoothing=smoothing) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_single_short_texts(seed):
    """One sentence at a time is where nothing matches, and where smoothing decides."""
    hypotheses, references = corpus(seed, items=1)
    for smoothing in ("exp", "none"):
        expected = theirs(hypotheses, references, smooth_method=smoothing, tokenize="none")
        assert bleu(hypotheses, references, smoothing=smoothing) == pytest.approx(expected, abs=1e-9)


def test_real_punctuation():
    references = [[text] for text in HARD if text]
    hypotheses = [text.replace("a", "the", 1) for text in HARD if text]
    assert bleu(hypotheses, references) == pytest.approx(theirs(hypotheses, references), abs=1e-9)
    assert 0 < bleu(hypotheses, references) < 100


def test_papineni_s_example_of_clipping():
    references = [["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat", "on", "the", "mat"]]
    assert clipped_counts(["the"] * 7, references, 1) == (2, 7)
    assert clipped_counts(["the"] * 7, references, 2) == (0, 6)
    assert clipped_counts(["the"], references, 2) == (0, 0)


def test_by_hand():
    # Unigrams 3 of 4, bigrams 1 of 3, and one word shorter than the reference.
    hypothesis, reference = ["the", "cat", "on", "mat"], ["the", "cat", "sat", "on", "a"]
    assert bleu([hypothesis], [[reference]], max_n=2) == pytest.approx(
        100 * (3 / 4 * 1 / 3) ** 0.5 * 2.718281828**-0.25
    )


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="1 hypotheses and 2 lists"):
        bleu(["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="0 hypotheses"):
        bleu([], [])
    with pytest.raises(ValueError, match=r"references\[0\] must be a list.*'a b'.*a list of its own"):
        bleu(["a b"], ["a b"])
    with pytest.raises(ValueError, match=r"references\[1\]"):
        bleu(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="smoothing = 'floor'"):
        bleu(["a"], [["a"]], smoothing="floor")
    with pytest.raises(ValueError, match="max_n = 0"):
        bleu(["a"], [["a"]], max_n=0)
