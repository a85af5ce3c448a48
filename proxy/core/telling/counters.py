"""Counters that outlive the worker who counts: a layout over one fixed buffer, one writer, any number of readers.

Layout, all numbers native unsigned 64 bit::

    0        MAGIC
    8        how many series are published
    16       cells, one a series
    …        names, one a line of UTF-8, in the order of their cells

A name is written before the count that publishes it, so a worker that is killed between the two leaves nothing
behind, and its successor, which opens the same buffer, goes on where it stopped. Standard library only: the
supervisor imports this and must not depend on anything that can be broken by an upgrade.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PAGE_BYTES: Final = 2 << 20
"""The size of a worker slot's page: 16 384 series of 112 bytes of name on average."""

SMALL_PAGE_BYTES: Final = 4096
"""The smallest page: 32 series, enough for a process that counts no traffic."""

OVERFLOW: Final = "strangler_series_overflow_total"
"""The series that counts what found no room; above 0 it means that labels have more values than the page has cells."""

MAGIC: Final = (
    0x3143_5447_4E41_5254  # "TRANGTC1" read as a little-endian number; a layout change changes the last digit
)
_HEADER_WORDS: Final = 2
_PUBLISHED: Final = 1  # the header word that says how many series are complete
_BYTES_A_SERIES: Final = 128  # the cell, and the room its name has on average

_GAUGES: Final = ("_open", "in_flight", "_held_off", "_waiting", "_half_open_s", "_tasks")


def is_gauge(name: str) -> bool:
    """Whether a series tells a level, which dies with its worker, and not a count, which only grows."""
    return name.partition("{")[0].endswith(_GAUGES)


class Counters:
    """A worker's series over one buffer.

    Attributes:
        cells: the values. The one writer does ``cells[index] += n``; an aligned store of 8 bytes is complete
            for every reader. A gauge is lowered with ``cells[index] -= n``.
        refused: how many names found no room since this object was made.
    """

    def __init__(self, buffer: memoryview) -> None:
        """Open a buffer, or lay one out when it is all zero.

        Args:
            buffer: at least 4 096 bytes, writable for the worker; readers may map it read-only.

        Raises:
            ValueError: the buffer is too small, or holds something else.
        """
        if buffer.nbytes < SMALL_PAGE_BYTES or buffer.nbytes % 8:
            raise ValueError(
                f"a counters page has at least {SMALL_PAGE_BYTES} bytes, a multiple of 8; this one has {buffer.nbytes}"
            )
        words = buffer.cast("B").cast("Q")
        self._words = words
        self._capacity = buffer.nbytes // _BYTES_A_SERIES
        self.cells = words[_HEADER_WORDS : _HEADER_WORDS + self._capacity]
        self._text = buffer.cast("B")[8 * (_HEADER_WORDS + self._capacity) :]
        # Names with their cells, and how much of the text they take. A reader swaps both at once, and no lock is needed: threads
        # that learn names at the same moment would else give them each other's cells.
        self._known: tuple[dict[str, int], int] = {}, 0
        self.refused = 0
        if words[0] == 0 and not buffer.readonly:
            words[0] = MAGIC
        elif words[0] not in (0, MAGIC):
            raise ValueError("not a counters page of this version")
        self._catch_up()
        if not buffer.readonly and not self._known[0]:
            self._append(OVERFLOW)

    def series(self, name: str) -> int:
        """Find or append a series; only the page's one writer calls this.

        Args:
            name: a Prometheus sample name with its labels, such as ``requests_total{area="orders"}``.

        Returns:
            The index into `cells`; when the page is full, the index of `OVERFLOW`.

        Raises:
            ValueError: the name has a line end in it.
        """
        index = self._known[0].get(name)
        return self._append(name) if index is None else index

    def items(self) -> Iterator[tuple[str, int]]:
        """Every published series with its value now; names that other processes appended meanwhile are included."""
        self._catch_up()
        for name, index in list(self._known[0].items()):
            yield name, self.cells[index]

    def reset_gauges(self) -> None:
        """Set every gauge to 0: a starting worker calls this, since what its predecessor held is gone."""
        for name, index in self._known[0].items():
            if is_gauge(name):
                self.cells[index] = 0

    def _append(self, name: str) -> int:
        line = name.encode() + b"\n"
        if line.count(b"\n") != 1:
            raise ValueError(f"a series' name is one line: {name!r}")
        known, used = self._known
        index = len(known)
        end = used + len(line)
        if index >= self._capacity or end > len(self._text):
            self.refused += 1
            return known[OVERFLOW]
        self._text[used:end] = line
        known[name] = index
        self._known = known, end
        self._words[_PUBLISHED] = index + 1
        return index

    def _catch_up(self) -> None:
        """Read the names that were published since the last look."""
        before, used = self._known
        missing = self._words[_PUBLISHED] - len(before)
        if missing <= 0:
            return
        # One copy of the rest is faster than a search for each line end, and names are read once a process.
        lines = bytes(self._text[used:]).split(b"\n", missing)
        if len(lines) <= missing:
            # A processor that reorders stores may show the count before the text: the next look sees both.
            lines.append(b"")
        known = dict(before)
        for line in lines[:-1]:
            if not line or line[:1] == b"\0":
                break
            known[line.decode()] = len(known)
            used += len(line) + 1
        self._known = known, used
