"""Stories: as much text as you like, and the loss that nobody can beat, computed.

Every story is told by one grammar: a hero is met, loses a thing, looks for it, and is helped. What is met
early comes back late. All choices are uniform and independent, every story ends with the same end mark, and
no story can be told in two ways. So the average surprise of the stories, their entropy, is known exactly: it
is the floor under the loss of every model. No model predicts fresh stories better.
"""

from __future__ import annotations

import torch

from llmlib.automaton import Automaton
from llmlib.grammar import Again, Meet, Part, Pick, Recall, bits_and_characters, forms_of, tell

END = "The end.\n"


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
    while len(told) < (count or 0) or length < (characters or 0):
        told.append("".join(tell(grammar, {}, generator)))
        length += len(told[-1])
    return "".join(told)


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
        bits, characters = bits_and_characters(grammar, forms_of(grammar))
        return bits / characters
    if context < 1:
        raise ValueError(f"a context has at least one character: got {context}")
    return Automaton.of(grammar).surprise(context, windows, seed)
