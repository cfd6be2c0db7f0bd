"""BLEU as contests and papers report it: texts with several references, split and smoothed in one known way.

The same counts as in `llmlib.bleu`, and three decisions that move the score by points: how a text becomes
words, which of several references counts, and what happens where nothing is found. Equal to sacrebleu's
`corpus_bleu` as it stands, divided by 100.

Sources: Papineni, Roukos, Ward and Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation"
(2002), for several references; Chen and Cherry, "A Systematic Comparison of Smoothing Techniques for
Sentence-Level BLEU" (2014), method 3, for the smoothing; NIST, mteval-v13a.pl (2009), for the words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from llmlib.bleu import brevity_penalty

# In this order; a digit on both sides keeps "1,234.5" together.
_SPLITS = (
    (re.compile(r"([\x20-\x26\x28-\x2b\x2f\x3a-\x40\x5b-\x60\x7b-\x7e])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_REPLACED = (
    *(("<skipped>", ""), ("-\n", ""), ("\n", " ")),
    *(("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")),
)


def tokenize_13a(text: str) -> list[str]:
    """A text as words and punctuation marks, by the rules that translation contests have used since 2009.

    Symbols stand alone, but the apostrophe and the dash stay inside words. A full stop or a comma stands
    alone unless there are digits on both sides of it; a dash does after a digit.

    Source: NIST, mteval-v13a.pl (2009).
    """
    text = text.rstrip()
    for old, new in _REPLACED:
        text = text.replace(old, new)
    text = f" {text} "
    for pattern, split in _SPLITS:
        text = pattern.sub(split, text)
    return text.split()


def standard_bleu(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    max_n: int = 4,
    smoothing: Literal["exp", "none"] = "exp",
    tokenize: Callable[[str], list[str]] = tokenize_13a,
) -> float:
    """BLEU of all candidates together, from 0 to 1; `references[i]` lists the references of candidate i.

    An n-gram is found at most as often as that reference has it which has it most often. The length that
    counts for the brevity penalty is that of the reference closest to the candidate's, the shorter one of two
    that are equally close.

    If no n-gram of some length is found, smoothing "none" makes the whole 0. With "exp" half an n-gram is
    found for the first such length, a quarter for the second, and so on; without a single word it is 0.

    Raises:
        ValueError: there is no candidate, a candidate has no list of references, `max_n` is not positive, or
            `smoothing` is unknown.

    Source: Papineni, Roukos, Ward and Zhu (2002), section 2; Chen and Cherry (2014), method 3.
    """
    if not candidates or len(candidates) != len(references):
        raise ValueError(
            "BLEU needs candidates and a list of references for each: "
            f"got {len(candidates)} candidates and {len(references)} lists"
        )
    for place, its in enumerate(references):
        if isinstance(its, str) or not its:
            raise ValueError(
                f"references[{place}] must be a list of at least one text: got {its!r}. "
                "Put a single reference into a list of its own"
            )
    if max_n < 1 or smoothing not in ("exp", "none"):
        raise ValueError(
            'max_n must be at least 1 and smoothing "exp" or "none": '
            f"got max_n {max_n} and smoothing {smoothing!r}"
        )
    found, there = [0] * max_n, [0] * max_n
    length = wanted_length = 0
    for candidate, its in zip(candidates, references, strict=True):
        words, offers = tokenize(candidate), [tokenize(reference) for reference in its]
        length += len(words)
        wanted_length += min((abs(len(offer) - len(words)), len(offer)) for offer in offers)[1]
        for n in range(1, max_n + 1):
            has, offered = _ngrams(words, n), Counter[tuple[str, ...]]()
            for offer in offers:
                offered |= _ngrams(offer, n)  # the larger of the two counts
            found[n - 1] += (has & offered).total()
            there[n - 1] += has.total()
    if not found[0] or not all(there):
        return 0.0
    logarithm, part = 0.0, 1.0
    for hits, of in zip(found, there, strict=True):
        if not hits:
            if smoothing == "none":
                return 0.0
            part /= 2
        logarithm += math.log((hits or part) / of)
    return brevity_penalty(length, wanted_length) * math.exp(logarithm / max_n)


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
