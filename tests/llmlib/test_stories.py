"""The stories and their floor, against brute force, an independent parser, samples and compressors."""

from __future__ import annotations

import collections
import functools
import itertools
import lzma
import math
import re
import statistics
import zlib

import pytest
import torch

from llmlib.automaton import Automaton
from llmlib.grammar import Again, Meet, Pick, Recall
from llmlib.stories import END, STORY, stories, stories_entropy

# Small enough to write out everything by hand; with a memory, shared beginnings and unequal lengths.
SMALL = (
    Pick(("a ", "once a ", "one ")),
    Meet("hero", (("fox", "he"), ("hen", "she"))),
    " ran and ",
    Recall("hero", 1),
    Pick((" hid", " ate")),
    " as a ",
    Recall("hero"),
    ".\n",
)
LOOPING = (Pick(("x", "yy")), Again((Pick(("a", "bb")), Pick((".", ", "))), 0.25), "E\n")

# What is common and what is rare look alike at first: a reader must weigh where in the text this may be.
SKEWED = (Pick(("abab", "c", "d", "e", "f", "g", "h", "i")), " a banana", "\n")


def everything_told(grammar) -> dict[str, float]:
    """All stories of a grammar without loops, with their probabilities."""
    told = {(): ("", 1.0)}
    for part in grammar:
        after = {}
        for memory, (text, chance) in told.items():
            known = dict(memory)
            match part:
                case str():
                    after[memory] = (text + part, chance)
                case Recall(name, form):
                    after[memory] = (text + known[name][form], chance)
                case Pick(options):
                    for number, option in enumerate(options):
                        key = (*memory, (f"pick {len(memory)}", number))
                        after[key] = (text + option, chance / len(options))
                case Meet(name, options):
                    for option in options:
                        after[(*memory, (name, option))] = (text + option[0], chance / len(options))
        told = after
    texts = collections.defaultdict(float)
    for text, chance in told.values():
        texts[text] += chance
    assert len(texts) == len(told), "the test's grammar is unambiguous"
    return texts


def derivations(text: str, grammar=STORY) -> list[float]:
    """The −log2 of the probability of every way to tell this text: a parser with regular expressions' ideas
    but none of the library's code, which tries every option at every place."""
    ways: list[float] = []

    def parse(rest: tuple, position: int, memory: dict, bits: float) -> None:
        if not rest:
            if position == len(text):
                ways.append(bits)
            return
        part, rest = rest[0], rest[1:]
        if isinstance(part, tuple):  # what is left after a passage was told once: (again, probability)
            again, probability = part
            parse(rest, position, memory, bits - math.log2(1 - probability))
            parse((*again, part, *rest), position, memory, bits - math.log2(probability))
            return
        if isinstance(part, Again):
            parse((*part.parts, (part.parts, part.probability), *rest), position, memory, bits)
            return
        if isinstance(part, str):
            options = [(part, {})]
        elif isinstance(part, Recall):
            options = [(memory[part.name][part.form], {})]
        elif isinstance(part, Pick):
            options = [(option, {}) for option in part.options]
        else:
            options = [(option[0], {part.name: option}) for option in part.options]
        for option, met in options:
            if text.startswith(option, position):
                parse(rest, position + len(option), memory | met, bits + math.log2(len(options)))

    parse(grammar, 0, {}, 0.0)
    return ways


@functools.cache
def sample(count: int = 400) -> tuple[str, ...]:
    return tuple(story + END for story in stories(7, count=count).split(END)[:-1])


def test_every_story_is_told_in_exactly_one_way():
    for story in sample():
        assert len(derivations(story)) == 1, story


def test_the_end_mark_ends_every_story_and_stands_nowhere_else():
    for story in sample():
        assert story.endswith(END)
        assert story.count(END) == story.count("\n") == 1


def test_the_floor_is_the_average_surprise_of_fresh_stories():
    bits = [derivations(story)[0] for story in sample()]
    lengths = [len(story) for story in sample()]
    floor = stories_entropy()
    # The error of a ratio of means, from the spread of what it should make zero.
    error = statistics.stdev(b - floor * n for b, n in zip(bits, lengths, strict=True))
    error /= math.sqrt(len(bits)) * statistics.mean(lengths)
    assert abs(sum(bits) / sum(lengths) - floor) < 3 * error
    assert error < 0.02 * floor, "the sample is large enough to notice a wrong floor"


def test_the_floor_of_a_small_grammar_by_writing_out_all_its_stories():
    told = everything_told(SMALL)
    assert len(told) == 12
    entropy = -sum(chance * math.log2(chance) for chance in told.values())
    length = sum(chance * len(text) for text, chance in told.items())
    assert stories_entropy(grammar=SMALL) == pytest.approx(entropy / length, rel=1e-12)


def test_the_floor_of_a_grammar_with_a_passage_told_again():
    entropy = length = 0.0
    for repeats in range(1, 14):
        one = [(a + b) for a in ("a", "bb") for b in (".", ", ")]
        chance = 0.75 * 0.25 ** (repeats - 1) * 0.5 * 0.25**repeats
        mean = sum(map(len, one)) / 4 * repeats + 1.5 + len("E\n")
        weight = chance * 2 * 4**repeats
        entropy -= weight * math.log2(chance)
        length += weight * mean
    assert stories_entropy(grammar=LOOPING) == pytest.approx(entropy / length, rel=1e-6)


@pytest.mark.parametrize("context", [1, 2, 5, 13])
@pytest.mark.parametrize("grammar", [SMALL, LOOPING, SKEWED], ids=["small", "looping", "skewed"])
def test_what_a_window_can_reach_by_counting_windows(grammar, context):
    """The entropies of blocks of text, from a very long text: H(n) is that of all blocks of n characters.

    The average surprise at the places 2 … T + 1 of a window, given those before in it, is
    (H(T + 1) - H(1)) / T.
    """
    text = stories(3, count=30_000, grammar=grammar)

    def block_entropy(length: int) -> float:
        counts = collections.Counter(text[i : i + length] for i in range(len(text) - context))
        total = sum(counts.values())
        return -sum(n / total * math.log2(n / total) for n in counts.values())

    expected = (block_entropy(context + 1) - block_entropy(1)) / context
    found = stories_entropy(context, grammar=grammar, windows=20_000)
    assert found == pytest.approx(expected, rel=0.02)


def test_a_longer_window_reaches_further_and_none_below_the_floor():
    floor = stories_entropy()
    reached = [stories_entropy(context, windows=300) for context in (1, 4, 16, 64, 256)]
    assert reached == sorted(reached, reverse=True)
    assert 2.5 < reached[0] < 3.5
    # Each step nearer is a large one, so the order above is not luck.
    for shorter, longer in itertools.pairwise([*reached, floor]):
        assert longer < 0.9 * shorter
    # A window of many stories: nearly the floor. Its beginning costs less, the longer it is.
    assert stories_entropy(4000, windows=20) == pytest.approx(floor, rel=0.08)


def test_two_seeds_of_the_sample_agree():
    first, second = (stories_entropy(32, seed=seed) for seed in (0, 1))
    assert first != second
    assert first == pytest.approx(second, rel=0.06)
    assert stories_entropy(32, seed=1) == second


def test_the_floor_by_the_automaton_is_the_floor_by_the_grammar():
    """The grammar adds up its choices; the automaton, what is uncertain at each character."""
    for grammar in (STORY, SMALL, LOOPING):
        automaton = Automaton.of(grammar)
        bits = 0.0
        for state, often in enumerate(automaton.stationary):
            chances = automaton.chances[automaton.starts[state] : automaton.starts[state + 1]]
            if len(chances) > 1:
                bits -= often * sum(chance * math.log2(chance) for chance in chances)
        assert bits == pytest.approx(stories_entropy(grammar=grammar), rel=1e-9)


def test_no_compressor_beats_the_floor():
    text = stories(11, characters=2_000_000).encode()
    for packed in (zlib.compress(text, 9), lzma.compress(text, preset=9)):
        assert 8 * len(packed) / len(text) > stories_entropy()


def test_the_same_seed_tells_the_same_stories():
    assert stories(5, count=20) == stories(5, count=20)
    assert stories(torch.Generator().manual_seed(5), count=20) == stories(5, count=20)
    assert stories(5, count=20) != stories(6, count=20)
    assert stories(5, count=20).startswith(stories(5, count=3))


def test_telling_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    stories(5, count=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_whole_stories_as_many_as_are_needed():
    text = stories(0, characters=5000)
    assert len(text) >= 5000
    assert text.endswith(END)
    assert len(text) - len(text.split(END)[-2] + END) < 5000
    assert stories(0, count=0) == stories(0, characters=0) == ""
    assert stories(0, count=9).count(END) == 9


def test_how_much_to_tell_must_be_said_once():
    message = r"by characters or by count: got characters={}, count={}"
    with pytest.raises(ValueError, match=message.format(None, None)):
        stories(0)
    with pytest.raises(ValueError, match=message.format(10, 1)):
        stories(0, characters=10, count=1)


def test_a_window_has_at_least_one_character():
    with pytest.raises(ValueError, match=r"a context has at least one character: got 0"):
        stories_entropy(0)


def test_what_was_met_early_comes_back_late():
    for story in sample():
        hero = re.search(r"(?:named|called) (\w+)\.", story)[1]
        thing = re.search(rf"{hero} lost (his|her) \w+ (\w+)\.", story)
        helper = re.search(r"(?:An?) ([a-z ]+?) (?:came by|heard|stopped|passed|knew)", story)[1]
        pronoun = {"his": "he", "her": "she"}[thing[1]]
        last = story[story.rindex(f" {pronoun} shares") :]
        assert last.startswith(f" {pronoun} shares the {thing[2]} with the {helper}, ")
        assert ("He" if pronoun == "he" else "She") in re.findall(r"\b(?:He|She)\b", story)
        assert len(set(re.findall(r"\b(?:He|She)\b", story))) == 1
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", story), (
            "a before a consonant, an before a vowel"
        )


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ((Pick(("a", "ab")), "c", "E\n"), r"'a' and 'ab' begin alike: the grammar may be ambiguous"),
        (
            (Again((Pick(("a", "b")), " "), 0.5), Pick(("b", "c")), "E\n"),
            "a passage and what follows it begin alike",
        ),
        ((Meet("who", (("he", "his"), ("he", "her"))), "E\n"), "'he' and 'he' begin alike"),
    ],
)
def test_an_ambiguous_grammar_is_refused(grammar, message):
    with pytest.raises(ValueError, match=message):
        stories_entropy(4, grammar=grammar)
