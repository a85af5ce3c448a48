"""Tables: a million accounts in one read-only file that all workers map, found by hash, checked by text.

Layout, little-endian: magic (8 bytes), number of slots (u32, a power of two), number of entries (u32), the slots
(u32 each: 0 is empty, else the offset of an entry), the entries (u16 key length, u16 value length, key,
value). Open addressing with linear probing, at most half full, so a look-up reads 1.5 slots on average and
touches two pages of the file. The same entries always give the same bytes: keys are stored in sorted order.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import Final

import mmh3

_MAGIC: Final = b"strtbl1\n"
_HEAD: Final = struct.Struct("<8sII")
_ENTRY: Final = struct.Struct("<HH")
_LONGEST: Final = 0xFFFF  # bytes, of a key as of a value

_hash: Final = mmh3.hash
_sizes: Final = _ENTRY.unpack_from


class DamagedTable(ValueError):
    """The bytes are not a table of this format."""


def build_table(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The table of (key, value) pairs; a key that comes twice keeps its last value.

    Raises:
        ValueError: a key or value is longer than 65 535 bytes, or all together exceed 4 GiB.
    """
    entries = sorted(dict(items).items())
    count = len(entries)
    slots_count = 8
    while slots_count < 2 * count:
        slots_count *= 2
    mask = slots_count - 1
    slots = array("I", bytes(4 * slots_count))
    at = _HEAD.size + 4 * slots_count
    pieces: list[bytes] = []
    pack = _ENTRY.pack
    for key, value in entries:
        try:
            piece = pack(len(key), len(value)) + key + value
        except struct.error:
            raise ValueError(f"entry longer than {_LONGEST} bytes: {key[:40]!r}…") from None
        slot = _hash(key, 0, False) & mask
        while slots[slot]:
            slot = (slot + 1) & mask
        try:
            slots[slot] = at
        except OverflowError:
            raise ValueError("a table holds at most 4 GiB") from None
        pieces.append(piece)
        at += len(piece)
    if struct.pack("=I", 1) != struct.pack("<I", 1):
        slots.byteswap()
    return b"".join((_HEAD.pack(_MAGIC, slots_count, count), slots.tobytes(), *pieces))


class Table:
    """A table over mapped bytes. Reading never copies more than the entry asked for.

    Raises:
        DamagedTable: the bytes are not a table.
    """

    __slots__ = ("_bytes", "_mask", "_slots", "entries")

    def __init__(self, buffer: memoryview) -> None:
        if len(buffer) < _HEAD.size:
            raise DamagedTable("shorter than a table's head")
        magic, slots_count, self.entries = _HEAD.unpack_from(buffer)
        if magic != _MAGIC or slots_count & (slots_count - 1) or len(buffer) < _HEAD.size + 4 * slots_count:
            raise DamagedTable("not a table of this format")
        self._bytes = buffer
        self._slots = buffer[_HEAD.size : _HEAD.size + 4 * slots_count].cast("I")
        self._mask = slots_count - 1

    def get(self, key: bytes) -> bytes | None:
        """The key's value; None when the key isn't there. About 0.5 µs."""
        at = self._find(key)
        if at == 0:
            return None
        key_size, value_size = _sizes(self._bytes, at)
        start = at + _ENTRY.size + key_size
        return bytes(self._bytes[start : start + value_size])

    def __contains__(self, key: bytes) -> bool:
        return self._find(key) != 0

    def _find(self, key: bytes) -> int:
        """Where the key's entry begins; 0: nowhere."""
        slots, mask, data = self._slots, self._mask, self._bytes
        size = len(key)
        slot = _hash(key, 0, False) & mask
        while True:
            at: int = slots[slot]
            if at == 0:
                return 0
            start = at + 4
            if data[start : start + size] == key and _sizes(data, at)[0] == size:
                return at
            slot = (slot + 1) & mask

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry, in the order of the keys."""
        at = _HEAD.size + 4 * (self._mask + 1)
        for _ in range(self.entries):
            key_size, value_size = _ENTRY.unpack_from(self._bytes, at)
            at += 4
            yield bytes(self._bytes[at : at + key_size]), bytes(self._bytes[at + key_size : at + key_size + value_size])
            at += key_size + value_size
