"""The loop that writes text: ask the model, choose a token, append it, ask again.

The choices of the next token, with their sources, are in `llmlib.sampling`; the memory of what was read is in
`llmlib.cached_gpt`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmlib import sampling
from llmlib.cached_gpt import CachedGPT
from llmlib.gpt import GPT

AT_ONCE = 2**20  # random numbers drawn ahead: 4 MB


@torch.no_grad()
def generate(
    model: GPT,
    tokens: Int[Tensor, "batch length"],
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    end_token: int | None = None,
    real: Bool[Tensor, "batch length"] | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = False,
) -> Int[Tensor, "batch longer"]:
    """Continue each sequence by up to `max_new_tokens` tokens, each chosen from what the model says so far.

    The model sees the last `model.config.context_length` tokens. `temperature=0` is greedy. The model runs
    without dropout and is left in the mode (training or not) in which it came.

    end_token: a sequence that has chosen it is at its end and repeats it; when all are, the loop stops early.
    real:      False at padding on the left of shorter texts, as from `llmlib.padding.left_pad`. Each text is
               continued as if it were alone.
    use_cache: remember keys and values instead of computing them again: the same logits, sooner. Once the
               text is longer than the context, the window slides and is read anew for every token.

    Raises:
        ValueError: there is no token to start from, `max_new_tokens` is negative, a setting is outside its
            range, or the model cannot be used with the cache.
    """
    if tokens.dim() != 2 or tokens.shape[1] == 0:
        raise ValueError(
            f"tokens must have the shape (batch, length) with at least one token: got {tuple(tokens.shape)}"
        )
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must not be negative: got {max_new_tokens!r}")
    length = tokens.shape[1]
    # All columns at once: a `torch.cat` for every token would copy the whole text each time.
    text = torch.cat([tokens, tokens.new_zeros(len(tokens), max_new_tokens)], dim=1)
    if real is not None:
        real = torch.cat([real, real.new_ones(len(tokens), max_new_tokens)], dim=1)
    ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    was_training = model.training
    model.eval()
    # Inference mode also leaves out what PyTorch notes about views for gradients: a tenth of a cached step.
    # Without the cache the model's own forward runs, and might keep a tensor that training needs later.
    quick = torch.inference_mode() if use_cache else torch.no_grad()
    try:
        with quick:
            logits_after = _reader(model, text, real, use_cache)
            noise_for = _noise(max_new_tokens, generator, at_once=end_token is None)
            for end in range(length, length + max_new_tokens):
                logits = logits_after(end)
                if repetition_penalty != 1:
                    written = _written(text, real, end)
                    logits = sampling.repetition_penalty(logits, written, repetition_penalty)
                noise = None if temperature == 0 else noise_for(logits)
                chosen = sampling.next_token(logits, temperature, top_k, top_p, least=min_p, noise=noise)
                if end_token is not None:
                    chosen = chosen.masked_fill(ended, end_token)
                    ended |= chosen == end_token
                text[:, end] = chosen
                if end_token is not None and ended.all():
                    return text[:, : end + 1]
    finally:
        model.train(was_training)
    return text


def _reader(
    model: GPT, text: Int[Tensor, "batch longer"], real: Bool[Tensor, "batch longer"] | None, use_cache: bool
) -> Callable[[int], Float[Tensor, "batch vocab_size"]]:
    """A function of `end`: the logits of the token that follows the columns before `end`."""
    context = model.config.context_length
    if not use_cache and real is None:
        return lambda end: model(text[:, max(0, end - context) : end])[:, -1]
    cached = CachedGPT(model, len(text))
    begin = 0  # the column at which the window begins

    def logits_after(end: int) -> Float[Tensor, "batch vocab_size"]:
        nonlocal begin
        if end - begin > context or not use_cache:
            begin = max(0, end - context)
            cached.clear()
        unread = slice(begin + cached.length, end)
        # Padding stands in the first piece alone.
        told = real[:, unread] if real is not None and cached.length == 0 else None
        return cached.read(text[:, unread], told, last=True)[:, -1]

    return logits_after


def _noise(
    count: int, generator: torch.Generator | None, at_once: bool
) -> Callable[[Float[Tensor, "batch vocab_size"]], Float[Tensor, "batch vocab_size"]]:
    """A function of the logits: the random numbers that the generator gives for each of `count` draws.

    One call for many draws gives the same numbers as one for each, and takes a small part of the time. A text
    that may end early is drawn for token by token: the generator then stands where the text ended.
    """
    ready: list[Tensor] = []

    def noise_for(logits: Float[Tensor, "batch vocab_size"]) -> Float[Tensor, "batch vocab_size"]:
        nonlocal count
        if not ready:
            draws = min(count, max(1, AT_ONCE // logits.numel())) if at_once else 1
            count -= draws
            where = logits.device if generator is None else generator.device
            ready.extend(reversed(sampling.gumbel((draws, *logits.shape), generator, where).unbind()))
        return ready.pop()

    return noise_for


def _written(
    text: Int[Tensor, "batch longer"], real: Bool[Tensor, "batch longer"] | None, end: int
) -> Int[Tensor, "batch end"]:
    """The tokens before `end`, with each text's last one in the place of its padding."""
    return text[:, :end] if real is None else text[:, :end].where(real[:, :end], text[:, end - 1 : end])
