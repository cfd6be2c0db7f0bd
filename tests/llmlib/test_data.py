"""Corpora and batches: where a corpus comes from, and what is said when it cannot be had."""

from __future__ import annotations

import hashlib
import io
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from llmlib import data
from llmlib.data import Corpus, CorpusError, get_batch, load_corpus

TEXT = "First Citizen:\nBefore we proceed any further, hear me speak.\n" * 5


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, no LLMLIB_DATA, and a network that must not be used."""
    monkeypatch.delenv("LLMLIB_DATA", raising=False)
    monkeypatch.setenv("LLMLIB_CACHE", str(tmp_path / "cache"))

    def no_network(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    return tmp_path / "cache"


@pytest.fixture
def known(monkeypatch):
    """A short text stands for Tiny Shakespeare."""
    monkeypatch.setattr(data, "SHAKESPEARE_SHA256", hashlib.sha256(TEXT.encode()).hexdigest())
    return TEXT.encode()


def answer(monkeypatch, content):
    calls = []

    def urlopen(url, timeout):
        calls.append(url)
        if isinstance(content, Exception):
            raise content
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return calls


def test_the_default_is_the_stories_and_needs_no_network(cache):
    corpus = load_corpus()
    assert corpus.name == "stories"
    assert 1_000_000 <= len(corpus.text) < 1_003_000
    assert corpus.text.endswith("The end.\n")
    assert load_corpus("stories") == corpus


def test_shakespeare_is_downloaded_once_and_kept(cache, known, monkeypatch):
    calls = answer(monkeypatch, known)
    assert load_corpus("shakespeare") == Corpus("shakespeare", TEXT)
    assert load_corpus("shakespeare").text == TEXT
    assert calls == [data.SHAKESPEARE_URL]
    assert [file.name for file in cache.iterdir()] == ["tinyshakespeare.txt"]


def test_a_wrong_download_is_refused_and_not_kept(cache, monkeypatch):
    answer(monkeypatch, b"<html>Sign in to the hotel's network</html>")
    with pytest.raises(CorpusError, match=r"not Tiny Shakespeare: its SHA-256 is .* expected 86c4e6aa"):
        load_corpus("shakespeare")
    assert not (cache / "tinyshakespeare.txt").exists()


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("Name or service not known"), TimeoutError("timed out"), ConnectionResetError()],
)
def test_no_network_and_no_file_names_the_default(cache, monkeypatch, error):
    answer(monkeypatch, error)
    with pytest.raises(CorpusError) as caught:
        load_corpus("shakespeare")
    message = str(caught.value)
    assert "could not be downloaded" in message
    assert "LLMLIB_DATA" in message
    assert "'stories' comes with llmlib and needs neither network nor file" in message


def test_a_damaged_cache_is_named(cache, known, monkeypatch):
    answer(monkeypatch, known)
    load_corpus("shakespeare")
    (cache / "tinyshakespeare.txt").write_bytes(known[:-1])
    with pytest.raises(CorpusError, match=r"Delete it, and it will be downloaded again"):
        load_corpus("shakespeare")


def test_a_cache_that_cannot_be_written_is_no_error(cache, known, monkeypatch, capsys):
    answer(monkeypatch, known)
    cache.write_text("a file where the folder should be")
    assert load_corpus("shakespeare").text == TEXT
    assert "could not be kept in" in capsys.readouterr().out


def test_a_full_disk_leaves_no_half_file(cache, known, monkeypatch, capsys):
    answer(monkeypatch, known)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert load_corpus("shakespeare").text == TEXT
    assert list(cache.iterdir()) == []
    assert "No space left on device" in capsys.readouterr().out


def test_llmlib_data_holds_the_file(cache, known, monkeypatch, tmp_path):
    (tmp_path / "tinyshakespeare.txt").write_bytes(known)
    monkeypatch.setenv("LLMLIB_DATA", str(tmp_path))
    assert load_corpus("shakespeare").text == TEXT
    assert not cache.exists()


def test_llmlib_data_without_the_file(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLIB_DATA", str(tmp_path))
    with pytest.raises(CorpusError, match=r"but it is not there. Put it there, or unset LLMLIB_DATA"):
        load_corpus("shakespeare")
    monkeypatch.setenv("LLMLIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match=r"the folder does not exist"):
        load_corpus("shakespeare")


def test_llmlib_data_with_another_file(cache, monkeypatch, tmp_path):
    (tmp_path / "tinyshakespeare.txt").write_text("To be, or not to be")
    monkeypatch.setenv("LLMLIB_DATA", str(tmp_path))
    with pytest.raises(CorpusError, match=r"not Tiny Shakespeare: .* Replace it, or unset LLMLIB_DATA"):
        load_corpus("shakespeare")


def test_the_real_file(shakespeare):
    corpus = load_corpus("shakespeare")
    train, validation = corpus.split()
    assert (len(corpus.text), len(set(corpus.text))) == (1_115_394, 65)
    assert (len(train), len(validation)) == (1_003_854, 111_540)


def test_a_text_file_by_path(cache, tmp_path):
    path = tmp_path / "poem.txt"
    path.write_bytes("\ufeffZwei Köche\r\nkochen Brei.\r\n".encode())
    assert load_corpus(path) == Corpus(str(path), "Zwei Köche\nkochen Brei.\n")
    assert load_corpus(str(path)).text == load_corpus(path).text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shakespear", "no corpus and no file named 'shakespear'. Did you mean 'shakespeare'"),
        ("nothing.txt", "Corpora by name: stories, shakespeare. The corpus 'stories' comes with llmlib"),
    ],
)
def test_an_unknown_name(cache, name, message):
    with pytest.raises(CorpusError, match=message):
        load_corpus(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty. A corpus needs text"),
        (b" \n \n", "is empty"),
        ("Köche".encode("latin-1"), "is not UTF-8 text: byte 1 is 0xf6. Save it as UTF-8"),
        (bytes(range(256)), "is not UTF-8 text: byte 128 is 0x80"),
    ],
)
def test_a_file_that_is_no_text(cache, tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        load_corpus(tmp_path / "file")


def test_a_folder_and_an_unreadable_file(cache, tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match=r"is a folder. Name a text file in it, or a corpus"):
        load_corpus(tmp_path)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.txt").write_text("text")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CorpusError, match=r"secret.txt cannot be read: Permission denied"):
        load_corpus(tmp_path / "secret.txt")


def test_the_split_is_contiguous_and_loses_nothing():
    corpus = Corpus("numbers", "".join(map(str, range(100))))
    train, validation = corpus.split()
    assert train + validation == corpus.text
    assert len(train) == int(0.9 * len(corpus.text))
    assert len(corpus.split(0.5)[0]) == len(corpus.text) // 2
    for share in (0, 1, 1.5, 0.001):
        with pytest.raises(
            ValueError, match=f"train_share must leave text on both sides: got {share} of 190"
        ):
            corpus.split(share)


def test_a_batch_is_windows_and_their_next_tokens():
    tokens = torch.arange(1000)
    inputs, targets = get_batch(tokens, 32, 8, torch.Generator().manual_seed(0))
    assert inputs.shape == targets.shape == (32, 8)
    assert torch.equal(inputs, inputs[:, :1] + torch.arange(8))
    assert torch.equal(targets, inputs + 1)
    assert inputs[:, 0].unique().numel() > 25


def test_batches_reach_every_place_and_no_further():
    tokens = torch.arange(6)
    generator = torch.Generator().manual_seed(0)
    starts = torch.cat([get_batch(tokens, 64, 4, generator)[0][:, 0] for _ in range(5)])
    assert sorted(starts.unique().tolist()) == [0, 1]
    counts = starts.bincount()
    assert counts.min() > 0.35 * counts.sum()


def test_batches_follow_the_generator_and_leave_the_global_one():
    tokens = torch.arange(1000)
    state = torch.get_rng_state()
    first, again, other = (get_batch(tokens, 4, 8, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_text_too_short_for_a_batch():
    with pytest.raises(
        ValueError,
        match=r"a context of 8 tokens needs a text of at least 9: got 8. Use a longer text or a shorter",
    ):
        get_batch(torch.arange(8), 4, 8, torch.Generator())
    _, targets = get_batch(torch.arange(9), 4, 8, torch.Generator())
    assert torch.equal(targets[0], torch.arange(1, 9))


@pytest.mark.gpu
def test_the_same_batches_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    tokens = torch.arange(1000)
    here = get_batch(tokens, 4, 8, torch.Generator().manual_seed(1))[0]
    there = get_batch(tokens.cuda(), 4, 8, torch.Generator().manual_seed(1), "cuda")[0]
    assert there.device.type == "cuda"
    assert torch.equal(there.cpu(), here)
