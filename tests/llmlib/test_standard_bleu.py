"""BLEU as it is reported, and its words, against sacrebleu's."""

from __future__ import annotations

import random

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from llmlib.bleu import bleu
from llmlib.standard_bleu import standard_bleu, tokenize_13a

HARD = [
    "The price was $1,234.56, they said; about 3.5% (or more)!",
    "He said: \"Don't go — it's 5-10 km away...\"",
    "state-of-the-art, e.g. v13a. &quot;A &amp; B&quot; &lt;tag&gt; &amp;lt;",
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
    candidates = []
    for its in references:
        copied = rng.choice(its).split()
        candidates.append(" ".join(w if rng.random() < 0.8 else rng.choice(words) for w in copied))
    return candidates, references


def theirs(candidates, references, **options):
    most = max(map(len, references))
    streams = [[its[i] if i < len(its) else None for its in references] for i in range(most)]
    return BLEU(**options).corpus_score(candidates, streams).score / 100


@pytest.mark.parametrize("text", HARD)
def test_words_are_those_of_mteval_13a(text):
    assert tokenize_13a(text) == Tokenizer13a()(text.rstrip()).split()


@pytest.mark.parametrize("smoothing", ["exp", "none"])
@pytest.mark.parametrize("seed", range(8))
def test_several_references_are_sacrebleu_s(seed, smoothing):
    candidates, references = corpus(seed)
    for max_n in (1, 2, 4, 6):
        wanted = theirs(candidates, references, smooth_method=smoothing, max_ngram_order=max_n)
        got = standard_bleu(candidates, references, max_n=max_n, smoothing=smoothing)
        assert got == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_single_short_texts(seed):
    """One sentence alone is where nothing is found, and where smoothing decides."""
    candidates, references = corpus(seed, items=1)
    for smoothing in ("exp", "none"):
        wanted = theirs(candidates, references, smooth_method=smoothing)
        assert standard_bleu(candidates, references, smoothing=smoothing) == pytest.approx(wanted, abs=1e-12)


def test_real_punctuation():
    references = [[text] for text in HARD if text]
    candidates = [text.replace("a", "the", 1) for text in HARD if text]
    wanted = theirs(candidates, references)
    assert 0 < wanted < 1
    assert standard_bleu(candidates, references) == pytest.approx(wanted)


def test_papineni_s_seven_times_the():
    references = [["the cat is on the mat", "there is a cat on the mat"]]
    assert standard_bleu(["the the the the the the the"], references, max_n=1) == pytest.approx(2 / 7)


@pytest.mark.parametrize("seed", range(4))
def test_with_one_reference_and_plain_settings_it_is_the_chapter_s_bleu(seed):
    candidates, references = corpus(seed)
    candidates += ["the cat sat on the mat"]
    references = [its[:1] for its in references] + [["the cat sat on a mat"]]
    plain = bleu([c.split() for c in candidates], [r.split() for (r,) in references])
    assert standard_bleu(candidates, references, smoothing="none", tokenize=str.split) == pytest.approx(plain)


def test_errors_say_what_was_expected_and_what_came():
    for call, words in (
        (lambda: standard_bleu(["a"], [["a"], ["b"]]), "1 candidates and 2 lists"),
        (lambda: standard_bleu([], []), "0 candidates"),
        (
            lambda: standard_bleu(["a b"], ["a b"]),
            r"references\[0\] must .*'a b'.*a list of its own",
        ),
        (lambda: standard_bleu(["a", "b"], [["a"], []]), r"references\[1\]"),
        (lambda: standard_bleu(["a"], [["a"]], smoothing="floor"), "smoothing 'floor'"),
        (lambda: standard_bleu(["a"], [["a"]], max_n=0), "max_n 0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
