"""Exercise 8.9: stop texts that come in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib import stopping


def _word(g: torch.Generator, length: int, letters: str) -> str:
    return "".join(letters[int(i)] for i in torch.randint(len(letters), (length,), generator=g))


def _found(g: torch.Generator) -> Iterator[Case]:
    for _ in range(2):
        before, after = _word(g, 4, "abcd"), _word(g, 3, "efgh")
        yield Case({"text": f"{before}###{after}", "stops": ["###"]})
    yield Case({"text": _word(g, 5, "abcd"), "stops": ["###"]})


def _first_of_several(g: torch.Generator) -> Iterator[Case]:
    a, b, c = (_word(g, 3, "abcd") for _ in range(3))
    yield Case({"text": f"{a}STOP{b}END{c}", "stops": ["END", "STOP"]})
    yield Case({"text": f"{a}END{b}STOP{c}END{a}", "stops": ["END", "STOP"]})
    yield Case({"text": f"END{a}", "stops": ["STOP", "END"]})
    yield Case({"text": f" {a}  STOP{b}", "stops": ["END", "STOP"]})  # white space belongs to the text
    for stops in (["Y", "XYZ"], ["XYZ", "Y"]):  # one within the other
        yield Case({"text": f"{b}XYZ{c}", "stops": stops})


def _waiting(g: torch.Generator) -> Iterator[Case]:
    a = _word(g, 4, "abcd")
    yield Case({"text": f"{a}ST", "stops": ["STOP"]})
    yield Case({"text": f"{a}S", "stops": ["END", "STOP"]})
    yield Case({"text": "STO", "stops": ["STOP"]})


def _longest_wait(g: torch.Generator) -> Iterator[Case]:
    a = _word(g, 3, "cdef")
    yield Case({"text": f"{a}#a#", "stops": ["#a#b"]})
    yield Case({"text": f"{a}XYZ", "stops": ["YZ!", "XYZ.", "ZZ"]})
    yield Case({"text": f"{a}##", "stops": ["###"]})


def _false_alarm(g: torch.Generator) -> Iterator[Case]:
    a, b = _word(g, 3, "abcd"), _word(g, 3, "abcd")
    yield Case({"text": f"{a}ST{b}", "stops": ["STOP"]})
    yield Case({"text": f"{a}TOP", "stops": ["STOP"]})
    yield Case({"text": f"{a}stop{b}st", "stops": ["STOP"]})
    yield Case({"text": f"{a} {b}", "stops": [". "]})  # the dot is a dot, and no pattern
    yield Case({"text": "", "stops": ["STOP"]})
    yield Case({"text": a, "stops": []})


# --- Mistakes


def _variant(*, cut=None, wait=None, keep=False):
    def split(text, stops):
        places = [text.find(stop) for stop in stops if stop in text]
        if places:
            if cut is not None:
                return cut(text, stops)
            place = min(places)
            length = max(len(stop) for stop in stops if text.startswith(stop, place))
            return text[: place + length] if keep else text[:place], "", True
        if wait is not None:
            start = wait(text, stops)
        else:
            starts = (i for i in range(len(text)) if any(stop.startswith(text[i:]) for stop in stops))
            start = next(starts, len(text))
        return text[:start], text[start:], False

    return split


def _first_listed(text, stops):
    stop = next(stop for stop in stops if stop in text)
    return text[: text.index(stop)], "", True


def _last_occurrence(text, stops):
    return text[: max(text.rfind(stop) for stop in stops)], "", True


def _only_at_the_end(text, stops):
    for stop in stops:
        if text.endswith(stop):
            return text.removesuffix(stop), "", True
    starts = (i for i in range(len(text)) if any(stop.startswith(text[i:]) for stop in stops))
    start = next(starts, len(text))
    return text[:start], text[start:], False


def _rest_returned(text, stops):
    place = min(text.find(stop) for stop in stops if stop in text)
    return text[:place], text[place:], True


def _not_over(text, stops):
    return text[: min(text.find(stop) for stop in stops if stop in text)], "", False


def _shortest_wait(text, stops):
    starts = [i for i in range(len(text)) if any(stop.startswith(text[i:]) for stop in stops)]
    return starts[-1] if starts else len(text)


def _always_wait(text, stops):
    return max(0, len(text) - max((len(stop) for stop in stops), default=1) + 1)


def _any_character(text, stops):
    start = len(text)
    while start and any(text[start - 1] in stop for stop in stops):
        start -= 1
    return start


def _part_anywhere(text, stops):
    starts = (i for i in range(len(text)) if any(stop.startswith(text[i : i + 1]) for stop in stops))
    return next(starts, len(text))


def _first_stop_waits(text, stops):
    starts = (i for i in range(len(text)) if stops and stops[0].startswith(text[i:]))
    return next(starts, len(text))


def _ends_listed_first(text, stops):
    """The longest end with which the first fitting stop text begins."""
    for stop in stops:
        for length in range(len(stop) - 1, 0, -1):
            if text.endswith(stop[:length]):
                return len(text) - length
    return len(text)


def _everything_waits(text, stops):
    """`text[:-0]` is empty, and `text[-0:]` is everything."""
    places = [text.find(stop) for stop in stops if stop in text]
    if places:
        return text[: min(places)], "", True
    n = max((k for stop in stops for k in range(len(stop)) if text.endswith(stop[:k])), default=0)
    return text[:-n], text[-n:], False


def _missing_counts(text, stops):
    """`find` says -1 of a stop text that does not occur."""
    place = min((text.find(stop) for stop in stops), default=-1)
    start = place if place >= 0 else _longest_wait_of(text, stops)
    return text[:start], "" if place >= 0 else text[start:], place >= 0


def _longest_wait_of(text, stops):
    starts = (i for i in range(len(text)) if any(stop.startswith(text[i:]) for stop in stops))
    return next(starts, len(text))


def _stripped(text, stops):
    place = min(text.find(stop) for stop in stops if stop in text)
    return text[:place].strip(), "", True


def _stop_waits(text, stops):
    place, stop = min((text.find(stop), stop) for stop in stops if stop in text)
    return text[:place], stop, True


def _first_to_end(text, stops):
    _end, place = min((text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text)
    return text[:place], "", True


def _cut_again(text, stops):
    for stop in stops:
        text = text.split(stop)[0]
    return text, "", True


def _case_ignored(text, stops):
    shown, waiting, over = _variant()(text.lower(), [stop.lower() for stop in stops])
    return text[: len(shown)], text[len(shown) :][: len(waiting)], over


def _only_first_asked(text, stops):
    if stops and stops[0] in text:
        return text[: text.find(stops[0])], "", True
    start = _longest_wait_of(text, stops)
    return text[:start], text[start:], False


def _never_everything(text, stops):
    starts = (i for i in range(1, len(text)) if any(stop.startswith(text[i:]) for stop in stops))
    return next(starts, len(text))


def _ends_of_stops(text, stops):
    starts = (i for i in range(len(text)) if any(stop.endswith(text[i:]) for stop in stops))
    return next(starts, len(text))


def _one_character_waits(text, stops):
    return len(text) - any(stop.startswith(text[-1:]) for stop in stops if text)


def _last_fitting_stop_waits(text, stops):
    start = len(text)
    for stop in stops:
        for length in range(1, len(stop)):
            if text.endswith(stop[:length]):
                start = len(text) - length
    return start


def _told(change):
    """What is told of a text that is not over, changed."""

    def split(text, stops):
        shown, waiting, over = _variant()(text, stops)
        return (shown, waiting, over) if over else change(text, shown, waiting)

    return split


def _first_listed_and_nothing_waits(text, stops):
    for stop in stops:
        if stop in text:
            return text[: text.index(stop)], "", True
    return text, "", False


def _pattern(text, stops):
    found = re.search("|".join(stops), text) if stops else None
    if found:
        return text[: found.start()], "", True
    start = _longest_wait_of(text, stops)
    return text[:start], text[start:], False


MISCONCEPTIONS = (
    Misconception(
        "pattern",
        "a stop text is taken for a pattern, in which some characters mean more than themselves",
        "To `re` a dot is any character. `in`, `find` and `index` take every character for itself.",
        _pattern,
    ),
    Misconception(
        "first-fitting-stop-waits",
        "the first stop text of the list of which something could come decides what waits",
        "Another one may have begun earlier. Of all ends that could become a stop text, which is longest?",
        _variant(wait=_ends_listed_first),
    ),
    Misconception(
        "everything-waits",
        "where nothing has to wait, the whole text does",
        "In Python `text[:-0]` is the empty text. Count from the front: `text[: len(text) - n]`.",
        _everything_waits,
    ),
    Misconception(
        "missing-counts",
        "one stop text that does not occur hides the others that do",
        "`find` gives -1 for what is not there, and -1 is the smallest of all places. Ask only what occurs.",
        _missing_counts,
    ),
    Misconception(
        "first-listed-and-nothing-waits",
        "the stop text that is listed first decides, and nothing ever waits",
        "Two things are missing: which stop text comes first in the *text*, and what could still become one.",
        _first_listed_and_nothing_waits,
    ),
    Misconception(
        "stripped",
        "white space at the ends of the text is taken off",
        "Nobody asked for that here, and the spaces between two pieces of a text would be lost.",
        _variant(cut=_stripped),
    ),
    Misconception(
        "stop-waits",
        "the stop text itself waits, although the text is over",
        "Nothing waits any more once the text is over, and the stop text is never shown.",
        _variant(cut=_stop_waits),
    ),
    Misconception(
        "first-to-end",
        "of several stop texts the one that ends first decides, not the one that begins first",
        "What may be shown ends where the first of them *begins*.",
        _variant(cut=_first_to_end),
    ),
    Misconception(
        "cut-again",
        "the text is cut at one stop text after the other",
        "After the first cut another stop text may be gone that began earlier. Look for all of them in the "
        "whole text first.",
        _variant(cut=_cut_again),
    ),
    Misconception(
        "case-ignored",
        "capital and small letters are taken for the same",
        "A stop text is these characters, not others that look alike.",
        _case_ignored,
    ),
    Misconception(
        "only-first-asked",
        "only the first stop text of the list can end the text",
        "Does your loop return before it has looked for the second one?",
        _only_first_asked,
    ),
    Misconception(
        "shown-too",
        "what waits is shown as well",
        "What is shown and what waits are two parts of the text: put together they give the whole.",
        _told(lambda text, shown, waiting: (text, waiting, False)),
    ),
    Misconception(
        "over-while-waiting",
        "the text is said to be over as soon as something waits",
        "What waits may still turn out to be no stop text.",
        _told(lambda text, shown, waiting: (shown, waiting, waiting != "")),
    ),
    Misconception(
        "never-everything",
        "the whole text never waits, even where it is the beginning of a stop text",
        "The longest end of a text is the text itself. Where does your search begin?",
        _variant(wait=_never_everything),
    ),
    Misconception(
        "ends-of-stops",
        "the end of the text is compared with the ends of the stop texts",
        "What has been written of a stop text so far is its *beginning*.",
        _variant(wait=_ends_of_stops),
    ),
    Misconception(
        "one-character-waits",
        "never more than one character waits",
        "The text ends in 'ST' and the stop text is 'STOP'. How many characters have to wait?",
        _variant(wait=_one_character_waits),
    ),
    Misconception(
        "last-fitting-stop-waits",
        "the last stop text of the list of which something could come decides what waits",
        "An earlier one in the list may have begun earlier in the text. Which end is longest?",
        _variant(wait=_last_fitting_stop_waits),
    ),
    Misconception(
        "stop-shown",
        "the stop text itself is shown",
        "What may be shown ends *before* the stop text.",
        _variant(keep=True),
    ),
    Misconception(
        "first-listed",
        "the stop text that is listed first decides, not the one that comes first in the text",
        "A reader reads from the left: which stop text is met first?",
        _variant(cut=_first_listed),
    ),
    Misconception(
        "last-occurrence",
        "the text is cut at the last occurrence",
        "Writing is over at the first stop text.",
        _variant(cut=_last_occurrence),
    ),
    Misconception(
        "only-at-the-end",
        "a stop text is found only at the very end",
        "One token may hold the stop text and what follows it.",
        _only_at_the_end,
    ),
    Misconception(
        "rest-returned",
        "what follows the stop text waits, although the text is over",
        "Nothing waits any more once the text is over.",
        _variant(cut=_rest_returned),
    ),
    Misconception(
        "not-over",
        "the text is cut, but not said to be over",
        "The third result tells the loop to stop.",
        _variant(cut=_not_over),
    ),
    Misconception(
        "nothing-waits",
        "everything is shown at once, even the beginning of a stop text",
        "If the next token completes the stop text, half of it has been shown.",
        _variant(wait=lambda text, stops: len(text)),
    ),
    Misconception(
        "shortest-wait",
        "the shortest possible end waits, not the longest",
        "The text ends in '##' and the stop text is '###'. How many characters have to wait?",
        _variant(wait=_shortest_wait),
    ),
    Misconception(
        "always-wait",
        "the last characters always wait, whatever they are",
        "Only what could still become a stop text has to wait.",
        _variant(wait=_always_wait),
    ),
    Misconception(
        "any-character",
        "every character that occurs in a stop text waits",
        "A stop text has a beginning. 'TOP' is not the beginning of 'STOP'.",
        _variant(wait=_any_character),
    ),
    Misconception(
        "part-anywhere",
        "a beginning that did not go on like a stop text still waits",
        "What waits must reach to the end of the text and be a beginning as a whole.",
        _variant(wait=_part_anywhere),
    ),
    Misconception(
        "first-stop-waits",
        "only the first stop text of the list can make something wait",
        "Any of them could be on its way.",
        _variant(wait=_first_stop_waits),
    ),
)


# --- Right answers in another form


def _by_partition(text, stops):
    shown = min((text.partition(stop)[0] for stop in stops), key=len, default=text)
    if len(shown) < len(text):
        return shown, "", True
    waiting = max(
        (stop[:n] for stop in stops for n in range(len(stop)) if text.endswith(stop[:n])), key=len, default=""
    )
    return text[: len(text) - len(waiting)], waiting, False


def _place_by_place(text, stops):
    for place in range(len(text)):
        rest = text[place:]
        if any(rest.startswith(stop) for stop in stops):
            return text[:place], "", True
    for place in range(len(text)):
        if any(text[place:] == stop[: len(text) - place] for stop in stops):
            return text[:place], text[place:], False
    return text, "", False


def _by_regular_expressions(text, stops):
    if stops and (found := re.search("|".join(map(re.escape, stops)), text)):
        return text[: found.start()], "", True
    beginnings = sorted({stop[:n] for stop in stops for n in range(1, len(stop))}, key=len, reverse=True)
    if beginnings and (found := re.search(f"(?:{'|'.join(map(re.escape, beginnings))})\\Z", text)):
        return text[: found.start()], found.group(), False
    return text, "", False


def _by_lengths(text, stops):
    ends = sorted(text.find(stop) for stop in stops if text.find(stop) >= 0)
    if ends:
        return text[: ends[0]], "", True
    for length in range(len(text), 0, -1):
        for stop in stops:
            if len(stop) > length and stop[:length] == text[-length:]:
                return text[:-length], text[-length:], False
    return text, "", False


ALTERNATIVES = (
    Alternative("cut in parts", _by_partition),
    Alternative("place by place", _place_by_place),
    Alternative("regular expressions", _by_regular_expressions),
    Alternative("the longest end first", _by_lengths),
)

FOUND, WAITS = "ends the text before a stop text", "holds back what may become a stop text"

EXERCISE = Exercise(
    name="stopping.split_at_stop",
    number="8.9",
    title="Where to stop",
    minutes=12,
    difficulty=2,
    reference=stopping.split_at_stop,
    checks=(
        Check(FOUND, 1, _found),
        Check("ends at the first of several", 1, _first_of_several),
        Check(WAITS, 1, _waiting),
        Check("holds back the longest such end", 1, _longest_wait, after=(FOUND, WAITS)),
        Check("shows what turned out to be none", 1, _false_alarm, after=(FOUND, WAITS)),
    ),
    hints=(
        "Two cases: a stop text occurs, or none does. Begin with the first one.",
        "`text.index(stop)` says where one stop text begins. Of several, which place counts?",
        "If none occurs, go through the ends of the text from the longest to the shortest, `text[start:]`, "
        "and ask of each: does any stop text begin with it?",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
    equivalents={},
)
