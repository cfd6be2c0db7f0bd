"""How surprised a language model is by a text: per token, and per byte.

A model's surprise at a token is minus the natural logarithm of the probability that it gave it, in nats.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor


def perplexity(nats: Float[Tensor, " tokens"]) -> float:
    """Between how many equally likely tokens the model is, so to speak, undecided.

    The exponential of the average surprise. Comparable only between models with the same tokens.

    Raises:
        ValueError: there is no token.

    Source: Jelinek, Mercer, Bahl and Baker, "Perplexity: a measure of the difficulty of speech recognition
    tasks" (1977).
    """
    if not nats.numel():
        raise ValueError("perplexity needs the surprise at one token at least: got none")
    return nats.double().mean().exp().item()


def bits_per_byte(nats: Float[Tensor, " tokens"], text: str) -> float:
    """The surprise at all tokens of a text, in bits, for each byte of the text in UTF-8.

    It does not depend on how the text was cut into tokens.

    Raises:
        ValueError: the text is empty.
    """
    if not text:
        raise ValueError("bits per byte need a text of one byte at least: got an empty text")
    bits = nats.double().sum().item() / math.log(2)
    return bits / len(text.encode("utf-8"))
