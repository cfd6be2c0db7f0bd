"""Exercise 8.6: one step of beam search."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from autograder.exercises.probes import normal
from llmlib import beam


def _case(g: torch.Generator, beams: int, vocab_size: int, width: int, *, spread: float = 1.0) -> Case:
    scores = -3 * spread * torch.rand(beams, generator=g) - 1
    return Case(
        {
            "scores": scores.sort(descending=True).values,
            "log_probabilities": (1.5 * normal(g, beams, vocab_size)).log_softmax(dim=-1),
            "width": width,
        }
    )


def _one_beam(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 1, 5, 3)
    yield _case(g, 1, 7, 2)


def _several(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 3, 5, 4)
    yield _case(g, 2, 7, 5)
    yield _case(g, 4, 3, 4, spread=2.0)
    yield _case(g, 2, 5, 3, spread=3.0)
    yield from _fewer_than_beams(g)


def _one_wins(g: torch.Generator) -> Iterator[Case]:
    """The first beam is so far ahead that all continuations come from it."""
    case = _case(g, 3, 6, 3)
    scores = torch.tensor([-1.0, -30.0, -40.0]) - torch.rand(3, generator=g)
    yield Case({**case.arguments, "scores": scores.flip(0)})
    yield Case({**case.arguments, "scores": scores})


def _fewer_than_beams(g: torch.Generator) -> Iterator[Case]:
    """More beams than continuations, and the best of these follow the beams that are behind."""
    for width in (2, 1):
        sure = torch.eye(5)[torch.randperm(5, generator=g)[:4]]
        sure = 5 * sure * torch.tensor([0, 0, 1, 1])[:, None]
        scores = -1 - torch.tensor([0.0, 0.1, 0.2, 0.3]) - 0.05 * torch.rand(4, generator=g)
        rows = (sure + 0.3 * normal(g, 4, 5)).log_softmax(dim=-1)
        yield Case({"scores": scores, "log_probabilities": rows, "width": width})


def _few(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, 2, 3, 8)
    yield _case(g, 1, 2, 5)


# --- Mistakes


def _best_of_all(totals, width):
    best = totals.flatten().topk(min(width, totals.numel()))
    return best.indices // totals.shape[1], best.indices % totals.shape[1], best.values


def _scores_ignored(scores, log_probabilities, width):
    return _best_of_all(log_probabilities, width)


def _scores_not_added(scores, log_probabilities, width):
    origins, tokens, _ = _best_of_all(scores[:, None] + log_probabilities, width)
    return origins, tokens, log_probabilities[origins, tokens]


def _multiplied(scores, log_probabilities, width):
    return _best_of_all(scores[:, None] * log_probabilities, width)


def _probabilities_added(scores, log_probabilities, width):
    return _best_of_all(scores[:, None] + log_probabilities.exp(), width)


def _scores_along_the_tokens(scores, log_probabilities, width):
    repeated = scores.repeat(log_probabilities.shape[1])[: log_probabilities.shape[1]]
    return _best_of_all(repeated + log_probabilities, width)


def _divided_by_beams(scores, log_probabilities, width):
    totals = (scores[:, None] + log_probabilities).flatten()
    best = totals.topk(min(width, len(totals)))
    return best.indices // len(scores), best.indices % len(scores), best.values


def _swapped(scores, log_probabilities, width):
    origins, tokens, totals = _best_of_all(scores[:, None] + log_probabilities, width)
    return tokens, origins, totals


def _place_for_token(scores, log_probabilities, width):
    totals = (scores[:, None] + log_probabilities).flatten()
    best = totals.topk(min(width, len(totals)))
    return best.indices // log_probabilities.shape[1], best.indices, best.values


def _one_for_each_beam(scores, log_probabilities, width):
    totals, tokens = (scores[:, None] + log_probabilities).max(dim=1)
    order = totals.argsort(descending=True)[:width]
    return order, tokens[order], totals[order]


def _width_for_each_beam(scores, log_probabilities, width):
    totals = scores[:, None] + log_probabilities
    best = totals.topk(min(width, totals.shape[1]), dim=1)
    origins = torch.arange(len(scores), device=scores.device)[:, None].expand_as(best.indices)
    return origins.flatten(), best.indices.flatten(), best.values.flatten()


def _first_beam(scores, log_probabilities, width):
    return _best_of_all(scores[:1, None] + log_probabilities[:1], width)


def _worst(scores, log_probabilities, width):
    origins, tokens, totals = _best_of_all(-(scores[:, None] + log_probabilities), width)
    return origins, tokens, -totals


def _worst_first(scores, log_probabilities, width):
    return tuple(part.flip(0) for part in _best_of_all(scores[:, None] + log_probabilities, width))


def _not_limited(scores, log_probabilities, width):
    totals = (scores[:, None] + log_probabilities).flatten()
    best = totals.topk(width)
    return best.indices // log_probabilities.shape[1], best.indices % log_probabilities.shape[1], best.values


def _scores_as_a_row(scores, log_probabilities, width):
    return _best_of_all(scores + log_probabilities, width)


def _scores_first(scores, log_probabilities, width):
    origins, tokens, totals = _best_of_all(scores[:, None] + log_probabilities, width)
    return totals, origins, tokens


def _divided_with_a_rest(scores, log_probabilities, width):
    totals = (scores[:, None] + log_probabilities).flatten()
    best = totals.topk(min(width, len(totals)))
    return best.indices / log_probabilities.shape[1], best.indices % log_probabilities.shape[1], best.values


def _as_many_as_tokens(scores, log_probabilities, width):
    return _best_of_all(scores[:, None] + log_probabilities, min(width, log_probabilities.shape[1]))


def _best_beams_first(scores, log_probabilities, width):
    """Only as many beams are continued as continuations are wanted."""
    kept = scores.topk(min(width, len(scores))).indices
    origins, tokens, totals = _best_of_all((scores[:, None] + log_probabilities)[kept], width)
    return kept[origins], tokens, totals


def _probabilities(scores, log_probabilities, width):
    return _best_of_all(scores[:, None].exp() * log_probabilities.exp(), width)


def _as_many_as_beams(scores, log_probabilities, width):
    return _best_of_all(scores[:, None] + log_probabilities, min(width, len(scores)))


def _divided_by_width(scores, log_probabilities, width):
    totals = (scores[:, None] + log_probabilities).flatten()
    best = totals.topk(min(width, len(totals)))
    return best.indices // width, best.indices % width, best.values


def _first_beams_first(scores, log_probabilities, width):
    return tuple(part[:width] for part in _width_for_each_beam(scores, log_probabilities, width))


def _old_scores(scores, log_probabilities, width):
    origins, tokens, _ = _best_of_all(scores[:, None] + log_probabilities, width)
    return origins, tokens, scores[origins]


def _one_for_each_unsorted(scores, log_probabilities, width):
    totals, tokens = (scores[:, None] + log_probabilities).max(dim=1)
    return torch.arange(len(scores), device=scores.device), tokens, totals


MISCONCEPTIONS = (
    Misconception(
        "scores-as-a-row",
        "the scores are added as a row, one for each token, though there is one for each beam",
        "Of 3 scores and a table of 3 rows and 5 columns PyTorch cannot know that the rows are meant. Which "
        "shape must the scores have to meet their rows?",
        _scores_as_a_row,
    ),
    Misconception(
        "scores-first",
        "the new scores come first in the result",
        "First which beam, then which token, then the score.",
        _scores_first,
    ),
    Misconception(
        "divided-with-a-rest",
        "the number of the beam is divided with `/` and is no whole number",
        "`7 / 5` is 1.4. In which row of five columns is place 7?",
        _divided_with_a_rest,
    ),
    Misconception(
        "as-many-as-tokens",
        "there are never more continuations than there are tokens",
        "Two beams and three tokens make six continuations. If `width` is 5, five of them stay.",
        _as_many_as_tokens,
    ),
    Misconception(
        "one-for-each-unsorted",
        "every beam gets its own best continuation, and `width` is not asked",
        "All continuations of all beams compete. A beam may have several among the best, or none.",
        _one_for_each_unsorted,
    ),
    Misconception(
        "best-beams-first",
        "only the best `width` beams are continued, and the others are gone before they are compared",
        "A beam that is behind may have the best continuation. What competes are continuations, not beams.",
        _best_beams_first,
    ),
    Misconception(
        "probabilities",
        "probabilities come back, not their logarithms",
        "What came in are logarithms, and the next step adds to what you return.",
        _probabilities,
    ),
    Misconception(
        "as-many-as-beams",
        "there are never more continuations than there are beams",
        "Every beam is continued by every token. A single beam may have `width` continuations.",
        _as_many_as_beams,
    ),
    Misconception(
        "divided-by-width",
        "places in the flat list are taken apart by `width`",
        "How long is a row of the table that was flattened?",
        _divided_by_width,
    ),
    Misconception(
        "first-beams-first",
        "the first beam's best continuations come first, then the second's, until `width` is full",
        "All continuations of all beams compete in one list.",
        _first_beams_first,
    ),
    Misconception(
        "old-scores",
        "the choice is right, but the third result holds the scores from before this step",
        "The new score is the sum: what the beam had, and what the token adds.",
        _old_scores,
    ),
    Misconception(
        "scores-ignored",
        "the beams' scores so far do not count",
        "A text's log-probability is the sum over all its tokens, not that of the last one.",
        _scores_ignored,
    ),
    Misconception(
        "scores-not-added",
        "the choice is right, but the new scores hold the last token alone",
        "The third result is the score of the whole text: the next step goes on with it.",
        _scores_not_added,
    ),
    Misconception(
        "multiplied",
        "log-probabilities are multiplied",
        "Probabilities are multiplied. What does the logarithm make of a product?",
        _multiplied,
    ),
    Misconception(
        "probabilities-added",
        "a log-probability and a probability are added",
        "Both have to be logarithms before they are added.",
        _probabilities_added,
    ),
    Misconception(
        "scores-along-the-tokens",
        "the scores are added along the tokens, not along the beams",
        "Each *row* belongs to one beam. Which shape must the scores have to meet their rows?",
        _scores_along_the_tokens,
    ),
    Misconception(
        "divided-by-beams",
        "places in the flat list are taken apart by the number of beams",
        "How long is a row of the table that was flattened?",
        _divided_by_beams,
    ),
    Misconception(
        "swapped",
        "beam and token are swapped in the result",
        "First which beam, then which token.",
        _swapped,
    ),
    Misconception(
        "place-for-token",
        "the place in the flat list is returned as the token",
        "In the second row of a table of 5 columns, place 7 is column 2.",
        _place_for_token,
    ),
    Misconception(
        "one-for-each-beam",
        "every beam gets one continuation",
        "All continuations of all beams compete. A beam may have several among the best, or none.",
        _one_for_each_beam,
    ),
    Misconception(
        "width-for-each-beam",
        "every beam gets `width` continuations",
        "Then there are more in every step. `width` is for all beams together.",
        _width_for_each_beam,
    ),
    Misconception(
        "first-beam",
        "only the best beam is continued",
        "That is greedy choice with extra steps. The other beams are kept because they may overtake.",
        _first_beam,
    ),
    Misconception(
        "worst",
        "the least likely continuations are kept",
        "Log-probabilities are negative: the best is the one nearest to 0.",
        _worst,
    ),
    Misconception(
        "worst-first",
        "the continuations come in ascending order",
        "The best comes first.",
        _worst_first,
    ),
    Misconception(
        "not-limited",
        "more continuations are asked for than there are",
        "Two beams and three tokens make six continuations, even if `width` is 8.",
        _not_limited,
    ),
)


# --- Right answers in another form


def _by_sorting_lists(scores, log_probabilities, width):
    found = [
        (float(score + step), beam, token)
        for beam, score in enumerate(scores)
        for token, step in enumerate(log_probabilities[beam])
    ]
    found = sorted(found, reverse=True)[:width]
    origins, tokens = (torch.tensor([f[i] for f in found], device=scores.device) for i in (1, 2))
    return origins, tokens, scores[origins] + log_probabilities[origins, tokens]


def _by_argsort(scores, log_probabilities, width):
    totals = scores.unsqueeze(1) + log_probabilities
    order = totals.reshape(-1).argsort(descending=True)[:width]
    origins = torch.div(order, totals.shape[1], rounding_mode="floor")
    tokens = order - origins * totals.shape[1]
    return origins, tokens, totals[origins, tokens]


def _row_by_row_first(scores, log_probabilities, width):
    """Nobody who is not among the best of their own beam is among the best of all."""
    totals = (log_probabilities.T + scores).T
    rows = totals.topk(min(width, totals.shape[1]), dim=1)
    best = rows.values.flatten().topk(min(width, rows.values.numel()))
    return best.indices // rows.values.shape[1], rows.indices.flatten()[best.indices], best.values


def _unravelled(scores, log_probabilities, width):
    totals = log_probabilities + scores.view(-1, 1)
    values, places = totals.view(-1).sort(descending=True)
    origins, tokens = torch.unravel_index(places[:width], totals.shape)
    return origins, tokens, values[:width]


ALTERNATIVES = (
    Alternative("a sorted list", _by_sorting_lists),
    Alternative("argsort of all", _by_argsort),
    Alternative("the best of each beam first", _row_by_row_first),
    Alternative("unravelled places", _unravelled),
)

EXERCISE = Exercise(
    name="beam.beam_step",
    number="8.6",
    title="One step of beam search",
    minutes=12,
    difficulty=2,
    reference=beam.beam_step,
    checks=(
        Check("continues a single beam", 1, _one_beam),
        Check("lets all continuations of all beams compete", 2, _several),
        Check("may take all from one beam", 1, _one_wins),
        Check("gives fewer when there are fewer", 1, _few),
    ),
    hints=(
        "Make the table of all continuations first: a row for each beam, a column for each token. What "
        "stands in a cell?",
        "`scores[:, None]` has one score a row. Flattened, the table is one long list, and `topk` finds its "
        "largest numbers and their places.",
        "A place in the flat list is row · (length of a row) + column. `//` and `%` take it apart.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
)
