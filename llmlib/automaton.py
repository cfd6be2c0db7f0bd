"""A grammar as a finite automaton, and how surprised its best reader is who sees only a window of the text.

Source: Rabiner, "A Tutorial on Hidden Markov Models" (1989), section III.A, the forward procedure.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from llmlib.grammar import Again, Meet, Part, Pick, Recall, forms_of


@dataclass(frozen=True)
class Automaton:
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
    def of(grammar: tuple[Part, ...]) -> Automaton:
        compiled = _Compiler(grammar)
        alphabet = {character: number for number, character in enumerate(sorted(set(compiled.characters)))}
        counts = [len(ways) for ways in compiled.ways_on]
        successors = np.array([state for ways in compiled.ways_on for state, _ in ways])
        chances = np.array([chance for ways in compiled.ways_on for _, chance in ways])
        visits = np.array(compiled.visits)
        return Automaton(
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
        self.forms = forms_of(grammar)
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

    def states(self, ways: list[_Way], visits: float, before: str = "") -> list[tuple[int, float]]:
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
                texts = " and ".join(repr(before + text) for _, text, _ in alike)
                raise ValueError(f"{texts} begin alike: the grammar may be ambiguous")
            self.ways_on[state] = self.states(rest, visits * chance, before + character)
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
