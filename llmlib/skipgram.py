"""Skip-gram with negative sampling: word vectors learned from nothing but which words stand near each other.

Each word has two vectors, one for when it stands in the centre and one for when it is seen in another word's
neighbourhood. The dot product of both should be large for pairs that occur in the text, and small for pairs
that were put together by chance.

Sources: Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality" (2013),
section 2.2; Mikolov et al., "Efficient Estimation of Word Representations in Vector Space" (2013), section
3.2, for the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


def skipgram_pairs(tokens: Sequence[int], window: int) -> list[tuple[int, int]]:
    """Every token paired with each neighbour up to `window` places to its left and to its right.

    A pair is (centre, neighbour). The centres come in the order of the text, and the neighbours of one
    centre from left to right. At both ends of the text there are fewer neighbours.

    Raises:
        ValueError: the window is smaller than 1.
    """
    if window < 1:
        raise ValueError(f"a window has at least one place to each side: got {window}")
    pairs = []
    for place, centre in enumerate(tokens):
        first = max(0, place - window)
        for other in range(first, min(len(tokens), place + window + 1)):
            if other != place:
                pairs.append((centre, tokens[other]))
    return pairs


def noise_distribution(
    counts: Float[Tensor, " vocab_size"], power: float = 0.75
) -> Float[Tensor, " vocab_size"]:
    """How likely each token is to be drawn as a wrong neighbour: its count to a power, summing to 1.

    A power below 1 draws rare tokens more often than they occur, and frequent ones less often.

    Raises:
        ValueError: a count is negative, or all are 0.

    Source: Mikolov et al., "Distributed Representations" (2013), section 2.2, which found 3/4 to work best.
    """
    if (counts < 0).any() or not (counts > 0).any():
        raise ValueError("counts must not be negative, and one at least must be above 0")
    # A token that never occurs must not be drawn; with power 0 its 0 would become 1.
    raised = torch.where(counts > 0, counts**power, torch.zeros_like(counts))
    return raised / raised.sum()


def negative_sampling_loss(
    centre: Float[Tensor, "batch d_model"],
    neighbour: Float[Tensor, "batch d_model"],
    negatives: Float[Tensor, "batch n_negatives d_model"],
) -> Float[Tensor, ""]:
    """How badly the vectors tell each centre's true neighbour from the ones that were drawn by chance.

    For one centre c with neighbour o and drawn n₁, …, n_k it is -log σ(c·o) - Σ log σ(-c·n_j), with the
    sigmoid σ(x) = 1 / (1 + e^(-x)); the result is the mean over the batch.

    Source: Mikolov et al., "Distributed Representations" (2013), equation 4, with the sign turned.
    """
    true_scores = (centre * neighbour).sum(dim=-1)
    drawn_scores = (centre[:, None, :] * negatives).sum(dim=-1)
    # -log σ(x) = log(e^0 + e^(-x)), which logaddexp computes without ever holding e^(-x) itself.
    true_losses = torch.logaddexp(torch.zeros_like(true_scores), -true_scores)
    drawn_losses = torch.logaddexp(torch.zeros_like(drawn_scores), drawn_scores)
    return (true_losses + drawn_losses.sum(dim=-1)).mean()


@dataclass(frozen=True)
class WordVectors:
    """What skip-gram has learned.

    centre:    one vector for each token as a centre; these are used as the word vectors.
    neighbour: one vector for each token as a neighbour.
    losses:    the loss of each step.
    """

    centre: Float[Tensor, "vocab_size d_model"]
    neighbour: Float[Tensor, "vocab_size d_model"]
    losses: list[float]


def train_skipgram(
    pairs: Int[Tensor, "n_pairs 2"],
    vocab_size: int,
    d_model: int,
    *,
    steps: int,
    generator: torch.Generator,
    batch_size: int = 512,
    n_negatives: int = 5,
    learning_rate: float = 0.02,
) -> WordVectors:
    """Learn word vectors from pairs of centre and neighbour; the generator decides every draw.

    Raises:
        ValueError: there are no pairs, or a token is not smaller than the vocabulary.
    """
    if len(pairs) == 0:
        raise ValueError("there are no pairs to learn from: give a text of at least two tokens")
    if pairs.max() >= vocab_size:
        raise ValueError(f"tokens must be smaller than vocab_size = {vocab_size}: got {int(pairs.max())}")
    noise = noise_distribution(torch.bincount(pairs[:, 1], minlength=vocab_size).float())
    tables = 0.1 * torch.randn(2, vocab_size, d_model, generator=generator)
    centre, neighbour = (table.clone().requires_grad_() for table in tables)
    optimizer = torch.optim.Adam([centre, neighbour], lr=learning_rate)
    losses = []
    for _ in range(steps):
        batch = pairs[torch.randint(len(pairs), (batch_size,), generator=generator)]
        drawn = torch.multinomial(noise, batch_size * n_negatives, replacement=True, generator=generator)
        drawn = drawn.view(batch_size, n_negatives)
        loss = negative_sampling_loss(centre[batch[:, 0]], neighbour[batch[:, 1]], neighbour[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return WordVectors(centre.detach(), neighbour.detach(), losses)
