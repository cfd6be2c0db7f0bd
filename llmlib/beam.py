"""Beam search: keep the few most likely texts, not the likeliest next token.

Source: Lowerre, "The HARPY Speech Recognition System" (1976), where the search comes from; Freitag and
Al-Onaizan, "Beam Search Strategies for Neural Machine Translation" (2017), section 2, for the form used here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmlib.gpt import GPT


def beam_step(
    scores: Float[Tensor, " beams"], log_probabilities: Float[Tensor, "beams vocab_size"], width: int
) -> tuple[Int[Tensor, " width"], Int[Tensor, " width"], Float[Tensor, " width"]]:
    """The `width` best continuations of all beams by one token, the best first.

    scores:            the log-probability of each beam's text so far.
    log_probabilities: of each token after each beam.

    Returns, for each continuation: which beam it continues, with which token, and its score, the sum of both.
    There are fewer than `width` if there are not as many continuations.

    Raises:
        ValueError: `width` is less than 1.
    """
    if width < 1:
        raise ValueError(f"the beam must be at least 1 wide: got {width!r}")
    vocab_size = log_probabilities.shape[-1]
    totals = (scores[:, None] + log_probabilities).flatten()
    best = totals.topk(min(width, len(totals)))
    return best.indices // vocab_size, best.indices % vocab_size, best.values


@torch.no_grad()
def beam_search(
    model: GPT,
    tokens: Int[Tensor, " length"],
    max_new_tokens: int,
    *,
    width: int,
    end_token: int | None = None,
    length_penalty: float = 0.0,
) -> list[tuple[Int[Tensor, " longer"], float]]:
    """The best texts that begin with `tokens`, the best first, each with its log-probability.

    A text that reaches `end_token` leaves the beam and competes with the others at the end.

    length_penalty: texts are ranked by log-probability / length^penalty, where the length counts the new
                    tokens. 0 ranks by probability, which prefers short texts; 1 by the mean per token.

    Raises:
        ValueError: there is no token to start from, or `width` is less than 1.

    Source: Freitag and Al-Onaizan (2017), section 2; Wu et al., "Google's Neural Machine Translation System"
    (2016), section 7, for ranking by length.
    """
    if tokens.dim() != 1 or len(tokens) == 0:
        raise ValueError(f"tokens must be one text of at least one token: got {tuple(tokens.shape)}")
    texts, scores = tokens[None], torch.zeros(1, device=tokens.device)
    ended: list[tuple[Tensor, float]] = []

    def rank(found: tuple[Tensor, float]) -> float:
        text, score = found
        return score / max(1, len(text) - len(tokens)) ** length_penalty

    was_training = model.training
    model.eval()
    try:
        for _ in range(max_new_tokens):
            logits = model(texts[:, -model.config.context_length :])[:, -1]
            # Of two continuations a beam at most one has ended, so at least `width` of them go on.
            origins, chosen, scores = beam_step(scores, logits.log_softmax(dim=-1), 2 * width)
            texts = torch.cat([texts[origins], chosen[:, None]], dim=1)
            over = torch.zeros_like(chosen, dtype=torch.bool) if end_token is None else chosen == end_token
            for place in over[:width].nonzero().flatten():  # an end counts only among the best
                ended.append((texts[place], float(scores[place])))
            texts, scores = texts[~over][:width], scores[~over][:width]
            ended = sorted(ended, key=rank, reverse=True)[:width]
            # Probabilities only fall: with enough better ends the running texts have lost.
            if length_penalty == 0 and len(ended) == width and ended[-1][1] >= float(scores[0]):
                break
    finally:
        model.train(was_training)
    running = [(text, float(score)) for text, score in zip(texts, scores, strict=True)]
    return sorted(ended + running, key=rank, reverse=True)[:width]
