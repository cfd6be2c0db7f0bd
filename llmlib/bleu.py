"""BLEU: a translation is good if its words and phrases stand in translations that people made.

Sources: Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation" (2002); Chen and
Cherry, "A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU" (2014), for the smoothing
(their method 3); Post, "A Call for Clarity in Reporting BLEU Scores" (2018), for why the splitting into words
has to be said; NIST, mteval-v13a.pl (2009), for the one that is used here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

from llmlib.ngrams import ngrams

_SYMBOLS = re.compile(r"([\x20-\x26\x28-\x2b\x2f\x3a-\x40\x5b-\x60\x7b-\x7e])")
_STOP_AFTER_OTHER = re.compile(r"([^0-9])([.,])")
_STOP_BEFORE_OTHER = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


def tokenize_13a(text: str) -> list[str]:
    """A text as words and punctuation marks, by the rules that translation contests have used since 2009.

    Symbols stand alone, but the apostrophe and the dash stay inside words. A full stop or a comma stands
    alone unless there are digits on both sides of it; a dash does after a digit.

    Source: NIST, mteval-v13a.pl (2009).
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    text = _SYMBOLS.sub(r" \1 ", f" {text} ")
    text = _STOP_AFTER_OTHER.sub(r"\1 \2 ", text)
    text = _STOP_BEFORE_OTHER.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def words(text: str | Sequence[Hashable]) -> Sequence[Hashable]:
    """A text as `tokenize_13a` splits it; what is split already stays as it is."""
    return tokenize_13a(text) if isinstance(text, str) else text


def clipped_counts(
    hypothesis: Sequence[Hashable], references: Sequence[Sequence[Hashable]], n: int
) -> tuple[int, int]:
    """How many n-grams of a hypothesis stand in its references, and how many it has.

    An n-gram that the hypothesis has several times counts only as often as it stands in that one of the
    references that has it most often.

    Raises:
        ValueError: `n` is smaller than 1.

    Source: Papineni et al. (2002), section 2.1.
    """
    counts = Counter(ngrams(hypothesis, n))
    allowed: Counter[tuple[Hashable, ...]] = Counter()
    for reference in references:
        allowed |= Counter(ngrams(reference, n))
    return (counts & allowed).total(), counts.total()


def bleu(
    hypotheses: Sequence[str | Sequence[Hashable]],
    references: Sequence[Sequence[str | Sequence[Hashable]]],
    *,
    max_n: int = 4,
    smoothing: Literal["exp", "none"] = "exp",
) -> float:
    """BLEU of a whole set of hypotheses, from 0 to 100; `references[i]` are the references of hypothesis i.

    A text that is a string is split by `words`. The precision of the n-grams, for n from 1 to `max_n`, is
    matched / total of `clipped_counts`, each added up over all hypotheses first. BLEU is 100 times the
    geometric mean of these precisions, times the brevity penalty: e^(1 - r / c) if c < r, else 1. Here c is
    the length of all hypotheses together and r that of all closest references: for each hypothesis the
    reference whose length is closest to its own, the shorter one of two that are equally close.

    If no n-gram of a length n is matched, smoothing "none" makes the whole 0. With "exp" the first such
    precision is 1 / (2 total) instead, the second 1 / (4 total), then 1 / (8 total). A set without any
    matched word, or without any n-gram of some length, is worth 0 in any case.

    Raises:
        ValueError: hypotheses and references differ in number, a hypothesis has no reference, there are no
            hypotheses, `max_n` is smaller than 1, or `smoothing` is another word.

    Source: Papineni et al. (2002), section 2.3; Chen and Cherry (2014), method 3.
    """
    _need_references(hypotheses, references)
    if max_n < 1 or smoothing not in ("exp", "none"):
        raise ValueError(
            'max_n must be at least 1 and smoothing "exp" or "none": '
            f"got max_n = {max_n} and smoothing = {smoothing!r}"
        )
    pairs = [
        (words(hypothesis), [words(reference) for reference in its])
        for hypothesis, its in zip(hypotheses, references, strict=True)
    ]
    length = sum(len(hypothesis) for hypothesis, _ in pairs)
    closest = sum(
        min((abs(len(reference) - len(hypothesis)), len(reference)) for reference in its)[1]
        for hypothesis, its in pairs
    )
    logarithms, halvings = [], 0
    for n in range(1, max_n + 1):
        counts = [clipped_counts(hypothesis, its, n) for hypothesis, its in pairs]
        matched, total = (sum(column) for column in zip(*counts, strict=True))
        if total == 0 or (matched == 0 and (smoothing == "none" or n == 1)):
            return 0.0
        if matched == 0:
            halvings += 1
        logarithms.append(math.log((matched or 0.5**halvings) / total))
    penalty = min(1.0, math.exp(1 - closest / length))
    return 100 * penalty * math.exp(sum(logarithms) / max_n)


def _need_references(hypotheses: Sequence[object], references: Sequence[Sequence[object]]) -> None:
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(
            "every hypothesis needs its own list of references, and there must be one at least: "
            f"got {len(hypotheses)} hypotheses and {len(references)} lists of references"
        )
    for place, its in enumerate(references):
        if isinstance(its, str) or not len(its):
            raise ValueError(
                f"references[{place}] must be a list of at least one reference: got {its!r}. "
                "Put a single reference into a list of its own"
            )
