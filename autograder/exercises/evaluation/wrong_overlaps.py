"""Wrong answers to exercise 9.8, how much of a test stands in the training text."""

from __future__ import annotations

from collections import Counter

from autograder.exercise import Misconception
from autograder.exercises.evaluation.mistakes import (
    ANY_ORDER,
    GLUED,
    IN_STEPS,
    PER_CENT,
    PLACES_TO_BEGIN,
    RUNS_WITH_RUNS,
)


def _grams(text, n, last=1):
    return [tuple(text[i : i + n]) for i in range(len(text) - n + last)]


def _over(part, whole_):
    return part / whole_ if whole_ else 0.0


def _kinds(test, training, n):
    has, seen = set(_grams(test, n)), set(_grams(training, n))
    return _over(len(has & seen), len(has))


def _of_the_training(test, training, n):
    has, seen = set(_grams(test, n)), _grams(training, n)
    return _over(sum(gram in has for gram in seen), len(seen))


def _jaccard(test, training, n):
    has, seen = set(_grams(test, n)), set(_grams(training, n))
    return _over(len(has & seen), len(has | seen))


def _clipped(test, training, n):
    has, seen = Counter(_grams(test, n)), Counter(_grams(training, n))
    return _over((has & seen).total(), has.total())


def _single_words(test, training, n):
    seen = set(training)
    grams = _grams(test, n)
    return _over(sum(all(word in seen for word in gram) for gram in grams), len(grams))


def _as_letters(test, training, n):
    whole_text = " ".join(training)
    grams = _grams(test, n)
    return _over(sum(" ".join(gram) in whole_text for gram in grams), len(grams))


def _glued(test, training, n):
    seen = {"".join(gram) for gram in _grams(training, n)}
    grams = _grams(test, n)
    return _over(sum("".join(gram) in seen for gram in grams), len(grams))


def _any(test, training, n):
    seen = set(_grams(training, n))
    return 1.0 if any(gram in seen for gram in _grams(test, n)) else 0.0


def _last_lost(test, training, n):
    seen = set(_grams(training, n, last=0))
    grams = _grams(test, n, last=0)
    return _over(sum(gram in seen for gram in grams), len(grams))


def _over_words(test, training, n):
    seen = set(_grams(training, n))
    return _over(sum(gram in seen for gram in _grams(test, n)), len(test))


def _covered_words(test, training, n):
    seen, marked = set(_grams(training, n)), set()
    for i, gram in enumerate(_grams(test, n)):
        if gram in seen:
            marked.update(range(i, i + n))
    return _over(len(marked), len(test))


def _undefined(test, training, n):
    seen = set(_grams(training, n))
    grams = _grams(test, n)
    return sum(gram in seen for gram in grams) / len(grams)


def _short_ends(test, training, n):
    seen = {tuple(training[i : i + n]) for i in range(len(training))}
    return _over(sum(tuple(test[i : i + n]) in seen for i in range(len(test))), len(test))


def _lists_in_a_set(test, training, n):
    seen = {training[i : i + n] for i in range(len(training) - n + 1)}
    grams = [test[i : i + n] for i in range(len(test) - n + 1)]
    return _over(sum(gram in seen for gram in grams), len(grams))


def _among_words(test, training, n):
    grams = [test[i : i + n] for i in range(len(test) - n + 1)]
    return _over(sum(gram in training for gram in grams), len(grams))


def _in_small_letters(test, training, n):
    return _share_of(_grams([w.lower() for w in test], n), set(_grams([w.lower() for w in training], n)))


def _share_of(grams, seen):
    return _over(sum(gram in seen for gram in grams), len(grams))


def _without_full_stops(test, training, n):
    has, seen = (_grams([word.strip(".,;:!?") for word in text], n) for text in (test, training))
    return _share_of(has, set(seen))


def _any_order(test, training, n):
    has, seen = ([tuple(sorted(gram)) for gram in _grams(text, n)] for text in (test, training))
    return _share_of(has, set(seen))


def _in_steps(test, training, n):
    return _share_of(_grams(test, n)[::n], set(_grams(training, n)[::n]))


def _test_in_steps(test, training, n):
    return _share_of(_grams(test, n)[::n], set(_grams(training, n)))


def _used_up(test, training, n):
    seen = zip(*(training[k:] for k in range(n)), strict=False)
    return _share_of(_grams(test, n), seen)


def _up_to_n(test, training, n):
    has, seen = ([gram for k in range(1, n + 1) for gram in _grams(text, k)] for text in (test, training))
    return _share_of(has, set(seen))


def _letters(test, training, n):
    return _share_of(_grams(" ".join(test), n), set(_grams(" ".join(training), n)))


def _over_kinds(test, training, n):
    has, seen = _grams(test, n), set(_grams(training, n))
    return _over(sum(gram in seen for gram in has), len(set(has)))


def _kinds_over_places(test, training, n):
    has, seen = _grams(test, n), set(_grams(training, n))
    return _over(len(set(has) & seen), len(has))


def _training_counted(test, training, n):
    has, seen = _grams(test, n), Counter(_grams(training, n))
    return _over(sum(seen[gram] for gram in set(has)), len(has))


def _one_if_short(test, training, n):
    return _share_of(_grams(test, n), set(_grams(training, n))) if len(test) >= n else 1.0


def _longest_run(test, training, n):
    common = [k for k in range(1, len(test) + 1) if set(_grams(test, k)) & set(_grams(training, k))]
    return _over(max(common, default=0), len(test))


def _not_a_share(test, training, n):
    seen = set(_grams(training, n))
    return float(sum(gram in seen for gram in _grams(test, n)))


MISCONCEPTIONS = (
    Misconception(
        "short-ends",
        "runs of fewer than n words at the end of the test have a part in the share, too",
        "Where does the last whole run begin? What begins later counts neither above the line nor below.",
        _short_ends,
    ),
    Misconception(
        "not-a-share",
        "the n-grams that were found are counted, and not divided by how many there are",
        "Asked for is a share of the test's n-grams.",
        _not_a_share,
    ),
    Misconception(
        "lists-in-a-set",
        "lists are to be the members of a set, which they cannot be",
        "A member of a set must not change. A tuple cannot: `tuple(…)` makes one of a list.",
        _lists_in_a_set,
    ),
    Misconception(
        "among-words",
        "a run, which is a list, is looked for among the single words of the training text: none is found",
        RUNS_WITH_RUNS,
        _among_words,
    ),
    Misconception(
        "small-letters",
        "capital letters are made small, so that different words become equal",
        "That finds more leaks, and is done in practice. Here words are compared as they are.",
        _in_small_letters,
    ),
    Misconception(
        "without-full-stops",
        "full stops and commas are cut off the words, so that different words become equal",
        "That finds more leaks, and is done in practice. Here words are compared as they are.",
        _without_full_stops,
    ),
    Misconception("any-order", *ANY_ORDER, _any_order),
    Misconception("in-steps", *IN_STEPS, _in_steps),
    Misconception(
        "test-in-steps",
        "the test's n-grams do not overlap",
        IN_STEPS[1],
        _test_in_steps,
    ),
    Misconception(
        "used-up",
        "the training text's n-grams are used up by the first search",
        "What `zip` gives can be gone through once. Keep it, best in a set.",
        _used_up,
    ),
    Misconception(
        "up-to-n",
        "shorter n-grams are counted, too, from single words on",
        "Only runs of exactly n words are asked for.",
        _up_to_n,
    ),
    Misconception(
        "letters",
        "runs of letters are counted, not of words",
        "Joined into one text, the words are gone. Take slices of the lists.",
        _letters,
    ),
    Misconception(
        "words-whatever-n",
        "single words are looked up, whatever n is",
        "An n-gram is a run of n words, and it must occur as a whole.",
        lambda test, training, n: _share_of(test, set(training)),
    ),
    Misconception(
        "over-kinds",
        "the places that were found are divided by the number of *different* n-grams",
        "Every place of the test counts, below the line as well.",
        _over_kinds,
    ),
    Misconception(
        "kinds-over-places",
        "an n-gram that is found at two places of the test counts once",
        "Every place of the test counts, so an n-gram that stands there twice counts twice.",
        _kinds_over_places,
    ),
    Misconception(
        "training-counted",
        "an n-gram counts as often as the training text has it",
        "How often the training text has it does not matter. Count the places of the test.",
        _training_counted,
    ),
    Misconception(
        "longest-run",
        "the longest common run is measured",
        "That is another measure. Here all n-grams of the test count, each for itself.",
        _longest_run,
    ),
    Misconception(
        "what-is-new",
        "this is the share of the n-grams that are *not* in the training text",
        "Asked for is the share of what may have leaked.",
        lambda test, training, n: 1.0 - _share_of(_grams(test, n), set(_grams(training, n))),
    ),
    Misconception(
        "one-if-short",
        "a test that is too short has the overlap 1",
        "Where there is no n-gram, none was seen.",
        _one_if_short,
    ),
    Misconception(
        "per-cent",
        *PER_CENT,
        lambda test, training, n: 100 * _share_of(_grams(test, n), set(_grams(training, n))),
    ),
    Misconception(
        "kinds",
        "different n-grams of the test are counted, not places",
        "Every place of the test counts, so an n-gram that stands there twice counts twice.",
        _kinds,
    ),
    Misconception(
        "of-the-training-text",
        "this is the share of the *training text* that is in the test",
        "A training text is huge, and the share would always be tiny. Which share of the test is asked for?",
        _of_the_training,
    ),
    Misconception(
        "jaccard",
        "what is common is divided by what either text has",
        "Divide by the n-grams of the test alone.",
        _jaccard,
    ),
    Misconception(
        "clipped",
        "an n-gram counts at most as often as the training text has it",
        "That is BLEU's rule. Here, who has seen it once has seen it.",
        _clipped,
    ),
    Misconception(
        "single-words",
        "the words of an n-gram are looked up one by one",
        "The *run* of words must occur in the training text.",
        _single_words,
    ),
    Misconception(
        "as-letters",
        "the n-gram is searched for as letters, so that it is found inside longer words",
        "A goat is no scapegoat. Compare words.",
        _as_letters,
    ),
    Misconception("glued", *GLUED, _glued),
    Misconception(
        "all-or-nothing",
        "a single common n-gram makes the overlap 1",
        "Asked for is a share.",
        _any,
    ),
    Misconception("last-lost", "the last n-gram of a text is missing", PLACES_TO_BEGIN, _last_lost),
    Misconception(
        "over-words",
        "the number of words stands below the line",
        "A text of 8 words has only 7 runs of two.",
        _over_words,
    ),
    Misconception(
        "covered-words",
        "the words that lie in a common run are counted",
        "That is another measure. Here n-grams are counted, by the place where they begin.",
        _covered_words,
    ),
    Misconception(
        "divides-by-zero",
        "a test that is too short divides by zero",
        "How many n-grams has a test of two words, if n is 3?",
        _undefined,
    ),
)
