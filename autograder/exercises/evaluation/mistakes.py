"""Mistakes that several exercises of the chapter share, worded once: what the answer does, and advice."""

from __future__ import annotations

# With words.
SMALL_LETTERS = (
    "capital letters are made small, so that different words become equal",
    "Many a program does that, and prints that it did. Here words are compared as they are.",
)
WITHOUT_FULL_STOPS = (
    "full stops and commas are cut off the words, so that different words become equal",
    "How a text becomes words is decided before. Here words are compared as they are.",
)

# With n-grams.
ANY_ORDER = ("the order of the words in an n-gram is lost", "A dog bites a man is not a man bites a dog.")
GLUED = (
    "the words of an n-gram are glued together, so that different ones look alike",
    "Keep the words apart, for instance as a tuple.",
)
IN_STEPS = ("the n-grams do not overlap", "The second n-gram begins one word after the first, not n words.")
RUNS_WITH_RUNS = '`["a"] in ["a", "b"]` is false: the members are words. Compare runs with runs.'  # advice
PLACES_TO_BEGIN = "Count the places where a run of n words can begin in a text of 4 words."  # advice

# With numbers.
TRUTHS_AVERAGED = (
    "truths are averaged as they are, which PyTorch does not do",
    "Make numbers of them first: `.float()` makes 1 of True and 0 of False.",
)
PER_CENT = ("the share is in per cent", "Asked for is a share, from 0 to 1.")
BETWEEN_THE_TWO = "F1 lies between the two."  # advice
EVERY_CLASS = "Here every class counts."  # advice
