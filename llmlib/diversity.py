"""Does a model say always the same? Measures that need no reference.

Sources: Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models" (2016), for
distinct-n; Welleck et al., "Neural Text Generation with Unlikelihood Training" (2020), for repetition; Zhu et
al., "Texygen: A Benchmarking Platform for Text Generation Models" (2018), for self-BLEU.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from llmlib.bleu import bleu
from llmlib.ngrams import ngrams


def distinct_n(texts: Sequence[Sequence[Hashable]], n: int) -> float:
    """The share of different n-grams among all n-grams of some texts, given as tokens: 1 if none comes twice.

    Longer texts repeat more: compare texts of the same length only.

    Raises:
        ValueError: `n` is smaller than 1, or no text has `n` tokens.

    Source: Li et al. (2016), who divide by the number of words.
    """
    found = [gram for text in texts for gram in ngrams(text, n)]
    if not found:
        raise ValueError(f"distinct_n is a share of n-grams: no text has n = {n} tokens")
    return len(set(found)) / len(found)


def repetition(tokens: Sequence[Hashable], n: int) -> float:
    """The share of the n-grams of a text that stood in it before: 0 if none comes twice.

    Raises:
        ValueError: `n` is smaller than 1, or the text has fewer than `n` tokens.

    Source: Welleck et al. (2020), as seq-rep-n.
    """
    return 1.0 - distinct_n([tokens], n)


def self_bleu(texts: Sequence[str | Sequence[Hashable]], max_n: int = 4) -> float:
    """How well each text is matched by the others, from 0 to 100: the mean BLEU with them as references.

    Raises:
        ValueError: there are fewer than two texts, or `max_n` is smaller than 1.

    Source: Zhu et al. (2018).
    """
    if len(texts) < 2:
        raise ValueError(f"self-BLEU compares texts with each other: got {len(texts)}")
    others = [[*texts[:place], *texts[place + 1 :]] for place in range(len(texts))]
    return sum(bleu([text], [its], max_n=max_n) for text, its in zip(texts, others, strict=True)) / len(texts)
