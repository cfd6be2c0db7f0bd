"""BPETokenizer: there and back, special tokens, files; GPT-2's ranks equal to tiktoken on hard text."""

from __future__ import annotations

import dataclasses
import json
import random
import re

import pytest
import tiktoken
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlib.bpe_tokenizer import GPT2_PATTERN, BPETokenizer, pre_tokenize
from llmlib.data import load_corpus
from llmlib.gpt2_vocabulary import SHA256, VocabularyNotThere, load_gpt2_tokenizer, parse_merges

TEXT = load_corpus("stories").text[:40_000]
SMALL = BPETokenizer.train(TEXT, 400, special_tokens=("<|end|>", "<|end|>x"))
ORDINARY = st.text(st.characters(exclude_categories=["Cs"]))

HARD = {
    "nothing": "",
    "English": "I'm sure they'll say it's 1984, won't they? 'Tis   so.",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇺🇳 ☕️ x😀y",
    "Chinese, Japanese, Korean": "敏捷的棕色狐狸。いろはにほへと 안녕하세요 세계",
    "right to left": "שלום עולם مرحبا بالعالم",
    "combining": "e\u0301 é q\u0323\u0307 Å \u212b ﬁ İ ß ﷺ",
    "whitespace": "a  b   c\t\td\n\n\n  e \r\n f\u00a0\u2003g\u3000 \n",
    "only blanks": "        ",
    "blanks at the end": "end   \n\n ",
    "control": "".join(map(chr, range(32))) + "\x7f\x80\x9f\u200b\u200d\ufeff\u2028",
    "a long run": "a" * 700 + "=" * 300 + " " * 200,
    "numbers": "3.14159 1,000,000 ⅔ ² Ⅷ ٣ 七",
    "code": "def f(x):\n    return x**2  # ok?\n\n\tpass",
    "no such bytes": "\ufffd\U0010ffff\ue000",
    "a special name": "a<|endoftext|>b <|endoftext|>",
}


@pytest.fixture(scope="module")
def gpt2():
    try:
        return load_gpt2_tokenizer()
    except VocabularyNotThere as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def oracle(gpt2):
    """tiktoken's own encoder on the same ranks, with its own pattern for GPT-2."""
    from tiktoken_ext import openai_public

    ranks = {gpt2.vocabulary[token]: token for token in range(50256)}
    return tiktoken.Encoding(
        "gpt2-from-file",
        pat_str=openai_public.r50k_pat_str,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 50256},
        explicit_n_vocab=50257,
    )


# --- GPT-2


@pytest.mark.parametrize("kind", HARD)
def test_gpt2_agrees_with_tiktoken_on_hard_text(gpt2, oracle, kind):
    text = HARD[kind]
    assert gpt2.encode(text) == oracle.encode_ordinary(text)
    assert gpt2.decode(gpt2.encode(text)) == text
    assert gpt2.encode(text, allow_special=True) == oracle.encode(text, allowed_special="all")


def test_gpt2_agrees_with_tiktoken_on_drawn_text(gpt2, oracle):
    generator = random.Random(1)
    ranges = ((32, 127), (0, 0x250), (0x300, 0x700), (0x900, 0xE80), (0x2000, 0x3100), (0x4E00, 0x5000))
    letters = [chr(code) for low, high in (*ranges, (0x1F300, 0x1FA00)) for code in range(low, high)]
    for _ in range(1500):
        some = generator.choices(letters, k=generator.randint(1, 8)) + list(" \n'st")
        text = "".join(generator.choices(some, k=generator.randint(0, 40)))
        assert gpt2.encode(text) == oracle.encode_ordinary(text), repr(text)


def test_gpt2_decodes_any_tokens_as_tiktoken_does(gpt2, oracle):
    generator = random.Random(2)
    for _ in range(300):
        tokens = generator.choices(range(50257), k=generator.randint(0, 12))
        assert gpt2.decode(tokens) == oracle.decode(tokens)


def test_ranks_give_back_the_merges(gpt2):
    ranks = {gpt2.vocabulary[token]: token for token in range(3000)}
    again = BPETokenizer.from_ranks(ranks)
    assert again.merges == gpt2.merges[: 3000 - 256]
    assert again.byte_order == gpt2.byte_order


def test_known_tokens_of_gpt2(gpt2):
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.vocab_size == 50257


def test_without_the_file_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLIB_CACHE", str(tmp_path))
    monkeypatch.setenv("LLMLIB_DATA", str(tmp_path / "nothing"))
    with pytest.raises(VocabularyNotThere, match=re.escape("python -m llmlib.gpt2_vocabulary")):
        load_gpt2_tokenizer()
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nĠ t\n")
    with pytest.raises(VocabularyNotThere, match="is not GPT-2's"):
        load_gpt2_tokenizer()
    assert len(SHA256) == 64


def test_a_line_that_is_no_merge_is_named():
    with pytest.raises(ValueError, match="line 3 should be two tokens"):
        parse_merges("#version: 0.2\nĠ t\nĠt he\n")


# --- The tokenizer


@given(ORDINARY)
def test_any_text_comes_back(text):
    assert SMALL.decode(SMALL.encode(text)) == text
    assert SMALL.decode(torch.tensor(SMALL.encode(text), dtype=torch.long)) == text
    assert "".join(pre_tokenize(text)) == text


@given(ORDINARY)
def test_a_second_time_from_the_cache_is_the_same(text):
    fresh = dataclasses.replace(SMALL)
    assert fresh == SMALL and fresh.encode(text) == SMALL.encode(text) == fresh.encode(text)


def test_special_tokens_need_leave_and_the_longest_wins():
    assert SMALL.vocab_size == 400
    plain = SMALL.encode("a<|end|>xb")
    assert max(plain) < 398 and SMALL.decode(plain) == "a<|end|>xb"
    assert SMALL.encode("a<|end|>xb<|end|>", allow_special=True) == [97, 399, 98, 398]
    assert SMALL.decode([398, 97]) == "<|end|>a"


def test_a_tokenizer_is_saved_and_loaded(tmp_path):
    SMALL.save(tmp_path / "small.json")
    assert BPETokenizer.load(tmp_path / "small.json") == SMALL
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "another"}', "{"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(ValueError, match=re.escape("no tokenizer that BPETokenizer.save wrote")):
        BPETokenizer.load(tmp_path / "other.json")
    SMALL.save(tmp_path / "small.json")
    broken = json.loads((tmp_path / "small.json").read_text()) | {"merges": [[1]]}
    (tmp_path / "other.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match="save it again"):
        BPETokenizer.load(tmp_path / "other.json")


def test_errors_name_what_came():
    with pytest.raises(ValueError, match=r"at least 257 \(256 bytes and the special tokens\): got 256"):
        BPETokenizer.train("text", 256, special_tokens=("<|end|>",))
    with pytest.raises(ValueError, match=r"earlier tokens: got \(97, 256\) for token 256"):
        BPETokenizer(((97, 256),))
    with pytest.raises(ValueError, match="each of the 256 bytes once: got 1"):
        BPETokenizer((), byte_order=bytes(256))
    with pytest.raises(ValueError, match="a pair stands in merges twice"):
        BPETokenizer(((97, 98), (97, 98)))
    with pytest.raises(ValueError, match="special tokens must differ"):
        BPETokenizer((), special_tokens=("a", "a"))
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        SMALL.encode("a\ud800")
    with pytest.raises(ValueError, match="must match every character"):
        pre_tokenize("two words", r"\w+")
    with pytest.raises(ValueError, match="without a gap"):
        BPETokenizer.from_ranks({b"a": 0})
    bytes_alone = {bytes([byte]): byte for byte in range(256)}
    with pytest.raises(ValueError, match="must be two earlier tokens: it is 3"):
        BPETokenizer.from_ranks({**bytes_alone, b"abc": 256})


def test_nothing_learned_is_bytes_and_text_runs_out_of_pairs():
    assert BPETokenizer(()).encode("hé") == [104, 195, 169]
    assert BPETokenizer.train("abab", 10_000).vocab_size == 258
    assert GPT2_PATTERN.startswith("'s")
