"""Pages: notes between processes over one fixed buffer each, with one writer and any number of readers.

Layout, native unsigned 64-bit words, then the note::

    0    version: odd while a note is being written, raised by 2 with every note
    8    beats: raised by the writer to show that it lives
    16   length of the note in bytes
    24   CRC-32 of the note
    32   the note, JSON

The version lets a reader poll with one load. The checksum makes the lock safe where a processor reorders stores, and
with a writer that was killed half-way: such a note is no note, and the successor writes over it. JSON because
a note is read at three in the morning with `strings`. Standard library only: the supervisor imports this.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any, Final, Generic, TypeVar

LAYOUT: Final = 1
"""Of a page; raised with every change that a reader of another version would misread. A field more or less is none: it is passed over."""

PAGE_BYTES: Final = 4096
ROSTER_PAGE_BYTES: Final = 16 << 10  # 257 slots, each with a pid of 7 digits and a count
PROBES_PAGE_BYTES: Final = 64 << 10  # some 200 unhealthy endpoints with the longest names, or 1 000 with common ones
NAMES_PAGE_BYTES: Final = 64 << 10  # some 3 000 addresses
LATCH_PAGE_BYTES: Final = 256 << 10
"""The latch's page: room for some 800 rollbacks. One that doesn't fit is refused, except of everything, which always does."""

_VERSION: Final = 0
_BEATS: Final = 1
_LENGTH: Final = 2
_CHECKSUM: Final = 3
_NOTE: Final = 32  # offset in bytes
_LOOKS: Final = 1_000  # about a millisecond: a writer that lives, and has a core, is done long before


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What control wants every worker to run (the board)."""

    generation: int
    plan: str  # 64 hex digits
    epoch: int = 0  # of the latch


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """What one worker runs, in its own words."""

    pid: int
    start_id: str  # differs for every process that ever had the slot
    generation: int = 0  # 0: none yet
    plan: str = ""
    epoch: int = 0  # of the latch that it obeys
    sighting: bool = False  # it saw STATE/ROLLBACK, and no entry stands for that yet: everything is rolled back
    unreadable: str = ""  # why it can't read the latch file: everything is rolled back
    freeze_epoch: int = 0  # of the freezes that it obeys
    writes: tuple[int, ...] = ()  # for each in turn: requests in flight that may still change data in its scope
    tunnels: tuple[int, ...] = ()  # likewise: open WebSockets in its scope
    drill_epoch: int = 0  # of the drills that it obeys
    drilled: tuple[Any, ...] = ()  # of each drill, as `proxy.core.switches.drilltally` has it
    refused: int = 0  # the generation it could not build, 0: none
    trouble: str = ""  # why


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """What the supervisor knows of its children."""

    pid: int
    workers: int  # slots
    listen: str = ""  # HOST:PORT as bound
    ops: str = ""
    draining: bool = False
    control_starts: int = 0
    worker_starts: tuple[int, ...] = ()
    worker_pids: tuple[int, ...] = ()  # 0: not running at this moment
    vacant: tuple[int, ...] = ()  # slots that nobody shall fill; who is there still drains


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What control's probes say. The page beats as long as somebody probes."""

    unhealthy: tuple[str, ...] = ()  # endpoints, as `proxy.core.care.probing.endpoint_name` has them


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What control knows of the names of endpoints. The page beats as long as somebody asks for them."""

    names: tuple[tuple[str, ...], ...] = ()  # each a name, and after it its addresses


NoteT = TypeVar("NoteT", Posted, Confirmed, Roster, Probed, Resolved)


class TextPage:
    """A page that holds a text."""

    __slots__ = ("_buffer", "_words")

    def __init__(self, buffer: memoryview) -> None:
        """Open a page; all zero is a page without a text.

        Args:
            buffer: more than 32 bytes, a multiple of 8; writable for the writer.
        """
        self._buffer = buffer.cast("B")
        self._words = self._buffer.cast("Q")

    @property
    def version(self) -> int:
        """Changes whenever a note is written; 0 before the first."""
        return self._words[_VERSION]

    @property
    def beats(self) -> int:
        """How often the writer has beaten."""
        return self._words[_BEATS]

    def beat(self) -> None:
        """Show that the writer lives."""
        self._words[_BEATS] += 1

    @property
    def room_bytes(self) -> int:
        """The longest text that fits."""
        return len(self._buffer) - _NOTE

    def write_text(self, text: bytes) -> None:
        """Replace the text.

        Raises:
            ValueError: it doesn't fit.
        """
        if len(text) > self.room_bytes:
            raise ValueError(f"a note of {len(text)} bytes doesn't fit into a page of {len(self._buffer)}")
        words = self._words
        writing = words[_VERSION] | 1  # a predecessor that died half-way left it odd
        words[_VERSION] = writing
        self._buffer[_NOTE : _NOTE + len(text)] = text
        words[_LENGTH] = len(text)
        words[_CHECKSUM] = zlib.crc32(text)
        words[_VERSION] = writing + 1

    def read_text(self) -> bytes | None:
        """The text as last written; None before the first and while one is being written."""
        words = self._words
        version = words[_VERSION]
        length = words[_LENGTH]
        if version == 0 or version & 1 or length > self.room_bytes:
            return None
        text = bytes(self._buffer[_NOTE : _NOTE + length])
        if zlib.crc32(text) != words[_CHECKSUM] or words[_VERSION] != version:
            return None
        return text


class Page(TextPage, Generic[NoteT]):
    """A page that holds notes of one kind."""

    __slots__ = ("_kind",)
    _kind: type[NoteT]

    def __init__(self, buffer: memoryview, kind: type[NoteT]) -> None:
        """Open a page; all zero is a page without a note.

        Args:
            buffer: more than 32 bytes, a multiple of 8; writable for the writer.
            kind: what its notes are.
        """
        super().__init__(buffer)
        self._kind = kind

    def write(self, note: NoteT) -> None:
        """Replace the note.

        Raises:
            ValueError: it doesn't fit.
        """
        self.write_text(json.dumps(dataclasses.asdict(note), separators=(",", ":")).encode())

    def read(self) -> NoteT | None:
        """The note as last written; None before the first, or when its writer died while it wrote."""
        for _ in range(_LOOKS):
            text = self._look()
            if text is not None:
                return self._decode(text)
            if self._words[_VERSION] == 0:
                return None
        return None

    def _look(self) -> bytes | None:
        """The note's text; None while one is being written, which takes its writer some microseconds."""
        words = self._words
        version = words[_VERSION]
        length = words[_LENGTH]
        if version == 0 or version & 1 or length > len(self._buffer) - _NOTE:
            return None
        text = bytes(self._buffer[_NOTE : _NOTE + length])
        return text if zlib.crc32(text) == words[_CHECKSUM] and words[_VERSION] == version else None

    def _decode(self, text: bytes) -> NoteT:
        values: dict[str, Any] = json.loads(text)
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        fields = self._kind.__dataclass_fields__
        note: NoteT = self._kind(**{name: one for name, one in (values | lists).items() if name in fields})
        return note
