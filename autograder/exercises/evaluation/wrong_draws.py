"""Wrong answers to exercise 9.7, the paired bootstrap."""

from __future__ import annotations

from autograder.exercise import Misconception
from autograder.exercises.evaluation.mistakes import PER_CENT, TRUTHS_AVERAGED


def _means(first, second, draws, other=None):
    return first[draws].mean(dim=1), second[draws if other is None else other].mean(dim=1)


def _unpaired(first, second, draws):
    a, b = _means(first, second, draws, draws.roll(1, 0))
    return float((a > b).double().mean())


def _reversed_rows(first, second, draws):
    a, b = _means(first, second, draws, draws.flip(0))
    return float((a > b).double().mean())


def _wins(first, second, draws):
    return float(((first - second)[draws].sum(dim=1) > 0).double().mean())


def _two_sided(first, second, draws):
    share = _wins(first, second, draws)
    return 2 * min(share, 1 - share)


def _smaller_side(first, second, draws):
    share = _wins(first, second, draws)
    return min(share, 1 - share)


def _centred(first, second, draws):
    leads = first.double() - second.double()
    return float((leads[draws].mean(dim=1) - leads.mean() > leads.mean()).double().mean())


def _beats_the_measured_lead(first, second, draws):
    leads = first.double() - second.double()
    return float((leads[draws].mean(dim=1) > leads.mean() + 1e-6).double().mean())


def _every_pair_of_draws(first, second, draws):
    a, b = _means(first, second, draws)
    return float((a[:, None] > b).double().mean())


def _ties_left_out(first, second, draws):
    leads = (first - second)[draws].sum(dim=1)
    return float((leads > 0).sum()) / max(1, int((leads != 0).sum()))


def _each_once(first, second, draws):
    leads = first - second
    return sum(float(leads[row.unique()].sum()) > 0 for row in draws) / len(draws)


MISCONCEPTIONS = (
    Misconception(
        "not-a-share",
        "the draws that are won are counted, and not divided by their number",
        "Asked for is a share: of how many draws?",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) > 0).sum()),
    ),
    Misconception(
        "one-less",
        "this is the share of the draws that the first model does *not* win",
        "The share asked for is that of the first model's wins.",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) <= 0).double().mean()),
    ),
    Misconception(
        "medians",
        "the medians of the draws are compared, not their averages",
        "A test set's score is the average of its items' scores.",
        lambda first, second, draws: float(
            (first[draws].median(dim=1).values > second[draws].median(dim=1).values).double().mean()
        ),
    ),
    Misconception(
        "next-draw",
        "the two models are compared on different draws",
        "What makes an item hard for both cancels only if both are scored on the same items.",
        _unpaired,
    ),
    Misconception(
        "other-draws",
        "the second model's draws are taken from the other end",
        "Row by row, both models get the same items.",
        _reversed_rows,
    ),
    Misconception(
        "second-wins",
        "the draws that the second model wins are counted",
        "The share is that of the first model.",
        lambda first, second, draws: float(((second - first)[draws].sum(dim=1) > 0).double().mean()),
    ),
    Misconception(
        "items-won",
        "drawn items are counted, not drawn test sets",
        "Each row is one test set. It is won or lost as a whole, by its average.",
        lambda first, second, draws: float((first > second)[draws].double().mean()),
    ),
    Misconception(
        "majority",
        "a draw is won by the number of items that are won in it",
        "One large lead may outweigh several small ones: compare the averages.",
        lambda first, second, draws: float(((first - second).sign()[draws].sum(dim=1) > 0).double().mean()),
    ),
    Misconception(
        "no-draws",
        "the draws are not used",
        "How would the models do on the test sets in `draws`?",
        lambda first, second, draws: float((first > second).double().mean()),
    ),
    Misconception(
        "ties-won",
        "a draw in which both have the same average counts as won",
        "The first model must be *better* on a draw to win it.",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) >= 0).double().mean()),
    ),
    Misconception(
        "ties-halved",
        "a draw in which both have the same average counts as half won",
        "That is a convention, too. Here an equal draw is no win.",
        lambda first, second, draws: float(
            ((first - second)[draws].sum(dim=1).sign().double() / 2 + 0.5).mean()
        ),
    ),
    Misconception(
        "truths-averaged",
        *TRUTHS_AVERAGED,
        lambda first, second, draws: (first[draws].mean(dim=1) > second[draws].mean(dim=1)).mean().item(),
    ),
    Misconception(
        "first-not-drawn",
        "the first model is scored on the whole test, and only the second on the draws",
        "Both models are scored on the same drawn items.",
        lambda first, second, draws: float(
            (first.double().mean() > second.double()[draws].mean(dim=1)).double().mean()
        ),
    ),
    Misconception(
        "ties-left-out",
        "draws in which both have the same average are left out, below the line as well",
        "An equal draw is no win, but it is a draw: it counts among those that the share is of.",
        _ties_left_out,
    ),
    Misconception(
        "wins-minus-losses",
        "losses are subtracted from the wins",
        "Asked for is the share of the wins alone, from 0 to 1.",
        lambda first, second, draws: float((first - second)[draws].sum(dim=1).sign().double().mean()),
    ),
    Misconception(
        "two-sided",
        "this is twice the smaller of the two shares, as for a two-sided p-value",
        "A p-value can be made of the share afterwards. Asked for is the share of the first model's wins.",
        _two_sided,
    ),
    Misconception(
        "smaller-side",
        "the smaller of the two models' shares is returned, as for a p-value",
        "The share is that of the first model, also where it is the larger one.",
        _smaller_side,
    ),
    Misconception(
        "centred",
        "the measured lead is subtracted from every draw's lead, as if there were none in truth",
        "That is a test of another kind. Here a draw is won if the first model has the larger average in it.",
        _centred,
    ),
    Misconception(
        "beats-the-measured-lead",
        "draws are counted in which the lead is larger than on the test itself",
        "A draw is won if the first model is better in it, by whatever lead.",
        _beats_the_measured_lead,
    ),
    Misconception(
        "every-pair-of-draws",
        "each of the first model's draws is compared with each of the second's",
        "What makes an item hard for both cancels only if both are scored on the same row.",
        _every_pair_of_draws,
    ),
    Misconception(
        "second-not-drawn",
        "the second model is scored on the whole test, and only the first on the draws",
        "Both models are scored on the same drawn items.",
        lambda first, second, draws: float(
            (first.double()[draws].mean(dim=1) > second.double().mean()).double().mean()
        ),
    ),
    Misconception(
        "every-item",
        "a draw is won only if all of its items are won",
        "A row is won or lost as a whole, by its average.",
        lambda first, second, draws: float((first > second)[draws].all(dim=1).double().mean()),
    ),
    Misconception(
        "some-item",
        "a draw is won as soon as one of its items is won",
        "A row is won or lost as a whole, by its average.",
        lambda first, second, draws: float((first > second)[draws].any(dim=1).double().mean()),
    ),
    Misconception(
        "best-items",
        "the best items of a draw are compared, not the averages",
        "A test set's score is the average of its items' scores.",
        lambda first, second, draws: float(
            (first[draws].max(dim=1).values > second[draws].max(dim=1).values).double().mean()
        ),
    ),
    Misconception(
        "one-average",
        "the average is taken over all draws together, so that there is one winner",
        "Each row has an average of its own. Which dimension is to go?",
        lambda first, second, draws: float((first - second).double()[draws].mean() > 0),
    ),
    Misconception(
        "whole-test",
        "the models are compared once, on the whole test, and the draws are not used",
        "That says who is ahead here. How often would it be so on the test sets in `draws`?",
        lambda first, second, draws: float(first.double().mean() > second.double().mean()),
    ),
    Misconception(
        "divided-by-the-items",
        "the draws that are won are divided by the number of items",
        "Asked for is the share of the *draws*. How many rows are there?",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=1) > 0).sum()) / draws.shape[1],
    ),
    Misconception("per-cent", *PER_CENT, lambda first, second, draws: 100 * _wins(first, second, draws)),
    Misconception(
        "columns",
        "columns of the draws are taken for test sets",
        "Every *row* is a test set.",
        lambda first, second, draws: float(((first - second)[draws].sum(dim=0) > 0).double().mean()),
    ),
    Misconception(
        "each-once",
        "an item that was drawn twice counts once",
        "Drawn with replacement: what comes twice counts twice.",
        _each_once,
    ),
    Misconception(
        "average-lead",
        "the average lead is returned",
        "Asked for is a share: in how many of the draws is the lead positive?",
        lambda first, second, draws: float((first - second)[draws].double().mean()),
    ),
)
