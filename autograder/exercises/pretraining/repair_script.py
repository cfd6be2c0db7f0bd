"""Exercise 7.10: training and scoring, with a class that does not exist and three quiet faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder.calling import Made
from autograder.exercise import Alternative, Case, Check, Exercise, Misconception
from llmlib.clipping import clip_gradients
from llmlib.data import get_batch
from llmlib.forty_lines import train_and_score
from llmlib.validation import evaluate

STARTER = '''\
def train_and_score(
    model: nn.Module,
    tokens: Int[Tensor, " corpus"],
    context_length: int,
    batch_size: int,
    steps: int,
    learning_rate: float,
    clip: float,
    train_share: float,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Train on the first `train_share` of the tokens; the loss and the accuracy on the rest."""
    end = int(train_share * len(tokens))
    train_tokens, validation_tokens = tokens[:end], tokens[end:]
    dataset = TextDataset(train_tokens, context_length)
    optimizer = torch.optim.AdamW(model.parameters())
    with torch.enable_grad():  # the checks call this with gradients switched off
        for _ in range(steps):
            inputs = dataset.batch(batch_size, generator)
            loss = F.cross_entropy(model(inputs).flatten(0, 1), inputs.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    n = (len(train_tokens) - 1) // context_length * context_length
    inputs = train_tokens[:n]
    with torch.no_grad():
        logits = model(inputs.view(-1, context_length)).flatten(0, 1)
    loss = F.cross_entropy(logits, inputs)
    accuracy = (logits.argmax(dim=-1) == inputs).float().mean()
    return loss.item(), accuracy.item()
'''

V = 5
DEFAULT_RATE, NO_CLIP = 1e-3, 1e9  # AdamW's own rate, and a length that no gradient has

# --- Probes that show one fault at a time. On a text of one token only, a shift changes nothing and neither
# does the part that is scored; on a text that is told twice the parts are equal; and at AdamW's own rate,
# without clipping, it does not matter whether the numbers are used.


def _drawn(g: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=g))


def _case(
    g: torch.Generator,
    tokens: Tensor,
    share: float,
    *,
    rate: float = DEFAULT_RATE,
    clip: float = NO_CLIP,
    places: bool = False,
) -> Case:
    """`places`: the model knows in which place of its context a token stands, and takes no longer text."""
    model, context_length = {"vocab_size": V, "generator": _generator(g)}, _drawn(g, 3, 4)
    if places:
        model["context_length"] = context_length
    return Case(
        {
            "model": Made("llmlib.forty_lines:Bigrams", model),
            "tokens": tokens,
            "context_length": context_length,
            "batch_size": _drawn(g, 2, 3),
            "steps": _drawn(g, 2, 3),
            "learning_rate": rate,
            "clip": clip,
            "train_share": share,
            "generator": _generator(g),
        }
    )


def _generator(g: torch.Generator) -> Made:
    return Made("autograder.calling:generator", {"seed": _drawn(g, 0, 9999)})


def _tokens(g: torch.Generator, length: int) -> Tensor:
    return torch.randint(V, (length,), generator=g)


def _one_token_only(g: torch.Generator) -> Iterator[Case]:
    for _ in range(2):
        yield _case(g, torch.full((24,), _drawn(g, 0, V - 1)), 0.5)


def _told_twice(g: torch.Generator) -> Iterator[Case]:
    for length in (9, 13):
        yield _case(g, _tokens(g, length).repeat(2), 0.5)


def _two_tokens(g: torch.Generator) -> Iterator[Case]:
    for share in (0.5, 0.75):
        first, second = torch.randperm(V, generator=g)[:2].tolist()
        tokens = torch.full((32,), second)
        tokens[: int(32 * share)] = first
        yield _case(g, tokens, share)


def _rates(g: torch.Generator) -> Iterator[Case]:
    for rate in (0.05, 0.2):
        yield _case(g, torch.full((24,), _drawn(g, 0, V - 1)), 0.5, rate=rate)


def _clips(g: torch.Generator) -> Iterator[Case]:
    # AdamW does not care how long the gradients are, only how they compare from step to step: here they get
    # shorter fast, unless each is shortened to the same length.
    for _ in range(2):
        case = _case(g, torch.full((24,), _drawn(g, 0, V - 1)), 0.5, rate=0.5, clip=0.02)
        yield Case({**case.arguments, "steps": 4})


def _everything(g: torch.Generator) -> Iterator[Case]:
    yield _case(g, _tokens(g, 40), 0.75, rate=0.05, clip=0.5)
    yield _case(g, _tokens(g, 31), 0.5, rate=0.1, clip=0.2)
    yield _case(g, _tokens(g, 36), 0.5, rate=0.05, clip=0.3, places=True)
    # A model that knows all of the first part and nothing of the rest.
    first, second = torch.randperm(V, generator=g)[:2].tolist()
    case = _case(g, torch.tensor([first] * 12 + [second] * 12), 0.5, rate=1.0)
    yield Case({**case.arguments, "steps": 6})


# --- Repairs that stop too early or go wrong


def _shifted(windows: Tensor) -> tuple[Tensor, Tensor]:
    return windows[..., :-1], windows[..., 1:]


def _unshifted(windows: Tensor) -> tuple[Tensor, Tensor]:
    return windows[..., :-1], windows[..., :-1]


def _backwards(windows: Tensor) -> tuple[Tensor, Tensor]:
    return windows[..., 1:], windows[..., :-1]


def _shifted_twice(windows: Tensor) -> tuple[Tensor, Tensor]:
    return windows[..., :-2], windows[..., 2:]


def _rolled(windows: Tensor) -> tuple[Tensor, Tensor]:
    inputs = windows[..., :-1]
    return inputs, inputs.roll(-1, dims=-1)


def _clipped(model: nn.Module, clip: float) -> None:
    clip_gradients(model.parameters(), clip)


def _by_value(model: nn.Module, clip: float) -> None:
    nn.utils.clip_grad_value_(model.parameters(), clip)


def _one_by_one(model: nn.Module, clip: float) -> None:
    for parameter in model.parameters():
        clip_gradients([parameter], clip)


def _not_at_all(model: nn.Module, clip: float) -> None:
    pass


def _variant(
    *,
    train=_shifted,
    score=_shifted,
    train_on: str = "train",
    score_on: str = "rest",
    accuracy_on: str | None = None,
    optimizer: Callable[..., Any] = lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate),
    clipping=_clipped,
) -> Callable[..., Any]:
    """The repaired function with one step of it done in another way."""

    def train_and_score(
        model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator
    ):
        end = int(train_share * len(tokens))
        parts = {"train": tokens[:end], "rest": tokens[end:], "all": tokens}
        adamw = optimizer(model.parameters(), learning_rate)
        with torch.enable_grad():
            for _ in range(steps):
                starts = torch.randint(
                    len(parts[train_on]) - context_length, (batch_size,), generator=generator
                )
                places = starts[:, None] + torch.arange(context_length + 1)
                inputs, targets = train(parts[train_on][places.to(tokens.device)])
                loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
                adamw.zero_grad()
                loss.backward()
                clipping(model, clip)
                adamw.step()

        def scored(part):
            text = parts[part]
            n = (len(text) - 1) // context_length * context_length
            windows = text[: n + 1].unfold(0, context_length + 1, context_length)
            inputs, targets = score(windows)
            with torch.no_grad():
                logits = model(inputs).flatten(0, 1)
            targets = targets.flatten()
            return F.cross_entropy(logits, targets), (logits.argmax(dim=-1) == targets).float().mean()

        return scored(score_on)[0].item(), scored(accuracy_on or score_on)[1].item()

    return train_and_score


def _written_out(
    *,
    order: str = "zero backward clip step",
    batch: str = "each step",
    batches: Callable[..., tuple[Tensor, Tensor]] = get_batch,
    scored: Callable[..., tuple[Tensor, Tensor]] | None = None,
    adamw: Callable[..., Any] = torch.optim.AdamW,
    limit: float | None = None,
) -> Callable[..., Any]:
    """The repaired function, its loop in another order or its parts in another way.

    order:   what is done in a step.
    batch:   when a batch is drawn: "each step", or "once".
    batches: draws one.
    scored:  the logits and targets that are scored, from the model, the rest, a context length, a batch's
             size and the generator.
    limit:   clip to this, whatever is asked.
    """

    def train_and_score(
        model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator
    ):
        end = int(train_share * len(tokens))
        optimizer = adamw(model.parameters(), lr=learning_rate)
        loss = torch.zeros(())
        do = {
            "zero": optimizer.zero_grad,
            "backward": lambda: loss.backward(),
            "clip": lambda: clip_gradients(model.parameters(), limit or clip),
            "step": optimizer.step,
        }
        inputs, targets = tokens[:0], tokens[:0]
        with torch.enable_grad():
            for step in range(steps):
                if batch == "each step" or step == 0:
                    inputs, targets = batches(tokens[:end], batch_size, context_length, generator)
                loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
                for part in order.split():
                    do[part]()
        with torch.no_grad():
            read = scored or _in_windows
            logits, asked = read(model, tokens[end:], context_length, batch_size, generator)
        return F.cross_entropy(logits, asked).item(), (logits.argmax(dim=-1) == asked).float().mean().item()

    return train_and_score


def _in_windows(model, rest, context_length, batch_size, generator):
    n = (len(rest) - 1) // context_length * context_length
    return model(rest[:n].view(-1, context_length)).flatten(0, 1), rest[1 : n + 1]


def _drawn_windows(model, rest, context_length, batch_size, generator):
    inputs, targets = get_batch(rest, batch_size, context_length, generator)
    return model(inputs).flatten(0, 1), targets.flatten()


def _in_one_piece(model, rest, context_length, batch_size, generator):
    n = (len(rest) - 1) // context_length * context_length
    return model(rest[None, :n])[0], rest[1 : n + 1]


def _shifted_inside_windows(model, rest, context_length, batch_size, generator):
    """Each window gives up its last target, which stands in the next one."""
    windows = rest[: len(rest) // context_length * context_length].view(-1, context_length)
    return model(windows)[:, :-1].flatten(0, 1), windows[:, 1:].flatten()


def _sizes_swapped(tokens, batch_size, context_length, generator):
    return get_batch(tokens, context_length, batch_size, generator)


def _own_generator(tokens, batch_size, context_length, generator):
    return get_batch(tokens, batch_size, context_length, torch.Generator().manual_seed(0))


def _two_results(change: Callable[[float, float], tuple[float, float]]) -> Callable[..., Any]:
    right = _variant()
    return lambda *arguments, **named: change(*right(*arguments, **named))


def _last_target_missing(
    model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator
):
    """As many windows as fit into the rest; behind the last of them there may be no token any more."""
    rest = tokens[int(train_share * len(tokens)) :]
    n = len(rest) // context_length * context_length
    if len(rest[1 : n + 1]) < n:
        raise ValueError(f"Expected input batch_size ({n}) to match target batch_size ({n - 1}).")
    return _variant()(
        model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator
    )


def _nothing_repaired(
    model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator
):
    raise NameError("name 'TextDataset' is not defined")


LEFT = {
    "shift": "the targets are still the inputs themselves",
    "score": "the training text is still what is scored",
    "numbers": "the optimizer still works at its own rate",
}
ADVICE = {
    "shift": "Print one row of the inputs and one of the targets as text, in training and in the score.",
    "score": "A model that has learned its text by heart should get no good score. Which text is held back?",
    "numbers": "Call it with a learning rate of 0: the model must stay as it was. And look for `clip`, too.",
}


def _left(*left: str) -> Misconception:
    task = _unshifted if "shift" in left else _shifted
    used = "numbers" not in left
    title = "; ".join(LEFT[name] for name in left)
    return Misconception(
        "left-" + "-".join(left),
        title,
        ADVICE[left[0]],
        _variant(
            train=task,
            score=task,
            score_on="train" if "score" in left else "rest",
            optimizer=lambda parameters, rate: torch.optim.AdamW(
                parameters, **({"lr": rate} if used else {})
            ),
            clipping=_clipped if used else _not_at_all,
        ),
    )


MISCONCEPTIONS = (
    Misconception(
        "nothing-repaired",
        "a class is used that nobody has written",
        "Before the name is mended nothing else can be seen. Which function of this chapter draws batches?",
        _nothing_repaired,
    ),
    *(_left(*left) for count in (1, 2, 3) for left in combinations(LEFT, count)),
    Misconception(
        "last-target-missing",
        "the last window is taken even if the text ends with it, so its last place has no target",
        "A window of 4 tokens needs a fifth, the target of its last place. How many windows has a rest of 8?",
        _last_target_missing,
    ),
    Misconception(
        "results-swapped",
        "the share of right guesses comes before the loss",
        "First the mean loss, then the share of right guesses.",
        _two_results(lambda loss, accuracy: (accuracy, loss)),
    ),
    Misconception(
        "percent",
        "the share of right guesses is given in percent",
        "A share lies between 0 and 1.",
        _two_results(lambda loss, accuracy: (loss, 100 * accuracy)),
    ),
    Misconception(
        "shifted-backwards",
        "the model learns to guess the token before, not the one after",
        "Which of the two is known first when text is written: the input or the target?",
        _variant(train=_backwards, score=_backwards),
    ),
    Misconception(
        "shifted-twice",
        "the targets are two places ahead, because they were shifted twice",
        "What does `get_batch` give back: windows, or inputs and targets?",
        _variant(train=_shifted_twice, score=_shifted_twice),
    ),
    Misconception(
        "rolled",
        "the last target of a window is its first token",
        "`roll` closes the circle. The token after a window must come out of the text.",
        _variant(train=_rolled, score=_rolled),
    ),
    Misconception(
        "shift-in-training-only",
        "the targets are shifted in training, and not in the score",
        "The score asks a question, too. Is it the same one?",
        _variant(score=_unshifted),
    ),
    Misconception(
        "shift-in-the-score-only",
        "the targets are shifted in the score, and not in training",
        "The model is tested on something that it was never taught.",
        _variant(train=_unshifted),
    ),
    Misconception(
        "trained-on-everything",
        "the batches are drawn from the whole text, so the rest has been trained on",
        "What is held back must be held back from the very start.",
        _variant(train_on="all"),
    ),
    Misconception(
        "scored-on-everything",
        "the whole text is scored, and most of it was trained on",
        "Only text that the model has never seen can tell.",
        _variant(score_on="all"),
    ),
    Misconception(
        "accuracy-on-training-text",
        "the loss is that of the rest, and the accuracy that of the training text",
        "Two numbers are given back, and both make a claim about new text.",
        _variant(accuracy_on="train"),
    ),
    Misconception(
        "rate-without-clip",
        "the learning rate is used, and `clip` has no effect",
        "Is it used at all? And does it come when the gradient is there and the step is not done yet?",
        _variant(clipping=_not_at_all),
    ),
    Misconception(
        "clipped-by-value",
        "each number of the gradient is cut off by itself, which turns its direction",
        "Clipping shortens the gradient as one long vector.",
        _variant(clipping=_by_value),
    ),
    Misconception(
        "clipped-one-by-one",
        "each weight's gradient is shortened for itself",
        "The length that counts is that of all gradients together.",
        _variant(clipping=_one_by_one),
    ),
    Misconception(
        "clipped-to-one",
        "the gradient is shortened to the length 1, whatever `clip` says",
        "1 is a habit. The function is told which length is allowed.",
        _written_out(limit=1.0),
    ),
    Misconception(
        "zeroed-before-the-step",
        "the gradients are set to zero between `backward` and the step, so that only the decay is left",
        "Whatever `backward` finds must still be there when the optimizer looks.",
        _written_out(order="backward clip zero step"),
    ),
    Misconception(
        "never-zeroed",
        "the gradients are never set to zero and pile up from step to step",
        "`backward` adds to what is there. That line of the post was right.",
        _written_out(order="backward clip step"),
    ),
    Misconception(
        "one-batch-only",
        "one batch is drawn before the loop and used in every step",
        "Each step is to see other windows. Where is the batch drawn?",
        _written_out(batch="once"),
    ),
    Misconception(
        "sizes-swapped",
        "the number of windows and their length have changed places",
        "Look at the order in which `get_batch` takes them.",
        _written_out(batches=_sizes_swapped),
    ),
    Misconception(
        "own-generator",
        "the batches are drawn from a generator other than the one that was given",
        "The caller decides on the random numbers. What is `generator` for?",
        _written_out(batches=_own_generator),
    ),
    Misconception(
        "scored-on-drawn-windows",
        "the score is taken on windows drawn at random, not on the whole rest",
        "A score should be the same each time, and leave nothing out. Cut the rest into windows, one after "
        "the other.",
        _written_out(scored=_drawn_windows),
    ),
    Misconception(
        "scored-in-one-piece",
        "the rest is read in one piece, which is longer than the model's context",
        "The model was trained on windows of `context_length` tokens. Cut the rest into such windows.",
        _written_out(scored=_in_one_piece),
    ),
    Misconception(
        "shifted-inside-the-windows",
        "the shift is made inside each window of the rest, so the last place of a window asks for nothing",
        "The target of a window's last token is the first token of the next window. Shift before you cut.",
        _written_out(scored=_shifted_inside_windows),
    ),
    Misconception(
        "adam",
        "the optimizer is Adam, without the W, which does not decay",
        "The choice of the optimizer was no fault. Give it its learning rate, and leave it.",
        _written_out(adamw=torch.optim.Adam),
    ),
    Misconception(
        "plain-descent",
        "the optimizer is no longer AdamW",
        "The choice of the optimizer was no fault. Give it its learning rate, and leave it.",
        _variant(optimizer=lambda parameters, rate: torch.optim.SGD(parameters, lr=rate)),
    ),
)


# --- Right answers in another form


def _by_hand(model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator):
    train_tokens, rest = tokens.tensor_split([int(train_share * len(tokens))])
    windows = train_tokens.unfold(0, context_length + 1, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        batch = windows[torch.randint(len(windows), (batch_size,), generator=generator).to(tokens.device)]
        with torch.enable_grad():
            loss = F.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, 1:])
            optimizer.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    losses, hits = [], []
    for start in range(0, len(rest) - context_length, context_length):
        window = rest[start : start + context_length + 1]
        log_probabilities = model(window[None, :-1])[0].log_softmax(dim=-1).detach()
        losses += [-row[target] for row, target in zip(log_probabilities, window[1:], strict=True)]
        hits += (log_probabilities.argmax(dim=-1) == window[1:]).tolist()
    return float(sum(losses)) / len(losses), sum(hits) / len(hits)


def _with_evaluate(
    model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator
):
    end = int(train_share * len(tokens))
    optimizer = torch.optim.AdamW(model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    for _ in range(steps):
        inputs, targets = get_batch(tokens[:end], batch_size, context_length, generator, tokens.device)
        model.zero_grad()
        with torch.enable_grad():
            F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        clip_gradients(model.parameters(), clip)
        optimizer.step()
    rest = tokens[end:]
    rest = rest[: (len(rest) - 1) // context_length * context_length + 1]
    guesses = model(rest[:-1].view(-1, context_length)).argmax(dim=-1)
    return evaluate(model, rest, context_length), float((guesses.flatten() == rest[1:]).double().mean())


class _Windows(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """The class that did not exist."""

    def __init__(self, tokens: Tensor, length: int):
        self.tokens, self.length = tokens, length

    def __len__(self) -> int:
        return len(self.tokens) - self.length

    def __getitem__(self, start: int) -> tuple[Tensor, Tensor]:
        window = self.tokens[start : start + self.length + 1]
        return window[:-1], window[1:]


def _with_a_dataset(
    model, tokens, context_length, batch_size, steps, learning_rate, clip, train_share, generator
):
    end = int(train_share * len(tokens))
    dataset = _Windows(tokens[:end], context_length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        starts = torch.randint(len(dataset), (batch_size,), generator=generator).tolist()
        inputs, targets = (
            torch.stack(rows) for rows in zip(*(dataset[start] for start in starts), strict=True)
        )
        optimizer.zero_grad(set_to_none=False)
        with torch.enable_grad():
            F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        clip_gradients(list(model.parameters()), clip)
        optimizer.step()
    n = (len(tokens) - end - 1) // context_length * context_length
    inputs, targets = tokens[end : end + n], tokens[end + 1 : end + n + 1]
    logits = model(inputs.view(-1, context_length)).detach().flatten(0, 1)
    loss = F.cross_entropy(logits, targets, reduction="sum") / n
    return float(loss), int((logits.argmax(dim=-1) == targets).sum()) / n


ALTERNATIVES = (
    Alternative("windows cut by hand, and a score window by window", _by_hand),
    Alternative("`evaluate` for the loss", _with_evaluate),
    Alternative("the dataset class, written", _with_a_dataset),
    Alternative("windows drawn as `get_batch` draws them", _variant()),
)

RUNS = "finds every name that it uses"
SHIFT = "asks for the next token, in training and in the score"
HELD_BACK = "scores the text that was held back"
RATE = "uses the learning rate"
CLIP = "uses the limit of the gradient"

EXERCISE = Exercise(
    name="forty_lines.train_and_score",
    number="7.10",
    title="Bug hunt: repair the training and the score",
    kind="bug hunt",
    minutes=15,
    difficulty=2,
    timeout=20.0,
    reference=train_and_score,
    starter=STARTER,
    checks=(
        Check(RUNS, 1, _one_token_only),
        Check(SHIFT, 1, _told_twice),
        Check(HELD_BACK, 1, _two_tokens),
        Check(RATE, 1, _rates),
        Check(CLIP, 1, _clips, after=(RATE,)),
        Check("is right all together", 1, _everything, after=(RUNS, SHIFT, HELD_BACK, RATE, CLIP)),
    ),
    hints=(
        "Begin with the name that does not exist: this chapter has a function that draws batches from a "
        "text. What does it give back?",
        "Then go down the first line, name by name: where is each of them used? Two are used nowhere, and "
        "one text is cut off and never read.",
        "A target is the token after its input. To score n tokens you need n + 1 of them, and they must come "
        "from the part that was held back.",
    ),
    misconceptions=MISCONCEPTIONS,
    alternatives=ALTERNATIVES,
)
