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
    "3.x 7,b 1.A 2.é 1.2b ,9 .z 4. 5",
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


@pytest.mark.parametrize("seed", range(10))
def test_words_of_any_text_are_those_of_mteval_13a(seed):
    rng = random.Random(seed)
    parts = [
        *map(chr, range(32, 127)),
        *"09.,-'&",
        "\n",
        "-\n",
        "\t",
        "é",
        "猫",
        "—",
        " ",
        "&quot;",
        "&amp;lt;",
        "<skipped>",
    ]
    for _ in range(60):
        text = "".join(rng.choices(parts, k=rng.randint(0, 25)))
        assert tokenize_13a(text) == Tokenizer13a()(text.rstrip()).split(), repr(text)


LENGTHS = [
    # The candidate's, and those of its references: nearer above, nearer below, equally near, all on one side.
    *((6, (7, 3)), (6, (9, 5)), (6, (8, 4)), (6, (4, 8))),
    *((6, (8, 9, 12)), (6, (2, 4, 5)), (6, (6, 12)), (6, (7, 5, 6))),
]


@pytest.mark.parametrize(("candidate", "references"), LENGTHS)
def test_the_nearest_reference_s_length_counts_as_in_sacrebleu(candidate, references):
    words = list("abcdefghijkl")
    its = [" ".join(words[:n]) for n in references]
    hypothesis = " ".join(words[:candidate])
    wanted = BLEU().corpus_score([hypothesis], [[reference] for reference in its])
    nearest = min(references, key=lambda n: (abs(n - candidate), n))
    assert wanted.ref_len == nearest
    assert standard_bleu([hypothesis], [its]) == pytest.approx(wanted.score / 100)
    # Beside another text that is too short, a reference's length shows even where it is the smaller one.
    several = ([hypothesis, "a b c d e"], [its, [" ".join(words)]])
    assert standard_bleu(*several) == pytest.approx(theirs(*several), abs=1e-12)
    assert standard_bleu(*several) < standard_bleu([several[0][0]], [several[1][0]])


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


@pytest.mark.parametrize("smoothing", ["exp", "none"])
@pytest.mark.parametrize(
    ("candidates", "references"),
    [
        ([""], [["a b"]]),
        (["a b c d e"], [[""]]),
        (["", "a b c d e"], [["a"], ["a b c d x", ""]]),
        (["a"], [["a"]]),
        (["a b c"], [["a b c", "a b"]]),
        (["a a a a a a"], [["a a", "a a a"]]),
        (["The Owl."], [["the owl ."]]),
        (["x y z w v"], [["a b c d e"]]),
    ],
)
def test_odd_texts_are_sacrebleu_s(candidates, references, smoothing):
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
