"""Wrong answers to exercise 9.6, the longest list of words that two texts have in the same order."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher

from autograder.exercise import Misconception
from autograder.exercises.evaluation.mistakes import SMALL_LETTERS, WITHOUT_FULL_STOPS


def _table(step):
    def answer(first, second):
        t = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
        for i, a in enumerate(first, start=1):
            for j, b in enumerate(second, start=1):
                t[i][j] = step(t, i, j, a == b)
        return t[-1][-1]

    return answer


_longest = _table(lambda t, i, j, same: t[i - 1][j - 1] + 1 if same else max(t[i - 1][j], t[i][j - 1]))


def _run(first, second):
    best = 0
    for i in range(len(first)):
        for j in range(len(second)):
            k = 0
            while i + k < len(first) and j + k < len(second) and first[i + k] == second[j + k]:
                k += 1
            best = max(best, k)
    return best


def _greedy(first, second):
    place = found = 0
    for word in first:
        if word in second[place:]:
            place = second.index(word, place) + 1
            found += 1
    return found


def _same_place(first, second):
    return sum(a == b for a, b in zip(first, second, strict=False))


def _edit_distance(first, second):
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            before, row[j] = row[j], min(before + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def _first_row_lost(first, second):
    return _longest(first[1:], second[1:])


def _there_at_all(first, second):
    return sum(word in second for word in first)


def _one_row_many_times(first, second):
    t = [[0] * (len(second) + 1)] * (len(first) + 1)
    for i, a in enumerate(first, start=1):
        for j, b in enumerate(second, start=1):
            t[i][j] = t[i - 1][j - 1] + 1 if a == b else max(t[i - 1][j], t[i][j - 1])
    return t[-1][-1]


def _no_border(first, second):
    t = [[0] * len(second) for _ in first]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            t[i][j] = t[i - 1][j - 1] + 1 if a == b else max(t[i - 1][j], t[i][j - 1])
    return t[-1][-1]


def _border_of_words(first, second):
    t = [[0] * len(second) for _ in first]
    for i in range(1, len(first)):
        for j in range(1, len(second)):
            same = first[i] == second[j]
            t[i][j] = t[i - 1][j - 1] + 1 if same else max(t[i - 1][j], t[i][j - 1])
    return t[-1][-1]


def _greedy_from_any_start(first, second):
    return max([_greedy(first[i:], second) for i in range(len(first))], default=0)


def _two_fingers(first, second):
    i = found = 0
    for word in second:
        if i < len(first) and word == first[i]:
            i, found = i + 1, found + 1
    return found


def _by_last_places(first, second):
    """Rising places again, but each word has a single place, the last one."""
    places, ends = {word: j for j, word in enumerate(second)}, []
    for place in (places[word] for word in first if word in places):
        spot = next((k for k, end in enumerate(ends) if end >= place), len(ends))
        ends[spot : spot + 1] = [place]
    return len(ends)


def _table_too_small(first, second):
    t = [[0] * len(second) for _ in first]
    for i, a in enumerate(first, start=1):
        for j, b in enumerate(second, start=1):
            t[i][j] = t[i - 1][j - 1] + 1 if a == b else max(t[i - 1][j], t[i][j - 1])
    return t[-1][-1]


def _table_turned(first, second):
    t = [[0] * (len(first) + 1) for _ in range(len(second) + 1)]
    for i, a in enumerate(first, start=1):
        for j, b in enumerate(second, start=1):
            t[i][j] = t[i - 1][j - 1] + 1 if a == b else max(t[i - 1][j], t[i][j - 1])
    return t[-1][-1]


def _longest_run_first(first, second):
    blocks = SequenceMatcher(None, list(first), list(second), autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


MISCONCEPTIONS = (
    Misconception(
        "there-at-all",
        "the words of the first text are counted that stand anywhere in the second",
        "The words must stand in both texts in the same order, and each can be used once.",
        _there_at_all,
    ),
    Misconception(
        "one-row-many-times",
        "all rows of the table are one and the same list",
        "`[row] * 3` is one list three times: writing into one writes into all. Make a list for each row.",
        _one_row_many_times,
    ),
    Misconception(
        "no-border",
        "the table has no row and column for *no words*, so the first row asks the last one",
        "In Python `table[-1]` is the last row. Let row 0 and column 0 stand for no words, and hold zeros.",
        _no_border,
    ),
    Misconception(
        "border-of-words",
        "the first row and column of the table belong to the first words, and are never filled in",
        "Row 0 and column 0 of the table stand for *no* words. The first word belongs to row 1.",
        _border_of_words,
    ),
    Misconception(
        "last-row-missing",
        "the loops end before the last row and column, so that the last cell is never filled in",
        "A table for 4 words has the rows 0 to 4. Where does `range` end?",
        lambda first, second: 0,
    ),
    Misconception(
        "table-too-small",
        "the table has as many rows and columns as there are words, and one of each is missing",
        "One row and one column more stand for *no* words.",
        _table_too_small,
    ),
    Misconception(
        "table-turned",
        "rows and columns of the table are confused, so that it ends too early",
        "If the rows belong to the first text, how many rows are there, and how many cells in each?",
        _table_turned,
    ),
    Misconception(
        "one-side-only",
        "a match uses up a word of the first text only",
        "The other word cannot be used again either. Which cell knows neither of the two?",
        _table(lambda t, i, j, same: t[i - 1][j] + 1 if same else max(t[i - 1][j], t[i][j - 1])),
    ),
    Misconception(
        "smaller-neighbour",
        "the smaller of the two neighbours is taken when the words differ",
        "Asked for is the *longest* list.",
        _table(lambda t, i, j, same: t[i - 1][j - 1] + 1 if same else min(t[i - 1][j], t[i][j - 1])),
    ),
    Misconception(
        "letters",
        "common letters are counted, not common words",
        "Joined into one text, the words are gone. Compare the entries of the lists.",
        lambda first, second: _longest(" ".join(first), " ".join(second)),
    ),
    Misconception(
        "small-letters",
        *SMALL_LETTERS,
        lambda first, second: _longest([w.lower() for w in first], [w.lower() for w in second]),
    ),
    Misconception(
        "without-full-stops",
        *WITHOUT_FULL_STOPS,
        lambda first, second: _longest(*([w.strip(".,;:!?") for w in text] for text in (first, second))),
    ),
    Misconception(
        "last-words-lost",
        "the last words of both texts are never looked at",
        "`range` ends before its end, and a slice `[:-1]` before the last word.",
        lambda first, second: _longest(first[:-1], second[:-1]),
    ),
    Misconception(
        "greedy-the-other-way",
        "the next match is always taken at once, word by word of the second text",
        "A match far to the right closes the way to all words before it. Sometimes a word is better left "
        "out.",
        lambda first, second: _greedy(second, first),
    ),
    Misconception(
        "greedy-from-both-sides",
        "the next match is always taken at once, once from each text, and the better result is returned",
        "Two quick guesses are still guesses: both may begin with a match that closes the way.",
        lambda first, second: max(_greedy(first, second), _greedy(second, first)),
    ),
    Misconception(
        "greedy-from-any-start",
        "the next match is always taken at once, from every first word, and the best result is returned",
        "The word that closes the way may stand in the middle.",
        _greedy_from_any_start,
    ),
    Misconception(
        "two-fingers",
        "one walk through the second text waits for each word of the first in turn",
        "If the first word never comes, it waits for ever. Sometimes a word of the first text is better "
        "left out.",
        _two_fingers,
    ),
    Misconception(
        "last-place-only",
        "each word has a single place in the second text, the last one",
        "A word may stand there several times, and each of its places may be the useful one.",
        _by_last_places,
    ),
    Misconception(
        "what-is-missing",
        "the words of the first text that are *not* common are counted",
        "Asked for is what both have.",
        lambda first, second: len(first) - _longest(first, second),
    ),
    Misconception(
        "longest-run-first",
        "the longest common run is taken first, and then what fits on both sides of it",
        "A shorter run may leave more room for others. `difflib` is made to look good, not to be longest.",
        _longest_run_first,
    ),
    Misconception(
        "one-run",
        "the longest common *run* is found, without gaps",
        "A subsequence may leave words out in between.",
        _run,
    ),
    Misconception(
        "any-order",
        "common words are counted in any order",
        "The words must stand in both texts in the same order.",
        lambda first, second: (Counter(first) & Counter(second)).total(),
    ),
    Misconception(
        "kinds",
        "different common words are counted",
        "Order matters, and so does how often a word is there.",
        lambda first, second: len(set(first) & set(second)),
    ),
    Misconception(
        "greedy",
        "the next match is always taken at once",
        "A match far to the right closes the way to all words before it. Sometimes a word is better left "
        "out.",
        _greedy,
    ),
    Misconception(
        "used-twice",
        "a match adds one to the cell above or to the left, so that a word is used twice",
        "When two words are matched, both are used up. Which cell knows neither of them?",
        _table(lambda t, i, j, same: max(t[i - 1][j], t[i][j - 1]) + same),
    ),
    Misconception(
        "begins-anew",
        "words that differ set the count back to 0",
        "A gap ends a run, but not a subsequence.",
        _table(lambda t, i, j, same: t[i - 1][j - 1] + 1 if same else 0),
    ),
    Misconception(
        "only-above",
        "only the cell above is asked when the words differ",
        "Either of the two words may be the useless one. Look at both neighbours.",
        _table(lambda t, i, j, same: t[i - 1][j - 1] + 1 if same else t[i - 1][j]),
    ),
    Misconception(
        "only-diagonal",
        "words that differ are both thrown away",
        "One of the two may still be needed.",
        _table(lambda t, i, j, same: t[i - 1][j - 1] + same),
    ),
    Misconception(
        "same-place",
        "words count only at the same place of both texts",
        "One word more at the beginning would then spoil everything.",
        _same_place,
    ),
    Misconception(
        "edit-distance",
        "this is the edit distance",
        "The edit distance counts what differs. Here it is asked what is common.",
        _edit_distance,
    ),
    Misconception(
        "first-words-lost",
        "the first words of both texts are never looked at",
        "Row 0 and column 0 of the table stand for *no* words. The first word belongs to row 1.",
        _first_row_lost,
    ),
)
