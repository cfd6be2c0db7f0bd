"""Exercise 1.7: predict what a sentence in another script costs."""

from __future__ import annotations

from autograder.exercise import Exercise, Misconception
from autograder.exercises.predictions import SIZE, comes_within, guess

SENTENCE = "मेरी दादी हर सुबह बगीचे में पौधों को पानी देती है"
CLOSE_ENOUGH = 0.15


def _tokens_per_character() -> float:
    """A tokenizer that has seen English alone has no merge for these bytes: each stays a token."""
    return len(SENTENCE.encode("utf-8")) / len(SENTENCE)


EXERCISE = Exercise(
    name="bpe.predict_cost",
    number="1.7",
    title="Predict: a sentence in another script",
    kind="prediction",
    answer_name="prediction",
    minutes=5,
    difficulty=2,
    checks=(
        comes_within(
            CLOSE_ENOUGH,
            _tokens_per_character,
            "think of the bytes of these characters, of the blanks between the words, and of what a merge "
            "needs to have been learned",
            values=SIZE,
            of="the count",
        ),
    ),
    hints=(
        "How many bytes has one of these characters in UTF-8? Find its row in the table: they lie from 0x900 "
        "on.",
        "Has the tokenizer ever seen two of these bytes side by side? What does it know about a pair that it "
        "has never seen?",
        "Now the blanks: they are characters as well, and how many bytes have they? Every fifth character or "
        "so "
        "is one. Average.",
    ),
    misconceptions=(
        Misconception(
            "as-in-english",
            "the sentence is expected to cost as little as English",
            "Merges are learned from pairs that occurred in the training text. Did these?",
            lambda: guess(0.27),
        ),
        Misconception(
            "one-each",
            "each character is expected to be one token",
            "The tokenizer starts from bytes, not from characters.",
            lambda: guess(1.0),
        ),
        Misconception(
            "two-each",
            "each character is expected to have two bytes",
            "Two bytes reach up to 0x7FF. Where does this script begin?",
            lambda: guess(2.0),
        ),
        Misconception(
            "no-blanks",
            "the blanks are forgotten",
            "A blank is a character of one byte, and there are several.",
            lambda: guess(3.0),
        ),
        Misconception(
            "four-each",
            "each character is expected to have four bytes",
            "Four bytes are for numbers above 0xFFFF, such as those of emoji.",
            lambda: guess(4.0),
        ),
    ),
)
