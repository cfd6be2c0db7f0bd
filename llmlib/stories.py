"""A story grammar of our own: as much text as you like, and the loss that nobody can beat, computed.

A story is told part by part. A part is a fixed text, a choice (some choices are remembered: the hero, the
thing that is lost), a word that comes back (the hero's name, "his" or "her"), or a passage that may be
told again. All choices are uniform and independent, every story ends with the same end mark, and no story can
be told in two ways. So the probability of a text is a product that can be written down, and its average
surprise, the entropy, is the floor under the loss of every model: no model predicts fresh stories better.

Source: Shannon, "A Mathematical Theory of Communication" (1948), sections 6 and 7.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

END = "The end.\n"


@dataclass(frozen=True)
class Pick:
    """One of the options, each as likely as the others."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Meet:
    """One of the options, remembered under a name. An option is a tuple of forms: ("Tom", "he", "his")."""

    name: str
    options: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Recall:
    """What was met under this name, in one of its forms: 0 is the form in which it was met."""

    name: str
    form: int = 0


@dataclass(frozen=True)
class Again:
    """The parts, once at least; after each time, once more with this probability."""

    parts: tuple[str | Pick | Recall, ...]
    probability: float


Part = str | Pick | Meet | Recall | Again


def _pick(options: str) -> Pick:
    return Pick(tuple(options.split("|")))


def _plain(options: str) -> tuple[tuple[str, ...], ...]:
    return tuple((option,) for option in options.split("|"))


_HEROES = tuple((name, "he", "He", "his") for name in ("Tom", "Max", "Oscar", "Pip")) + tuple(
    (name, "she", "She", "her") for name in ("Lily", "Mia", "Tilda", "Nell")
)
_HELPERS = (
    ("An owl", "owl"),
    ("A goat", "goat"),
    ("An old crow", "old crow"),
    ("A turtle", "turtle"),
    ("A snail", "snail"),
    ("An otter", "otter"),
)

STORY: tuple[Part, ...] = (
    _pick(
        "Once|Long ago|One year|Far away|Last spring|In a deep forest|On a small island|Before you were born"
    ),
    " there ",
    _pick("was|lived"),
    " a ",
    _pick("little|shy|clever|brave|sleepy|gentle|funny|quiet|merry|young|curious|very hungry"),
    " ",
    Meet("animal", _plain("fox|bear|mouse|rabbit|kitten|hedgehog")),
    " ",
    _pick("named|called"),
    " ",
    Meet("hero", _HEROES),
    ". ",
    _pick("Every day|Each morning|In summer|When it rained|After lunch|All winter"),
    " the ",
    Recall("animal"),
    " ",
    _pick("sang|danced|baked bread|told jokes|picked flowers|counted clouds|played chess|painted"),
    " ",
    _pick("by the river|in the garden|on the hill|under the stars|near the mill|with the bees"),
    ". ",
    _pick("But one|One"),
    " ",
    _pick("sunny|windy|cold|foggy|warm|stormy|strange|snowy"),
    " ",
    _pick("day|morning|evening|afternoon"),
    " ",
    Recall("hero"),
    " lost ",
    Recall("hero", 3),
    " ",
    Meet("colour", _plain("red|blue|green|golden|striped|purple")),
    " ",
    Meet("thing", _plain("ball|kite|drum|hat|bell|boat")),
    ". ",
    Again(
        (
            _pick("Was it|Could it be"),
            " ",
            _pick(
                "under the bed|behind the door|in the well|up a tree|in the hay|on the roof|inside the teapot"
                "|at the bakery|below the bridge|between the roses"
            ),
            "? No",
            _pick("!|.|, not there."),
            " ",
        ),
        0.5,
    ),
    Recall("hero", 2),
    " ",
    _pick("sat down|sighed|cried a little|could not sleep|felt very sad|kicked a stone|drank some tea"),
    ". ",
    _pick('"I miss|"I want|"I cannot find|"Someone took|"The wind stole|"A thief has'),
    " my ",
    Recall("colour"),
    " ",
    Recall("thing"),
    '!" said ',
    Recall("hero"),
    ". ",
    Meet("helper", _HELPERS),
    " ",
    _pick("came by|heard this|stopped to help|passed just then|knew what to do"),
    ". ",
    _pick("So|Then|Without a word"),
    " the ",
    Recall("helper", 1),
    " and ",
    Recall("hero"),
    " ",
    Again((_pick("walked|ran|crept|climbed|sailed|wandered"), " and "), 0.5),
    _pick("looked|asked|listened|hunted"),
    " ",
    _pick("all night|for hours|until noon|for three days|everywhere|for a whole week"),
    ". ",
    _pick("At last|In the end|By luck|Just then|On the way home"),
    " the ",
    Recall("helper", 1),
    " ",
    _pick("found|saw|spotted|heard|smelled"),
    " the ",
    Recall("thing"),
    " ",
    _pick(
        "in a nest|behind a rock|under a leaf|beside a frog|in the snow|on a cloud|down a hole|in a soup pot"
    ),
    ". ",
    Recall("hero"),
    " ",
    _pick("laughed|clapped|jumped for joy|turned pink|cheered|did a somersault"),
    " and gave the ",
    Recall("helper", 1),
    " ",
    _pick("a hug|a plum|half a pie|three nuts|a warm scarf|a big kiss|a song"),
    ". ",
    _pick("From that day on|Ever since|And so|To this day"),
    " ",
    Recall("hero", 1),
    " ",
    "shares the ",
    Recall("thing"),
    " with the ",
    Recall("helper", 1),
    ", and they are ",
    _pick("best friends|never sad|always busy|very happy|famous|both a bit wiser"),
    ". ",
    END,
)


def stories(
    seed: int | torch.Generator = 0,
    *,
    characters: int | None = None,
    count: int | None = None,
    grammar: tuple[Part, ...] = STORY,
) -> str:
    """Whole stories, one after another: `count` of them, or as many as it takes to reach `characters`.

    The same seed tells the same stories.

    Raises:
        ValueError: not exactly one of `characters` and `count` is given.
    """
    if (characters is None) == (count is None):
        raise ValueError(
            f"say how much to tell, by characters or by count: got characters={characters}, count={count}"
        )
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    told: list[str] = []
    length = 0
    while (len(told) < count) if count is not None else (length < characters):
        told.append("".join(_tell(grammar, {}, generator)))
        length += len(told[-1])
    return "".join(told)


def _tell(
    parts: tuple[Part, ...], met: dict[str, tuple[str, ...]], generator: torch.Generator
) -> Iterator[str]:
    for part in parts:
        match part:
            case str():
                yield part
            case Recall(name, form):
                yield met[name][form]
            case Pick(options):
                yield options[_draw(len(options), generator)]
            case Meet(name, options):
                met[name] = options[_draw(len(options), generator)]
                yield met[name][0]
            case Again(again, probability):
                yield from _tell(again, met, generator)
                while torch.rand((), generator=generator).item() < probability:
                    yield from _tell(again, met, generator)


def _draw(options: int, generator: torch.Generator) -> int:
    return int(torch.randint(options, (), generator=generator))


def stories_entropy(
    context: int | None = None, *, grammar: tuple[Part, ...] = STORY, windows: int = 1000, seed: int = 0
) -> float:
    """The floor under the loss on stories, in bits per character. (Times ln 2 it is in nats, as losses are.)

    Without `context` it is exact: the entropy of one story, divided by its expected number of characters.
    It is the average surprise, over a long text, for a reader who knows the grammar and has read everything
    so far. A model can be better than that only on text that it has learned by heart.

    With `context=T` it is what the same reader can reach when only a window of the text is seen, as in
    training: a window of T characters and the one after it starts anywhere in the text, all places being
    equally likely; character i + 1 of it is predicted from its characters 1 to i only; and the average is
    taken over i = 1, …, T and over the windows. For each window the probabilities are exact (a forward
    filter over all places of the grammar where the reader may be); the average over windows is taken on
    `windows` of them, drawn with `seed`, so the result has a standard error, about 2 % of its distance to
    the floor with the default.

    Raises:
        ValueError: `context` is not positive.
    """
    if context is None:
        bits, characters = _bits_and_characters(grammar, _forms(grammar))
        return bits / characters
    if context < 1:
        raise ValueError(f"a context has at least one character: got {context}")
    return _Automaton.of(grammar).surprise(context, windows, seed)


def _forms(grammar: tuple[Part, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {part.name: part.options for part in grammar if isinstance(part, Meet)}


def _bits_and_characters(
    parts: tuple[Part, ...], forms: dict[str, tuple[tuple[str, ...], ...]]
) -> tuple[float, float]:
    """The entropy and the expected length of a passage. Choices are independent, so both simply add up."""
    bits = characters = 0.0
    for part in parts:
        match part:
            case str():
                characters += len(part)
            case Recall(name, form):
                characters += sum(len(option[form]) for option in forms[name]) / len(forms[name])
            case Pick(options):
                bits += math.log2(len(options))
                characters += sum(map(len, options)) / len(options)
            case Meet(_, options):
                bits += math.log2(len(options))
                characters += sum(len(option[0]) for option in options) / len(options)
            case Again(again, probability):
                told = 1 / (1 - probability)
                once_bits, once_characters = _bits_and_characters(again, forms)
                bits += told * (once_bits + _coin(probability))
                characters += told * once_characters
    return bits, characters


def _coin(probability: float) -> float:
    return sum(-p * math.log2(p) for p in (probability, 1 - probability) if p > 0)


@dataclass(frozen=True)
class _Automaton:
    """The grammar as a finite automaton: a state is a character of the text *and* what is remembered there.

    It is deterministic: who has read a story from its beginning knows the state. The ways on from state s
    are `successors[starts[s] : starts[s + 1]]`, all with different characters, and their `chances`.
    """

    characters: np.ndarray  # the character of each state, as a number
    starts: np.ndarray
    successors: np.ndarray
    chances: np.ndarray
    stationary: np.ndarray  # how often a long text is in each state

    @staticmethod
    @functools.cache
    def of(grammar: tuple[Part, ...]) -> _Automaton:
        compiled = _Compiler(grammar)
        alphabet = {character: number for number, character in enumerate(sorted(set(compiled.characters)))}
        counts = [len(ways) for ways in compiled.ways_on]
        successors = np.array([state for ways in compiled.ways_on for state, _ in ways])
        chances = np.array([chance for ways in compiled.ways_on for _, chance in ways])
        visits = np.array(compiled.visits)
        return _Automaton(
            characters=np.array([alphabet[character] for character in compiled.characters]),
            starts=np.concatenate([[0], np.cumsum(counts)]),
            successors=successors,
            chances=chances,
            stationary=visits / visits.sum(),
        )

    def ways_on(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All ways on: for each, the place in `states` it comes from, its state and its chance."""
        counts = self.starts[states + 1] - self.starts[states]
        origin = np.repeat(np.arange(len(states)), counts)
        place = np.arange(len(origin)) - np.repeat(np.cumsum(counts) - counts, counts)
        ways = self.starts[states][origin] + place
        return origin, self.successors[ways], self.chances[ways]

    def surprise(self, context: int, windows: int, seed: int) -> float:
        """Bits per character for windows of this many characters, averaged as `stories_entropy` says.

        Averaged over the sample is only how much more the window's reader has to guess than one who knows
        the whole story at the same place: that one's average is the floor, known exactly, and the
        difference varies much less than what is guessed itself.
        """
        random = np.random.default_rng(seed)
        size = int(self.characters.max()) + 1
        everywhere = np.arange(len(self.characters))
        origin, _, chances = self.ways_on(everywhere)
        floor = np.bincount(origin, -chances * np.log2(chances))

        truth = random.choice(len(everywhere), size=windows, p=self.stationary)
        # Readers who have seen the same characters believe the same, so they are one reader.
        seen, reader_of = np.unique(self.characters[truth], return_inverse=True)
        states = everywhere[np.isin(self.characters, seen)]
        reader = np.searchsorted(seen, self.characters[states])
        belief = self.stationary[states]
        excess = 0.0
        for _ in range(context):
            belief = belief / np.bincount(reader, belief)[reader]
            origin, states, chances = self.ways_on(states)
            belief = belief[origin] * chances
            guess = reader[origin] * size + self.characters[states]
            table = np.bincount(guess, belief, len(seen) * size).reshape(len(seen), size)
            guessed = -(table * np.log2(np.where(table > 0, table, 1.0))).sum(axis=1)
            excess += float((guessed[reader_of] - floor[truth]).sum())

            truth = self.walk(truth, random)
            seen, reader_of = np.unique(reader_of * size + self.characters[truth], return_inverse=True)
            right = np.isin(guess, seen)
            reader, states, belief = np.searchsorted(seen, guess[right]), states[right], belief[right]
        return float(self.stationary @ floor) + excess / (windows * context)

    def walk(self, states: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One step of the true text from each of these states."""
        origin, following, chances = self.ways_on(states)
        # A race between the ways on: the first of independent exponential times wins with its chance.
        order = np.lexsort((random.exponential(size=len(chances)) / chances, origin))
        return following[order][np.searchsorted(origin, np.arange(len(states)))]


# A place between two parts, and what is remembered there: names with the number of what was met.
_Joint = tuple[int, tuple[tuple[str, int], ...]]
# One way to go on from a joint: its chance, its text, and the joints after it, with their chances.
_Way = tuple[float, str, list[tuple[float, _Joint]]]
_OPENING: _Joint = (0, ())


class _Compiler:
    """Turns a grammar into states. Ways with a common beginning share their states as long as they agree.

    Raises:
        ValueError: the grammar may be ambiguous: after some text it is open what was told.
    """

    def __init__(self, grammar: tuple[Part, ...]) -> None:
        self.characters: list[str] = []
        self.visits: list[float] = []  # how often one story is in a state, on average
        self.ways_on: list[list[tuple[int, float]]] = []
        self.after: dict[int, list[tuple[float, _Joint]]] = {}  # from a text's last state, the joints
        self.forms = _forms(grammar)
        self.program, self.last_use = _program(grammar)

        begins: dict[_Joint, list[tuple[int, float]]] = {}
        visits: dict[_Joint, float] = {_OPENING: 1.0}
        for place in range(len(self.program)):
            # A passage told again with the chance p is told 1 / (1 - p) times.
            times = 1 / (1 - sum(chance for _, start, chance in self.program if start == place))
            for joint in [joint for joint in visits if joint[0] == place]:
                visits[joint] *= times
                ways = self.ways(joint)
                begins[joint] = self.states(ways, visits[joint])
                for chance, _, then in ways:
                    for part, target in then:
                        if target[0] > place:
                            visits[target] = visits.get(target, 0.0) + visits[joint] * chance * part
        for state, then in self.after.items():
            ways_on = [(on, chance * part) for chance, joint in then for on, part in begins[joint]]
            if len({self.characters[on] for on, _ in ways_on}) < len(ways_on):
                raise ValueError("a passage and what follows it begin alike: the grammar may be ambiguous")
            self.ways_on[state] = ways_on

    def ways(self, joint: _Joint) -> list[_Way]:
        """The ways to go on from a joint.

        What will not come back is forgotten, or the automaton would grow with every choice.
        """
        place, memory = joint[0], dict(joint[1])
        part, back, chance_back = self.program[place]
        match part:
            case str():
                told = [(part, memory)]
            case Recall(name, form):
                told = [(self.forms[name][memory[name]][form], memory)]
            case Pick(options):
                told = [(option, memory) for option in options]
            case Meet(name, options):
                told = [(option[0], memory | {name: number}) for number, option in enumerate(options)]
        ways = []
        for text, then in told:
            joints = []
            for chance, target in ((1 - chance_back, place + 1), (chance_back, back)):
                kept = [item for item in then.items() if self.last_use.get(item[0], -1) >= target]
                if chance:
                    joints.append((chance, (target % len(self.program), tuple(sorted(kept)))))
            ways.append((1 / len(told), text, joints))
        return ways

    def states(self, ways: list[_Way], visits: float) -> list[tuple[int, float]]:
        """New states for these texts, told this often; their first ones, with their chances."""
        firsts = []
        for character in dict.fromkeys(text[0] for _, text, _ in ways):
            alike = [way for way in ways if way[1][0] == character]
            chance = sum(way[0] for way in alike)
            state = len(self.characters)
            firsts.append((state, chance))
            if len(alike) == 1:  # nothing branches any more: the rest of the text is a row of states
                _, text, then = alike[0]
                self.characters += text
                self.visits += [visits * chance] * len(text)
                self.ways_on += [[(number, 1.0)] for number in range(state + 1, state + len(text))] + [[]]
                self.after[state + len(text) - 1] = then
                continue
            self.characters.append(character)
            self.visits.append(visits * chance)
            self.ways_on.append([])
            rest = [(way[0] / chance, way[1][1:], way[2]) for way in alike]
            if not all(text for _, text, _ in rest):
                texts = " and ".join(repr(text) for _, text, _ in alike)
                raise ValueError(f"{texts} begin alike: the grammar may be ambiguous")
            self.ways_on[state] = self.states(rest, visits * chance)
        return firsts


def _program(grammar: tuple[Part, ...]) -> tuple[list[tuple[Part, int, float]], dict[str, int]]:
    """The parts in a row, each with where it may go back to and how likely; and where names are last used."""
    program: list[tuple[Part, int, float]] = []
    last_use: dict[str, int] = {}
    for part in grammar:
        passage, chance_back = (part.parts, part.probability) if isinstance(part, Again) else ((part,), 0.0)
        start = len(program)
        program += [(inner, start, 0.0) for inner in passage[:-1]]
        program.append((passage[-1], start, chance_back))
        # What a passage recalls is kept to the end of the passage: it may be told again.
        last_use |= {inner.name: len(program) - 1 for inner in passage if isinstance(inner, Recall)}
    return program, last_use
