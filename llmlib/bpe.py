"""Byte-pair encoding: from bytes to tokens and back.

A *piece* is a list of tokens that belongs together, such as a word with the space before it; nothing is ever
merged across two pieces. The tokens 0 to 255 are the bytes, and each merge makes the next number. So one dict
holds everything that is learned: `merges`, from a pair of neighbours to the token that takes their place. The
smaller the new token, the earlier the merge.

Source: Gage, "A New Algorithm for Data Compression" (1994); Sennrich, Haddow and Birch, "Neural Machine
Translation of Rare Words with Subword Units" (2016), algorithm 1; on bytes: Radford et al., "Language Models
are Unsupervised Multitask Learners" (2019), section 2.2.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

N_BYTES = 256


def utf8_bytes(code_point: int) -> bytes:
    """The UTF-8 bytes of the character with this number: one byte to four.

    Raises:
        ValueError: no character has this number: it is negative, above 0x10FFFF, or a surrogate.

    Source: RFC 3629, section 3.
    """
    if not 0 <= code_point <= 0x10FFFF or 0xD800 <= code_point <= 0xDFFF:
        raise ValueError(f"expected a code point from 0 to 0x10FFFF, no surrogate: got {code_point:#x}")
    if code_point < 0x80:
        return bytes([code_point])
    rest, last = divmod(code_point, 64)  # six bits
    if code_point < 0x800:
        return bytes([0b1100_0000 + rest, 0b1000_0000 + last])
    rest, third = divmod(rest, 64)
    if code_point < 0x10000:
        return bytes([0b1110_0000 + rest, 0b1000_0000 + third, 0b1000_0000 + last])
    first, second = divmod(rest, 64)
    return bytes([0b1111_0000 + first, 0b1000_0000 + second, 0b1000_0000 + third, 0b1000_0000 + last])


def pair_counts(pieces: list[list[int]]) -> dict[tuple[int, int], int]:
    """How often each pair of neighbours stands in the pieces. No pair reaches from one piece to the next."""
    counts: dict[tuple[int, int], int] = {}
    for piece in pieces:
        for left, right in pairwise(piece):
            counts[left, right] = counts.get((left, right), 0) + 1
    return counts


def merge(tokens: list[int], pair: tuple[int, int], new_token: int) -> list[int]:
    """The tokens with `new_token` in the place of every `pair`, found from left to right without overlap."""
    merged = []
    place = 0
    while place < len(tokens):
        if tuple(tokens[place : place + 2]) == pair:
            merged.append(new_token)
            place += 2
        else:
            merged.append(tokens[place])
            place += 1
    return merged


def train_bpe(pieces: list[list[int]], n_merges: int) -> dict[tuple[int, int], int]:
    """The merges learned from the pieces, in the order in which they were learned: pair to new token.

    Each round merges the pair that occurs most often, everywhere. Among equally frequent pairs it is the one
    with the smaller left token, and then the one with the smaller right token. New tokens are 256, 257, …
    Training ends after `n_merges` rounds, or when no pair is left.

    Source: Sennrich, Haddow and Birch (2016), algorithm 1.
    """
    merges: dict[tuple[int, int], int] = {}
    for new_token in range(256, 256 + n_merges):
        counts = pair_counts(pieces)
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        pieces = [merge(piece, best, new_token) for piece in pieces]
        merges[best] = new_token
    return merges


def train_bpe_fast(pieces: Iterable[list[int]], n_merges: int) -> dict[tuple[int, int], int]:
    """The same merges as `train_bpe`, by keeping the counts and changing only what a merge changes.

    Three ideas: equal pieces are kept once, with their number; each pair knows the pieces that it stands in,
    so that a merge touches those alone; and the pairs wait in a heap, the next to be merged on top. An entry
    of the heap whose count is out of date is dropped when it comes up.
    """
    frequencies = Counter(map(tuple, pieces))
    words = [list(piece) for piece in frequencies]
    times = list(frequencies.values())
    counts: Counter[tuple[int, int]] = Counter()
    places: dict[tuple[int, int], set[int]] = defaultdict(set)
    for place, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += times[place]
            places[pair].add(place)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)

    merges: dict[tuple[int, int], int] = {}
    while heap and len(merges) < n_merges:
        minus_count, best = heapq.heappop(heap)
        if counts[best] != -minus_count or not minus_count:
            continue  # out of date: the right entry is in the heap, too
        new_token = N_BYTES + len(merges)
        merges[best] = new_token
        changed = set()
        for place in places.pop(best):
            old = words[place]
            new = merge(old, best, new_token)
            for pair in pairwise(old):
                counts[pair] -= times[place]
                changed.add(pair)
            for pair in pairwise(new):
                counts[pair] += times[place]
                places[pair].add(place)
                changed.add(pair)
            words[place] = new
        for pair in changed:
            heapq.heappush(heap, (-counts[pair], pair))
    return merges


def encode_piece(tokens: list[int], merges: dict[tuple[int, int], int]) -> list[int]:
    """The tokens of one piece after all merges: each time the one that was learned first, everywhere.

    `tokens` are the piece's bytes. The order is that of learning, not that of the text: a pair further right
    goes first if its merge was learned earlier.
    """
    while True:
        possible = [pair for pair in pairwise(tokens) if pair in merges]
        if not possible:
            return list(tokens)
        earliest = min(possible, key=lambda pair: merges[pair])
        tokens = merge(tokens, earliest, merges[earliest])


def vocabulary_of(merges: dict[tuple[int, int], int]) -> dict[int, bytes]:
    """The bytes of every token: the 256 single bytes, and for each merge its two parts put together."""
    vocabulary = {byte: bytes([byte]) for byte in range(N_BYTES)}
    for (left, right), token in merges.items():
        vocabulary[token] = vocabulary[left] + vocabulary[right]
    return vocabulary


def decode(tokens: list[int], vocabulary: dict[int, bytes]) -> str:
    """The text that the tokens stand for. Bytes that are no valid UTF-8 become U+FFFD, the replacement mark.

    The bytes of all tokens are put together first: one character may be spread over several tokens.

    Raises:
        ValueError: a token is not in the vocabulary.
    """
    for place, token in enumerate(tokens):
        if token not in vocabulary:
            raise ValueError(f"expected tokens of the vocabulary: got {token} at position {place}")
    return b"".join(vocabulary[token] for token in tokens).decode("utf-8", errors="replace")
