"""The metrics against other people's: scikit-learn, sacrebleu, scipy, and definitions written out."""

from __future__ import annotations

import math
import random
from itertools import combinations

import numpy as np
import pytest
import sacrebleu
import torch
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.feature_extraction.text import CountVectorizer
from torch.nn import functional as F

from llmlib.bleu import bleu, brevity_penalty, clipped_counts
from llmlib.bootstrap import bootstrap_interval, paired_bootstrap, resample
from llmlib.calibration import expected_calibration_error, reliability
from llmlib.chrf import chrf
from llmlib.classification import accuracy, confusion_matrix, precision_recall_f1
from llmlib.diversity import distinct_n, repetition
from llmlib.leakage import ngram_overlap
from llmlib.perplexity import bits_per_byte, perplexity
from llmlib.rouge import longest_common_subsequence, rouge_l

torch.set_num_threads(1)
SEEDS = range(6)


def texts(seed, count=4, longest=14, words=("the", "a", "red", "ball", "owl", "saw", "lost", "in")):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest, (count,), generator=generator).tolist()
    return [[words[i] for i in torch.randint(len(words), (n,), generator=generator)] for n in lengths]


# --- Perplexity and bits per byte


def test_perplexity_is_the_inverse_geometric_mean():
    probabilities = torch.tensor([1 / 2, 1 / 4, 1 / 8], dtype=torch.float64)
    assert perplexity(-probabilities.log()) == pytest.approx(4)
    assert perplexity(torch.full((7,), math.log(48.0))) == pytest.approx(48)
    logits, targets = torch.randn(9, 5), torch.arange(9) % 5
    nats = F.cross_entropy(logits, targets, reduction="none")
    assert perplexity(nats) == pytest.approx(float(F.cross_entropy(logits, targets).exp()), rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_perplexity_is_the_exponential_of_scikit_learn_s_log_loss(seed):
    generator = torch.Generator().manual_seed(seed)
    n, classes = 1 + seed * 7, 2 + seed
    logits = 4 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    targets = torch.randint(classes, (n,), generator=generator)
    nats = F.cross_entropy(logits, targets, reduction="none")
    wanted = metrics.log_loss(targets, logits.softmax(dim=-1), labels=range(classes))
    assert math.log(perplexity(nats)) == pytest.approx(wanted)
    assert math.log(perplexity(nats.float())) == pytest.approx(wanted, rel=1e-5)
    text = "né 猫\n🦉" * (seed + 1)
    size = len(np.frombuffer(text.encode(), dtype=np.uint8))
    assert bits_per_byte(nats, text) == pytest.approx(np.log2(np.exp(wanted)) * n / size)


def test_a_hopeless_model_has_a_perplexity_too():
    assert perplexity(torch.tensor([800.0])) == perplexity(torch.tensor([1.0, math.inf])) == math.inf
    assert perplexity(torch.zeros(3)) == 1
    # Many small surprises in half precision: their sum would not fit into it.
    many = torch.full((200_000,), 0.5, dtype=torch.float16)
    assert bits_per_byte(many, "a" * 200_000) == pytest.approx(0.5 / math.log(2))
    assert perplexity(many) == pytest.approx(math.sqrt(math.e))


@pytest.mark.parametrize("seed", SEEDS)
def test_bits_per_byte_are_the_same_for_every_tokenizer_of_one_model(seed):
    """A model of bytes, read out by characters, by pieces and whole: a token has its bytes' surprise."""
    rng = random.Random(seed)
    text = "".join(rng.choices("ab é猫🦉\n", k=rng.randint(1, 40)))
    of_bytes = {bytes([byte]): rng.uniform(0.01, 9) for byte in set(text.encode())}

    def read_out(tokens):
        assert "".join(tokens) == text
        return torch.tensor([sum(of_bytes[bytes([b])] for b in t.encode()) for t in tokens]).double()

    cuts = sorted(rng.sample(range(len(text) + 1), k=min(5, len(text))))
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True) if i < j]
    wanted = sum(of_bytes[bytes([b])] for b in text.encode()) / math.log(2) / len(text.encode())
    nats = [read_out(tokens) for tokens in (list(text), pieces, [text])]
    assert [bits_per_byte(n, text) for n in nats] == pytest.approx([wanted] * 3)
    assert perplexity(nats[2]) > perplexity(nats[0]) or len(text) == 1


def test_bits_per_byte_do_not_depend_on_the_cut():
    text = "Über 猫"
    nats = torch.tensor([0.5, 1.0, 2.0, 0.1])
    together = torch.tensor([1.5, 2.1])
    assert bits_per_byte(nats, text) == pytest.approx(bits_per_byte(together, text))
    assert bits_per_byte(nats, text) == pytest.approx(3.6 / math.log(2) / 9)
    assert bits_per_byte(torch.full((3,), math.log(256)), "abc") == pytest.approx(8)


# --- Classification


@pytest.mark.parametrize("seed", SEEDS)
def test_classification_is_scikit_learn_s(seed):
    generator = torch.Generator().manual_seed(seed)
    # The last class is nowhere: an empty class counts, with 0.
    targets, predictions = torch.randint(4, (2, 12), generator=generator)
    confusion = confusion_matrix(targets, predictions, 5)
    labels = list(range(5))
    assert confusion.tolist() == metrics.confusion_matrix(targets, predictions, labels=labels).tolist()
    assert accuracy(confusion) == pytest.approx(metrics.accuracy_score(targets, predictions))
    for average in ("micro", "macro"):
        wanted = metrics.precision_recall_fscore_support(
            targets, predictions, labels=labels, average=average, zero_division=0
        )
        assert precision_recall_f1(confusion, average) == pytest.approx(wanted[:3])
    assert precision_recall_f1(confusion, "micro")[2] == pytest.approx(accuracy(confusion))


def test_classification_of_the_chapter():
    pictures = torch.tensor([[6, 0, 2], [2, 8, 0], [2, 0, 0]])
    wanted = ((6 / 10 + 8 / 8) / 3, (6 / 8 + 8 / 10) / 3, (12 / 18 + 16 / 18) / 3)
    assert precision_recall_f1(pictures, "macro") == pytest.approx(wanted)
    assert precision_recall_f1(pictures, "micro") == pytest.approx([0.7] * 3)
    spam = torch.tensor([[83, 9], [2, 6]])
    assert precision_recall_f1(spam, "macro")[2] == pytest.approx((12 / 23 + 166 / 177) / 2)
    assert accuracy(spam) == pytest.approx(0.89) and accuracy(torch.tensor([[92, 0], [8, 0]])) == 0.92


LABELS = {
    "one class": ([0, 0, 0], [0, 0, 0], 1),
    "all wrong": ([0, 1, 1], [1, 0, 0], 2),
    "nothing of the last, and it is said": ([0, 1, 1, 0], [0, 2, 1, 2], 3),
    "the last is there, and never said": ([0, 2, 1, 2], [0, 1, 1, 0], 3),
    "the first is nowhere": ([1, 2, 2], [1, 2, 1], 3),
    "a single answer": ([3], [1], 6),
    "no answer": ([], [], 2),
}


@pytest.mark.parametrize("name", LABELS)
def test_odd_classes_are_scikit_learn_s(name):
    targets, predictions, n_classes = LABELS[name]
    confusion = confusion_matrix(*torch.tensor([targets, predictions], dtype=torch.long), n_classes)
    assert confusion.sum() == len(targets) and confusion.shape == (n_classes, n_classes)
    for average in ("micro", "macro"):
        wanted = (
            metrics.precision_recall_fscore_support(
                targets, predictions, labels=range(n_classes), average=average, zero_division=0
            )[:3]
            if targets
            else (0, 0, 0)
        )
        assert precision_recall_f1(confusion, average) == pytest.approx(wanted)


@pytest.mark.parametrize("seed", range(20))
def test_many_sizes_are_scikit_learn_s(seed):
    """Few items and many classes: some are never there, some never said, some both."""
    rng = random.Random(seed)
    n_classes = rng.randint(2, 12)
    targets, predictions = (torch.tensor(rng.choices(range(n_classes), k=n_classes + seed)) for _ in range(2))
    predictions[::2] = targets[::2]
    confusion = confusion_matrix(targets, predictions, n_classes)
    labels = list(range(n_classes))
    assert confusion.tolist() == metrics.confusion_matrix(targets, predictions, labels=labels).tolist()
    assert accuracy(confusion) == pytest.approx(metrics.accuracy_score(targets, predictions))
    for average in ("micro", "macro"):
        for transposed in (False, True):  # precision and recall change places
            pair = (predictions, targets) if transposed else (targets, predictions)
            wanted = metrics.precision_recall_fscore_support(
                *pair, labels=labels, average=average, zero_division=0
            )
            counts = confusion.T if transposed else confusion
            assert precision_recall_f1(counts, average) == pytest.approx(wanted[:3])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_small_whole_numbers_are_classes_too(dtype):
    """15 times 20 does not fit into a byte."""
    targets, predictions = torch.randint(20, (2, 60), generator=torch.Generator().manual_seed(0))
    wanted = metrics.confusion_matrix(targets, predictions, labels=range(20)).tolist()
    assert confusion_matrix(targets.to(dtype), predictions.to(dtype), 20).tolist() == wanted


# --- Calibration


def by_hand(confidences, correct, n_bins):
    error = 0.0
    for place in range(n_bins):
        low, high = place / n_bins, (place + 1) / n_bins
        inside = [(c, r) for c, r in zip(confidences, correct, strict=True) if low < c <= high]
        if inside:
            sure, right = (sum(x) / len(inside) for x in zip(*inside, strict=True))
            error += len(inside) / len(confidences) * abs(sure - right)
    return error


@pytest.mark.parametrize("n_bins", [1, 3, 10])
def test_the_calibration_error_is_its_definition(n_bins):
    generator = torch.Generator().manual_seed(n_bins)
    confidences = torch.rand(40, generator=generator, dtype=torch.float64)
    correct = torch.rand(40, generator=generator) < 0.6
    wanted = by_hand(confidences.tolist(), correct.tolist(), n_bins)
    assert expected_calibration_error(confidences, correct, n_bins) == pytest.approx(wanted)
    confidence, share, count = reliability(confidences, correct, n_bins)
    assert float(((confidence - share).abs() * count).nansum() / 40) == pytest.approx(wanted)


def test_edges_belong_to_the_lower_bin_and_nothing_is_lost():
    confidences = torch.tensor([0.0, 0.5, 1.0])
    _, _, count = reliability(confidences, torch.tensor([True, True, False]), 2)
    assert count.tolist() == [2, 1]
    assert expected_calibration_error(torch.ones(4), torch.ones(4, dtype=torch.bool), 10) == 0
    assert reliability(confidences[2:], torch.tensor([True]), 4)[0][:3].isnan().all()


@pytest.mark.parametrize("n_bins", [5, 10, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_edge_as_it_is_written_belongs_to_the_bin_below(dtype, n_bins):
    """0.07 × 100 is a little more than 7: whoever multiplies puts it one bin too high."""
    edges = torch.tensor([place / n_bins for place in range(1, n_bins + 1)], dtype=dtype)
    _, _, count = reliability(edges, edges > 0, n_bins)
    assert count.tolist() == [1] * n_bins
    above = torch.nextafter(edges[:-1], edges[1:])
    assert reliability(above, above > 0, n_bins)[2].tolist() == [0] + [1] * (n_bins - 1)
    correct = torch.arange(n_bins) % 2 == 0
    assert expected_calibration_error(edges, correct, n_bins) == pytest.approx(
        float((edges - correct.to(dtype)).abs().mean()), rel=1e-5
    )


@pytest.mark.parametrize(("n", "n_bins"), [(200, 10), (200, 7), (9, 15), (1, 4), (40, 1)])
@pytest.mark.parametrize("power", [0.5, 2])  # too modest, too sure
def test_the_diagram_and_the_error_are_scikit_learn_s(n, n_bins, power):
    generator = torch.Generator().manual_seed(n + n_bins)
    confidences = torch.rand(n, generator=generator, dtype=torch.float64)
    correct = torch.rand(n, generator=generator) < confidences**power
    right, sure = calibration_curve(correct.numpy(), confidences.numpy(), n_bins=n_bins)
    confidence, share, count = reliability(confidences, correct, n_bins)
    held = count > 0  # scikit-learn leaves empty bins out
    assert int(count.sum()) == n and bool(confidence[~held].isnan().all())
    assert confidence[held].tolist() == pytest.approx(sure.tolist())
    assert share[held].tolist() == pytest.approx(right.tolist())
    in_bins, _ = np.histogram(confidences, bins=n_bins, range=(0, 1))
    wanted = float(np.average(abs(right - sure), weights=in_bins[in_bins > 0]))
    assert expected_calibration_error(confidences, correct, n_bins) == pytest.approx(wanted)


# --- Texts and references


@pytest.mark.parametrize("seed", SEEDS)
def test_bleu_and_chrf_are_sacrebleu_s(seed):
    candidates, references = texts(seed), texts(seed + 100)
    for i in range(2):  # something in common
        candidates[i] = references[i][: 3 + i] + candidates[i][:2] + references[i][3 + i :]
    joined = [[" ".join(words) for words in side] for side in (candidates, references)]
    wanted = sacrebleu.corpus_bleu(joined[0], [joined[1]], tokenize="none", smooth_method="none")
    assert 100 * bleu(candidates, references) == pytest.approx(wanted.score)
    counts = [clipped_counts(c, r, 2) for c, r in zip(candidates, references, strict=True)]
    assert tuple(map(sum, zip(*counts, strict=True))) == (wanted.counts[1], wanted.totals[1])
    assert 100 * chrf(*joined) == pytest.approx(sacrebleu.corpus_chrf(joined[0], [joined[1]]).score)
    for n, beta in ((2, 1), (4, 3)):
        wanted = sacrebleu.corpus_chrf(joined[0], [joined[1]], char_order=n, beta=beta).score
        assert 100 * chrf(*joined, max_n=n, beta=beta) == pytest.approx(wanted)


PAIRS = [
    ([""], ["a b c d"]),
    (["a b c d"], [""]),
    (["", "a b c d e"], ["a b", "a b c d"]),
    (["a b c"], ["a b c"]),  # equal, and too short for a 4-gram
    (["a b c d"], ["a b c d"]),
    (["a a a a a a a"], ["a a"]),
    (["a b c d e f g h"], ["a b c d"]),  # longer: no penalty
    (["a b c d"], ["a b c d e f g h i j k l m n"]),
    (["The owl saw é 猫 🦉 !"], ["the owl saw é 猫 🦉 !"]),
    (["x y z w", "a b c d"], ["a b c d", "x y z w"]),  # the other one's reference
]


@pytest.mark.parametrize(("candidates", "references"), PAIRS)
def test_odd_texts_have_sacrebleu_s_bleu_and_chrf(candidates, references):
    wanted = sacrebleu.corpus_bleu(candidates, [references], tokenize="none", smooth_method="none").score
    split = [[text.split() for text in side] for side in (candidates, references)]
    assert 100 * bleu(*split) == pytest.approx(wanted)
    assert 100 * chrf(candidates, references) == pytest.approx(
        sacrebleu.corpus_chrf(candidates, [references]).score
    )


@pytest.mark.parametrize("max_n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(10))
def test_bleu_of_much_that_is_common_is_sacrebleu_s(seed, max_n):
    """Edited copies, shorter and longer: no score here is 0, and every one of them differs from 1."""
    rng = random.Random(seed)
    references = [text for text in texts(seed, count=6, longest=20) if len(text) >= max_n + 3]
    candidates = []
    for reference in references:
        copy = list(reference)
        for _ in range(rng.randint(1, 2)):
            place = rng.randrange(max_n + 1, len(copy) + 1)
            copy[place - 1 : place] = rng.choice(([], ["new"], ["the", "the"]))
        candidates.append(copy)
    joined = [[" ".join(words) for words in side] for side in (candidates, references)]
    wanted = sacrebleu.metrics.BLEU(tokenize="none", smooth_method="none", max_ngram_order=max_n)
    score = wanted.corpus_score(joined[0], [joined[1]]).score
    assert 0 < score < 100
    assert 100 * bleu(candidates, references, max_n) == pytest.approx(score)
    for n in range(1, max_n + 1):
        counts = [clipped_counts(c, r, n) for c, r in zip(candidates, references, strict=True)]
        found, there = (sum(column) for column in zip(*counts, strict=True))
        theirs = wanted.corpus_score(joined[0], [joined[1]])
        assert (found, there) == (theirs.counts[n - 1], theirs.totals[n - 1])


@pytest.mark.parametrize("pair", [("", "a b"), ("a", "bc"), ("ab", "a"), ("a b c", "abc"), ("é猫", "猫é")])
def test_chrf_of_short_texts_is_sacrebleu_s(pair):
    assert 100 * chrf([pair[0]], [pair[1]]) == pytest.approx(
        sacrebleu.corpus_chrf([pair[0]], [[pair[1]]]).score
    )


@pytest.mark.parametrize("seed", range(8))
def test_chrf_of_any_characters_is_sacrebleu_s(seed):
    rng = random.Random(seed)
    letters = [*"aabbc.AÀ", "e\u0301", "猫", "🦉", " ", "  ", "\t", "\u00a0", "\u2003", "\n"]
    for _ in range(25):
        sides = [["".join(rng.choices(letters, k=rng.randint(0, 12))) for _ in range(3)] for _ in range(2)]
        n, beta = rng.choice([(6, 2), (1, 1), (3, 0.5)])
        wanted = sacrebleu.corpus_chrf(sides[0], [sides[1]], char_order=n, beta=beta).score
        assert 100 * chrf(*sides, max_n=n, beta=beta) == pytest.approx(wanted), sides


@pytest.mark.parametrize("seed", SEEDS)
def test_chrf_with_several_references_is_sacrebleu_s(seed):
    candidates = [" ".join(words) for words in texts(seed)]
    references = [[" ".join(words) for words in texts(seed * 10 + i + 1, count=i % 3 + 1)] for i in range(4)]
    streams = [[its[i] if i < len(its) else None for its in references] for i in range(3)]
    wanted = sacrebleu.corpus_chrf(candidates, streams).score
    assert 100 * chrf(candidates, references) == pytest.approx(wanted)
    candidates[1], references[2][-1] = "", ""  # and with empty ones among them
    streams = [[its[i] if i < len(its) else None for its in references] for i in range(3)]
    assert 100 * chrf(candidates, references) == pytest.approx(
        sacrebleu.corpus_chrf(candidates, streams).score
    )
    firsts = [its[:1] for its in references]
    assert chrf(candidates, firsts) == chrf(candidates, [first for (first,) in firsts])


def test_bleu_of_the_chapter():
    sides = (
        ("Mia lost the red ball in the garden", "the owl found it"),
        ("Mia lost her red ball in the garden", "the owl found it on the roof"),
    )
    candidates, references = ([text.split() for text in side] for side in sides)
    assert bleu(candidates[:1], references[:1]) == pytest.approx(0.125**0.25)
    assert bleu(candidates, references) == pytest.approx(0.5388454766)
    assert brevity_penalty(4, 7) == pytest.approx(math.exp(-0.75))
    assert (brevity_penalty(0, 3), brevity_penalty(8, 3)) == (0, 1)


def test_texts_without_a_word_have_no_common_thread():
    assert longest_common_subsequence([], []) == longest_common_subsequence([], ["a"]) == 0
    assert rouge_l([], []) == rouge_l(["a"], []) == rouge_l([], ["a"]) == rouge_l(["A"], ["a"]) == 0
    assert rouge_l(["a"] * 3, ["a"] * 3) == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_longest_common_subsequence_is_found_by_trying_all(seed):
    first, second = texts(seed, count=2, longest=10, words=["a", "b", "c", "d"][: 2 + seed % 3])

    def is_in(words, text):
        rest = iter(text)
        return all(word in rest for word in words)

    longest = max(
        n for n in range(len(first) + 1) if any(is_in(words, second) for words in combinations(first, n))
    )
    assert longest_common_subsequence(first, second) == longest
    precision, recall = longest / len(first), longest / len(second)
    wanted = 2 * precision * recall / (precision + recall) if longest else 0
    assert rouge_l(first, second) == pytest.approx(wanted)


# --- Texts alone


def counted(n, *known):
    """scikit-learn's counts of n-grams, of those that are in the texts `known`."""
    return CountVectorizer(
        lowercase=False, token_pattern=r"\S+", ngram_range=(n, n),
        vocabulary=None if not known else CountVectorizer(
            lowercase=False, token_pattern=r"\S+", ngram_range=(n, n)
        ).fit(known).vocabulary_,
    )  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_diversity_and_overlap_agree_with_scikit_learn_s_counts(seed, n):
    several = [
        text * 2 for text in texts(seed, count=5, words=["The", "the", "owl", "a"]) if 2 * len(text) >= n
    ]
    joined = [" ".join(text) for text in several]
    table = counted(n).fit_transform(joined)
    assert distinct_n(several, n) == pytest.approx(table.shape[1] / table.sum())
    for text, row in zip(several, table, strict=True):
        assert repetition(text, n) == pytest.approx(1 - row.count_nonzero() / row.sum())
    training, *others = several
    for test in others:
        known = counted(n, " ".join(training)).transform([" ".join(test)]).sum()
        assert ngram_overlap(test, training, n) == pytest.approx(known / counted(n).fit_transform(
            [" ".join(test)]).sum())  # fmt: skip


def test_texts_without_an_n_gram():
    assert distinct_n([], 2) == distinct_n([[], ["a"]], 2) == repetition([], 1) == 0
    assert distinct_n([["a"], ["b", "a"], []], 2) == 1  # the short ones add nothing, and no word crosses over
    assert (
        ngram_overlap([], ["a"], 1) == ngram_overlap(["a"], [], 1) == ngram_overlap(["a", "b"], ["a"], 2) == 0
    )


def test_diversity_of_the_chapter():
    text = ["the", "cat", "and", "the", "cat", "and", "the", "cat"]
    assert distinct_n([text], 2) == pytest.approx(3 / 7)
    assert repetition(text, 2) == pytest.approx(4 / 7)
    assert distinct_n([text, text], 2) == pytest.approx(3 / 14)
    assert distinct_n([text[:1]], 2) == repetition(text[:1], 2) == 0


def test_overlap_counts_places_of_the_test():
    training = ["an", "owl", "came", "by", ".", "the", "owl", "slept"]
    assert ngram_overlap(["the", "owl", "came", "by", "the", "owl"], training, 2) == pytest.approx(4 / 5)
    assert ngram_overlap(["the", "owl", "came", "by", "the", "owl"], training, 3) == pytest.approx(1 / 4)
    assert ngram_overlap(training, training, 8) == 1
    assert ngram_overlap(["owl"], training, 2) == 0


# --- Chance


def test_the_interval_agrees_with_the_formula():
    generator = torch.Generator().manual_seed(0)
    scores = (torch.rand(400, generator=generator) < 0.8).double()
    low, high = bootstrap_interval(scores, resample(400, 4000, generator))
    wide = 1.96 * math.sqrt(scores.mean() * (1 - scores.mean()) / 400)
    assert high - scores.mean() == pytest.approx(wide, rel=0.1)
    assert scores.mean() - low == pytest.approx(wide, rel=0.1)


@pytest.mark.parametrize("name", ["mean", "std"])
def test_the_interval_is_scipy_s_percentile_interval(name):
    ours, theirs = {"mean": (torch.mean, np.mean), "std": (torch.std, lambda x: np.std(x, ddof=1))}[name]
    scores = torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = stats.bootstrap(
        (scores.numpy(),), theirs, n_resamples=4000, method="percentile", vectorized=False,
        confidence_level=0.9, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    draws = resample(40, 4000, torch.Generator().manual_seed(0))
    assert bootstrap_interval(scores, draws, 0.9, ours) == pytest.approx(tuple(wanted), abs=0.03)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_interval_is_numpy_s_percentiles_of_the_same_draws(seed, level):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(3 + 5 * seed, generator=generator).exp()  # skewed: the ends lie unequally far
    draws = resample(len(scores), 150, generator)
    assert draws.shape == (150, len(scores)) and set(draws.flatten().tolist()) == set(range(len(scores)))
    averages = scores.double().numpy()[draws.numpy()].mean(axis=1)
    wanted = np.percentile(averages, [50 * (1 - level), 50 * (1 + level)])
    assert bootstrap_interval(scores, draws, level) == pytest.approx(tuple(wanted))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.float32, torch.float64])
def test_scores_may_be_truths_or_whole_numbers(dtype):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(2, (2, 12), generator=generator).to(dtype)
    draws = resample(12, 300, generator)
    a, b = (scores.numpy().astype(int)[draws.numpy()].sum(axis=1) for scores in (first, second))
    assert (a == b).any()  # and no equal draw is taken for a win
    assert paired_bootstrap(first, second, draws) == pytest.approx((a > b).mean())
    assert paired_bootstrap(second, first, draws) == pytest.approx((b > a).mean())
    assert bootstrap_interval(first, draws) == pytest.approx(tuple(np.percentile(a / 12, [2.5, 97.5])))


def test_the_interval_of_a_score_that_is_no_average():
    """BLEU of a drawn test set, from the places of its texts; scipy resamples the same places."""
    candidates, references = texts(0, count=8), texts(100, count=8)
    references = [c[:4] + r for c, r in zip(candidates, references, strict=True)]

    def of_the_drawn(places):
        places = [int(place) for place in places]
        return bleu([candidates[i] for i in places], [references[i] for i in places], max_n=2)

    draws = resample(8, 600, torch.Generator().manual_seed(0))
    low, high = bootstrap_interval(torch.arange(8), draws, statistic=of_the_drawn)
    wanted = stats.bootstrap(
        (np.arange(8),), of_the_drawn, n_resamples=600, method="percentile", vectorized=False,
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert low < bleu(candidates, references, max_n=2) < high
    assert (low, high) == pytest.approx(tuple(wanted), abs=0.04)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_paired_share_nears_that_of_all_possible_draws(seed):
    # Unpaired, these scores would give about a half: the items differ by far more than the models.
    generator = torch.Generator().manual_seed(seed)
    second = 50.0 * torch.arange(4)
    first = second + torch.randint(-3, 5, (4,), generator=generator) + 0.25
    everything = torch.cartesian_prod(*[torch.arange(4)] * 4)
    exact = float(((first - second)[everything].sum(dim=1) > 0).double().mean())
    assert paired_bootstrap(first, second, everything) == exact
    draws = resample(4, 20_000, generator)
    assert paired_bootstrap(first, second, draws) == pytest.approx(exact, abs=0.015)


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = torch.Generator().manual_seed(1)
    held = 0
    for _ in range(200):
        low, high = bootstrap_interval(torch.randn(60, generator=generator), resample(60, 200, generator))
        held += low <= 0 <= high
    assert 0.89 < held / 200 < 0.98


def test_pairs_tell_what_intervals_do_not():
    generator = torch.Generator().manual_seed(2)
    hard = torch.randn(40, generator=generator)
    first = hard + 0.1 + 0.05 * torch.randn(40, generator=generator)
    draws = resample(40, 1000, generator)
    assert bootstrap_interval(first, draws)[0] < bootstrap_interval(hard, draws)[1]  # they overlap
    assert paired_bootstrap(first, hard, draws) > 0.99
    assert paired_bootstrap(hard, hard, draws) == 0  # a tie is no win


# --- Errors


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: perplexity(torch.zeros(0)), "at least: got none"),
        (lambda: bits_per_byte(torch.zeros(1), ""), "empty text"),
        (lambda: confusion_matrix(torch.tensor([0, 1]), torch.tensor([0]), 2), r"got \(2,\) and \(1,\)"),
        (
            lambda: confusion_matrix(torch.tensor([0, 2]), torch.tensor([0, 1]), 2),
            "between 0 and 1: got numbers",
        ),
        (lambda: confusion_matrix(torch.ones(2), torch.ones(2), 2), "targets must be whole .*float32"),
        (lambda: precision_recall_f1(torch.ones(0, 0), "micro"), "not empty"),
        (lambda: bootstrap_interval(torch.ones(2), torch.zeros(0, 2).long()), "drawn test sets: got none"),
        (lambda: accuracy(torch.zeros(2, 2, dtype=torch.long)), "nothing was counted"),
        (lambda: precision_recall_f1(torch.ones(2, 3), "micro"), "square"),
        (lambda: precision_recall_f1(torch.ones(2, 2), "mean"), "'micro' or 'macro': got 'mean'"),
        (lambda: reliability(torch.ones(2), torch.ones(3) > 0, 5), "one truth for each"),
        (lambda: expected_calibration_error(torch.ones(0), torch.ones(0) > 0, 5), "needs answers"),
        (lambda: clipped_counts(["a"], ["a"], 0), "at least one word: got n 0"),
        (lambda: bleu([], []), "got 0 candidates"),
        (lambda: chrf(["a"], []), "got 1 candidates and 0 references"),
        (lambda: chrf(["a", "b"], ["a", []]), r"references\[1\] must be a text or a list .*got \[\]"),
        (lambda: repetition(["a"], 0), "got n 0"),
        (lambda: ngram_overlap(["a"], ["a"], 0), "got n 0"),
        (lambda: resample(0, 5, torch.Generator()), "got 0 items and 5 draws"),
        (lambda: bootstrap_interval(torch.ones(2), torch.zeros(1, 2).long(), 95), "between 0 and 1: got 95"),
        (lambda: paired_bootstrap(torch.ones(2), torch.ones(3), torch.zeros(1, 2).long()), "same items"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(call, words):
    with pytest.raises(ValueError, match=words):
        call()
