"""Byte-pair encoding in plain Python beside compiled libraries: training and encoding, in one run.

Training: Tiny Shakespeare to 1,024 tokens, `llmlib` beside the `tokenizers` library. Encoding: the same text
with GPT-2's ranks, `llmlib` beside tiktoken and `tokenizers`; `cold` is the first time, `warm` a second time,
when llmlib has the words in its cache. Without GPT-2's file the encoding uses ranks that llmlib learned.
The text is found through LLMLIB_DATA or downloaded once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core for everybody
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import tiktoken
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from llmlib.bpe_tokenizer import GPT2_PATTERN, BPETokenizer
from llmlib.data import CorpusError, load_corpus
from llmlib.gpt2_vocabulary import VocabularyNotThere, byte_characters, load_gpt2_tokenizer

VOCAB_SIZE = 1024


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def train_theirs(text: str) -> None:
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    theirs.train_from_iterator(
        [text],
        trainers.BpeTrainer(vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False),
    )


def as_tiktoken(ours: BPETokenizer) -> tiktoken.Encoding:
    n_ordinary = 256 + len(ours.merges)
    ranks = {ours.vocabulary[token]: token for token in range(n_ordinary)}
    return tiktoken.Encoding("ours", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={})


def as_tokenizers(ours: BPETokenizer) -> Tokenizer:
    character = {byte: c for c, byte in byte_characters().items()}
    names = {token: "".join(character[byte] for byte in data) for token, data in ours.vocabulary.items()}
    merges = [(names[left], names[right]) for left, right in ours.merges]
    theirs = Tokenizer(models.BPE(vocab={name: token for token, name in names.items()}, merges=merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    return theirs


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    rounds = options.parse_args().rounds
    try:
        text = load_corpus("shakespeare").text
    except CorpusError as problem:
        sys.exit(str(problem))
    print(
        f"{os.cpu_count()} cores, one used; tiktoken {tiktoken.__version__}, tokenizers "
        f"{tokenizers.__version__}; {len(text):,} characters; median of {rounds}, interleaved"
    )

    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(seconds(lambda: BPETokenizer.train(text, VOCAB_SIZE)))
        theirs.append(seconds(lambda: train_theirs(text)))
    show(f"training to {VOCAB_SIZE:,} tokens", {"llmlib": ours, "tokenizers": theirs})

    try:
        tokenizer, ranks = load_gpt2_tokenizer(), "GPT-2's ranks"
    except VocabularyNotThere as problem:
        print(problem)
        tokenizer, ranks = BPETokenizer.train(text, VOCAB_SIZE), "our own ranks"
    with_tiktoken, with_tokenizers = as_tiktoken(tokenizer), as_tokenizers(tokenizer)
    ids = tokenizer.encode(text)
    assert ids == with_tiktoken.encode_ordinary(text) == with_tokenizers.encode(text).ids
    times: dict[str, list[float]] = {"llmlib, cold": [], "llmlib, warm": [], "tiktoken": [], "tokenizers": []}
    for _ in range(rounds):
        fresh = replace(tokenizer)  # without the cache
        fresh.encode("first use")  # its tables are made once, as the others' were above
        times["llmlib, cold"].append(seconds(lambda: fresh.encode(text)))  # noqa: B023
        times["llmlib, warm"].append(seconds(lambda: fresh.encode(text)))  # noqa: B023
        times["tiktoken"].append(seconds(lambda: with_tiktoken.encode_ordinary(text)))
        times["tokenizers"].append(seconds(lambda: with_tokenizers.encode(text)))
    show(f"encoding with {ranks}, {len(ids):,} equal tokens from all three", times)


def show(what: str, times: dict[str, list[float]]) -> None:
    print(what)
    medians = {name: statistics.median(seconds_) for name, seconds_ in times.items()}
    for name, median in medians.items():
        ratio = median / medians[next(iter(medians))]
        print(f"    {name:14}{median:8.3f} s   {ratio:6.2f} of llmlib's")


if __name__ == "__main__":
    main()
