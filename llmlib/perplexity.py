"""How surprised a model is by a text: by the token, and by the byte.

A model that gives the token that came the probability p was surprised by -ln p nats. The average over a text
is the loss of training. Two models may be compared by it only if they cut texts into the same tokens; by the
byte, any two may.

Sources: Jelinek et al., "Perplexity - a measure of the difficulty of speech recognition tasks" (1977);
Gao et al., "The Pile: An 800GB Dataset of Diverse Text for Language Modeling" (2020), section 3.1, for bits
per byte.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor


def perplexity(nats: Float[Tensor, "*places"]) -> float:
    """Among how many equally likely tokens the model might as well have chosen, on average.

    It is e to the power of the mean surprise, `nats` being the surprise -ln p at each place.

    Raises:
        ValueError: there is no place.

    Source: Jelinek et al. (1977).
    """
    if nats.numel() == 0:
        raise ValueError("perplexity is an average over tokens: got none")
    return float(nats.detach().cpu().double().mean().exp())


def bits_per_byte(nats: Float[Tensor, " tokens"], text: str) -> float:
    """The surprise of a whole text, in bits, divided by the number of bytes that the text has in UTF-8.

    `nats` is the surprise -ln p of each of its tokens, however many there are.

    Raises:
        ValueError: the text is empty.

    Source: Gao et al. (2020), section 3.1.
    """
    if not text:
        raise ValueError("bits per byte are an average over the bytes of a text: got an empty text")
    bits = float(nats.sum()) / math.log(2)
    return bits / len(text.encode("utf-8"))
