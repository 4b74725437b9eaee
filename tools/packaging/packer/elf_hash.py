"""Builds the hash table of a shared object's symbols (DT_GNU_HASH), as linkers do.

Its layout is glibc's (elf/dl-lookup.c, do_lookup_x): a Bloom filter, buckets, and chains of the symbols' hashes. So the
symbols stand in the order of their buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tools.packaging.packer import elf_tables as tables

if TYPE_CHECKING:
    from collections.abc import Iterable

_SYMBOLS_PER_BUCKET = 4
_BLOOM_BITS_PER_SYMBOL, _BLOOM_SHIFT = 12, 26
_WORD_BITS = 64


def size(image: tables.Tables, count: int) -> int:
    """Bytes of the hash table of a shared object with `count` symbols."""
    buckets, first, words, _ = (int(n) for n in image.array(image.value(tables.GNU_HASH), "<u4", 4))
    return 16 + words * 8 + (buckets + count - first) * 4


def arrange(names: list[bytes], keep: Any, first: int) -> tuple[bytes, Any]:  # noqa: ANN401
    """The new hash table, and the numbers of the symbols that stay, in their new order.

    `keep` says by symbol whether it stays; symbols before number `first` are not hashed.
    """
    numbers = np.flatnonzero(keep)
    plain, hashed = numbers[numbers < first], numbers[numbers >= first]
    hashes = np.fromiter((_hash(names[n]) for n in hashed.tolist()), "<u4", len(hashed))
    buckets = max(len(hashed) // _SYMBOLS_PER_BUCKET, 1)
    order = np.argsort(hashes % buckets, kind="stable")
    hashed, hashes = hashed[order], hashes[order]
    return _table(hashes, buckets, len(plain)), np.concatenate([plain, hashed])


def _hash(name: Iterable[int]) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def _table(hashes: Any, buckets: int, first: int) -> bytes:  # noqa: ANN401
    """`hashes` are in the order of their buckets; the symbol of the first one has number `first`."""
    words = 1
    while words * _WORD_BITS < len(hashes) * _BLOOM_BITS_PER_SYMBOL:
        words *= 2
    bloom = np.zeros(words, "<u8")
    place = (hashes // _WORD_BITS) % words
    for bits in (hashes % _WORD_BITS, (hashes >> _BLOOM_SHIFT) % _WORD_BITS):
        np.bitwise_or.at(bloom, place, np.uint64(1) << bits.astype("<u8"))
    bucket = hashes % buckets
    starts = np.zeros(buckets, "<u4")
    used, at = np.unique(bucket, return_index=True)
    starts[used] = at + first
    chain = hashes & np.uint32(0xFFFFFFFE)
    if len(chain):
        is_last = np.append(bucket[1:] != bucket[:-1], True)
        chain = chain | is_last.astype("<u4")
    header = np.array([buckets, first, words, _BLOOM_SHIFT], "<u4")
    return b"".join(bytes(part) for part in (header, bloom, starts, chain.astype("<u4")))
