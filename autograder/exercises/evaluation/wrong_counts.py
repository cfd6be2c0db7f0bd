"""Wrong answers to exercise 9.5, the n-grams of a candidate that are found in the reference."""

from __future__ import annotations

from collections import Counter

from autograder.exercise import Misconception
from autograder.exercises.evaluation.mistakes import (
    ANY_ORDER,
    GLUED,
    IN_STEPS,
    PLACES_TO_BEGIN,
    RUNS_WITH_RUNS,
    SMALL_LETTERS,
    WITHOUT_FULL_STOPS,
)


def _grams(text, n, last=1):
    return [tuple(text[i : i + n]) for i in range(len(text) - n + last)]


def _not_clipped(candidate, reference, n):
    has, offered = _grams(candidate, n), set(_grams(reference, n))
    return sum(gram in offered for gram in has), len(has)


def _once(candidate, reference, n):
    has, offered = _grams(candidate, n), set(_grams(reference, n))
    return len(set(has) & offered), len(has)


def _kinds_only(candidate, reference, n):
    has, offered = set(_grams(candidate, n)), set(_grams(reference, n))
    return len(has & offered), len(has)


def _recall(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return (has & offered).total(), offered.total()


def _length(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return (has & offered).total(), len(candidate)


def _last_lost(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n, last=0)), Counter(_grams(reference, n, last=0))
    return (has & offered).total(), has.total()


def _same_place(candidate, reference, n):
    has, offered = _grams(candidate, n), _grams(reference, n)
    return sum(a == b for a, b in zip(has, offered, strict=False)), len(has)


def _any_order(candidate, reference, n):
    has, offered = (Counter(tuple(sorted(g)) for g in _grams(text, n)) for text in (candidate, reference))
    return (has & offered).total(), has.total()


def _glued(candidate, reference, n):
    has, offered = (Counter("".join(g) for g in _grams(text, n)) for text in (candidate, reference))
    return (has & offered).total(), has.total()


def _always_words(candidate, reference, n):
    has, offered = Counter(candidate), Counter(reference)
    return (has & offered).total(), has.total()


def _in_steps(candidate, reference, n):
    has, offered = (
        Counter(tuple(text[i : i + n]) for i in range(0, len(text) - n + 1, n))
        for text in (candidate, reference)
    )
    return (has & offered).total(), has.total()


def _no_short(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    if not has or not offered:
        return (0, 1)
    return (has & offered).total(), has.total()


def _short_ends(candidate, reference, n):
    has, offered = (
        Counter(tuple(text[i : i + n]) for i in range(len(text))) for text in (candidate, reference)
    )
    return (has & offered).total(), has.total()


def _reference_counted(candidate, reference, n):
    has, offered = _grams(candidate, n), Counter(_grams(reference, n))
    return sum(offered[gram] for gram in set(has)), len(has)


def _below_zero(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return (has & offered).total(), len(candidate) - n + 1


def _among_words(candidate, reference, n):
    has = [candidate[i : i + n] for i in range(len(candidate) - n + 1)]
    return sum(gram in reference for gram in has), len(has)


def _among_words_below_zero(candidate, reference, n):
    places = len(candidate) - n + 1
    return sum(candidate[i : i + n] in reference for i in range(places)), places


def _lists_as_keys(candidate, reference, n):
    has, offered = (
        Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (candidate, reference)
    )
    return (has & offered).total(), has.total()


def _in_small_letters(candidate, reference, n):
    has, offered = (Counter(_grams([w.lower() for w in text], n)) for text in (candidate, reference))
    return (has & offered).total(), has.total()


def _without_full_stops(candidate, reference, n):
    has, offered = (Counter(_grams([w.strip(".,;:!?") for w in t], n)) for t in (candidate, reference))
    return (has & offered).total(), has.total()


def _as_letters(candidate, reference, n):
    has, whole_text = _grams(candidate, n), " ".join(reference)
    return sum(" ".join(gram) in whole_text for gram in has), len(has)


def _counted_in_letters(candidate, reference, n):
    has, whole_text = Counter(" ".join(gram) for gram in _grams(candidate, n)), " ".join(reference)
    return sum(min(count, whole_text.count(gram)) for gram, count in has.items()), has.total()


def _letters(candidate, reference, n):
    has, offered = (Counter(_grams(" ".join(text), n)) for text in (candidate, reference))
    return (has & offered).total(), has.total()


def _up_to_n(candidate, reference, n):
    has, offered = (Counter(g for k in range(1, n + 1) for g in _grams(t, k)) for t in (candidate, reference))
    return (has & offered).total(), has.total()


def _marks_at_the_ends(candidate, reference, n):
    marks = ["<>"] * (n - 1)
    has, offered = (Counter(_grams([*marks, *text, *marks], n)) for text in (candidate, reference))
    return (has & offered).total(), has.total()


def _all_or_nothing(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return sum(count for gram, count in has.items() if count <= offered[gram]), has.total()


def _kinds_below(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return (has & offered).total(), len(has)


def _not_found(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return (has - offered).total(), has.total()


def _used_up(candidate, reference, n):
    has = list(zip(*(candidate[k:] for k in range(n)), strict=False))
    offered = zip(*(reference[k:] for k in range(n)), strict=False)
    return sum(gram in offered for gram in has), len(has)


def _nothing_to_offer(candidate, reference, n):
    if len(reference) < n:
        return 0, 0
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return (has & offered).total(), has.total()


def _swapped(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return has.total(), (has & offered).total()


def _precision(candidate, reference, n):
    has, offered = Counter(_grams(candidate, n)), Counter(_grams(reference, n))
    return (has & offered).total() / max(1, has.total())


MISCONCEPTIONS = (
    Misconception(
        "lists-as-keys",
        "lists are to be the keys of a dictionary, or the members of a set, which they cannot be",
        "A key must not change. A tuple cannot: `tuple(…)` makes one of a list.",
        _lists_as_keys,
    ),
    Misconception(
        "among-words",
        "a run, which is a list, is looked for among the single words of the reference: none is found",
        RUNS_WITH_RUNS,
        _among_words,
    ),
    Misconception(
        "among-words-below-zero",
        "a run is looked for among the single words, and a short text has fewer than no runs",
        '`["a"] in ["a", "b"]` is false: the members are words. And how many runs of 3 has a text of 1 word?',
        _among_words_below_zero,
    ),
    Misconception("small-letters", *SMALL_LETTERS, _in_small_letters),
    Misconception("without-full-stops", *WITHOUT_FULL_STOPS, _without_full_stops),
    Misconception(
        "as-letters",
        "the n-gram is searched for as letters in the whole text, so that it is found inside longer words",
        "A goat is no scapegoat. Compare words, and ask how often the reference has the run.",
        _as_letters,
    ),
    Misconception(
        "counted-in-letters",
        "the n-gram is counted as letters in the whole text: inside longer words, and without overlaps",
        "Python's `count` for texts goes on behind what it found. Make a list of the reference's runs.",
        _counted_in_letters,
    ),
    Misconception(
        "letters",
        "runs of letters are counted, not of words",
        "That is chrF's idea. BLEU's n-grams are runs of words.",
        _letters,
    ),
    Misconception(
        "up-to-n",
        "shorter n-grams are counted, too, from single words on",
        "Only runs of exactly n words are asked for. BLEU asks once for each n.",
        _up_to_n,
    ),
    Misconception(
        "marks-at-the-ends",
        "the texts are lengthened by marks at their ends, which make more n-grams",
        "A text of 4 words has three runs of two. Where does the first one begin?",
        _marks_at_the_ends,
    ),
    Misconception(
        "all-or-nothing",
        "an n-gram that the candidate has more often than the reference is not found at all",
        "Said three times and offered twice: it is found twice.",
        _all_or_nothing,
    ),
    Misconception(
        "kinds-below",
        "the second number counts the candidate's different n-grams",
        "An n-gram that the candidate says twice counts twice below the line.",
        _kinds_below,
    ),
    Misconception(
        "not-found",
        "the first number counts what is *not* found",
        "Precision asks how much of the candidate is in the reference.",
        _not_found,
    ),
    Misconception(
        "used-up",
        "the reference's n-grams are used up by the first search",
        "What `zip` gives can be gone through once. Keep it in a list, or count it.",
        _used_up,
    ),
    Misconception(
        "nothing-to-offer",
        "a reference that is too short hides the candidate's n-grams",
        "The second number is the candidate's alone, whatever the reference offers.",
        _nothing_to_offer,
    ),
    Misconception(
        "swapped",
        "the two numbers are in the other order",
        "First what is found, then what there is.",
        _swapped,
    ),
    Misconception(
        "already-divided",
        "the two numbers are divided already",
        "BLEU adds both up over many sentences before it divides. Return the two.",
        _precision,
    ),
    Misconception(
        "short-ends",
        "runs of fewer than n words at the end of a text are counted, too",
        "A slice that reaches beyond the end comes out shorter. Where does the last whole run begin?",
        _short_ends,
    ),
    Misconception(
        "reference-counted",
        "an n-gram is found as often as the reference has it, even if the candidate has it less often",
        "Whose n-grams are counted? The reference only sets a limit.",
        _reference_counted,
    ),
    Misconception(
        "below-zero",
        "a text that is much too short has fewer than no n-grams",
        "With 1 word and n = 3, how many runs are there?",
        _below_zero,
    ),
    Misconception(
        "not-clipped",
        "an n-gram is found as often as the candidate says it",
        "Then saying one good word again and again is perfect. How often has the reference got it?",
        _not_clipped,
    ),
    Misconception(
        "found-once",
        "every n-gram is found at most once",
        "If both have it twice, it is found twice.",
        _once,
    ),
    Misconception(
        "kinds-only",
        "different n-grams are counted, not their occurrences",
        "Both numbers count occurrences: an n-gram that the candidate says twice counts twice below the "
        "line.",
        _kinds_only,
    ),
    Misconception(
        "of-the-reference",
        "the second number counts the reference's n-grams",
        "Precision asks about the candidate.",
        _recall,
    ),
    Misconception(
        "words-below",
        "the second number is the number of words",
        "A text of 8 words has 7 pairs of neighbours. How many runs of n?",
        _length,
    ),
    Misconception("last-lost", "the last n-gram is missing", PLACES_TO_BEGIN, _last_lost),
    Misconception(
        "same-place",
        "an n-gram counts only where the reference has it at the same place",
        "One word more at the beginning would then spoil everything. The place does not matter.",
        _same_place,
    ),
    Misconception("any-order", *ANY_ORDER, _any_order),
    Misconception("glued", *GLUED, _glued),
    Misconception(
        "always-words",
        "single words are counted, whatever n is",
        "An n-gram is a run of n words.",
        _always_words,
    ),
    Misconception("in-steps", *IN_STEPS, _in_steps),
    Misconception(
        "one-below",
        "a text without n-grams is said to have one",
        "How many runs of three words has a text of two words?",
        _no_short,
    ),
)
