"""Bodies as they pass: read by one framing, written by another, never gathered.

A reader turns bytes from the wire into payload and knows where the body ends. A `Relay` joins a reader to
the framing of the other side. Chunks are written anew (one for each read): a chunk's borders mean nothing,
and an extension, or a border that two readers could see in different places, does not get through.

Source: RFC 9112 §6, §7.1. Limits on what carries no payload follow the ones Node.js and hyper took after
they were abused: CVE-2024-22019, CVE-2021-32714.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.http.framing import CHUNKED, UNTIL_CLOSE
from proxy.core.http.message import BARE_LINE_END
from proxy.core.limits import DEFAULT_LIMITS, Limit, Limits

TOO_MUCH_BODY: Final = "the body is larger than the %d bytes that are taken here"

LINES_A_TURN: Final = 1000
"""Chunks read in one loop turn, for a chunk costs about 1 µs however small it is: 64 KiB of them, one byte each, 11 ms."""

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;([\t\x20-\x7e\x80-\xff]*))?")
_TRAILER: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*")


class Reader(Protocol):
    """One body's bytes, in; its payload, out."""

    done: bool
    surplus: bytes  # what came after the end
    trailers: list[bytes]

    @property
    def full(self) -> bool:
        """Whether enough was read for one loop turn; then it is fed again in the next one, in front of what comes."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take what came, give its payload.

        Raises:
            BadMessage: the framing is broken.
        """
        ...


class Sized:
    """A body of a known length."""

    __slots__ = ("done", "left", "surplus", "trailers")

    full: Final = False

    def __init__(self, body_bytes: int) -> None:
        self.left = body_bytes
        self.done = body_bytes == 0
        self.surplus = b""
        self.trailers: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Take what came, give the part that belongs to the body."""
        left = self.left
        if len(data) < left:
            self.left = left - len(data)
            return data
        self.left = 0
        self.done = True
        if len(data) == left:
            return data
        self.surplus = data[left:]
        return data[:left]


class Unending:
    """A body that ends with its connection."""

    __slots__ = ("done", "surplus", "trailers")

    full: Final = False

    def __init__(self) -> None:
        self.done = False
        self.surplus = b""
        self.trailers: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Everything belongs to the body."""
        return data


class Chunks:
    """A chunked body, read strictly: CRLF alone ends a line, sizes are plain hexadecimal digits.

    Chunks are counted from one read to the next, because a loop turn may hold many reads.
    """

    __slots__ = (
        "_extensions_bytes",
        "_held",
        "_in_trailers",
        "_left",
        "_limits",
        "_lines",
        "_most_bytes",
        "_sizes_bytes",
        "done",
        "full",
        "surplus",
        "trailers",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most_bytes = 0  # what all chunks may come to; 0: anything
        self._sizes_bytes = 0  # of all chunks that were announced
        self.done = False
        self.full = False
        self.surplus = b""
        self.trailers: list[bytes] = []
        self._held = b""  # an incomplete line, or what a full turn left over
        self._lines = 0  # of this turn's share
        self._left = 0  # bytes of the present chunk still to come, its CRLF counted; 0: a size line is next
        self._in_trailers = False
        self._extensions_bytes = 0

    def bound(self, most_bytes: int) -> None:
        """Refuse more than so many bytes, those included that have passed; 0: anything.

        Raises:
            TooLarge: as many were announced already.
        """
        self._most_bytes = most_bytes
        self._check_most()

    def feed(self, data: bytes) -> bytes:
        """Take what came, give its payload.

        Raises:
            BadMessage: a size, a line end or a trailer is malformed, or a limit was passed.
        """
        self.full = False
        if self._held:
            data = self._held + data
            self._held = b""
        elif self._left - 2 >= len(data):
            self._left -= len(data)
            return data
        pieces: list[bytes] = []
        at = 0
        end = len(data)
        left = self._left
        lines = self._lines
        while at < end and not self._in_trailers:
            if left:
                payload = min(left - 2, end - at)
                if payload > 0:
                    pieces.append(data[at : at + payload])
                    at += payload
                    left -= payload
                if left > 2:
                    break
                tail = data[at : at + left]
                if tail != b"\r\n"[2 - left : 2 - left + len(tail)]:
                    raise BadMessage("a chunk is longer than its size says")
                at += len(tail)
                left -= len(tail)
                continue
            if lines == LINES_A_TURN:
                self.full = True
                self._held = data[at:]
                lines = 0
                break
            line_bytes = self._limits.chunk_line_bytes
            line_end = data.find(b"\r\n", at, at + line_bytes)
            if line_end < 0:
                if end - at >= line_bytes:
                    raise TooLarge("a chunk's size line is too long", Limit.CHUNK_LINE, 400)
                if b"\n" in data[at:]:
                    raise BadMessage("malformed chunk size")
                self._held = data[at:]
                at = end
                break
            size = self._size(data[at:line_end])
            at = line_end + 2
            lines += 1
            if size == 0:
                self._in_trailers = True
            else:
                left = size + 2
        self._left = left
        self._lines = lines
        if self._in_trailers:
            self._read_trailers(data[at:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _size(self, line: bytes) -> int:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BadMessage("malformed chunk size")
        if found[2] is not None:
            self._extensions_bytes += len(found[2]) + 1
            if self._extensions_bytes > self._limits.chunk_extensions_bytes:
                raise TooLarge("too many chunk extensions", Limit.CHUNK_EXTENSIONS, 400)
        size = int(found[1], 16)
        self._sizes_bytes += size
        if self._most_bytes:
            self._check_most()
        return size

    def _check_most(self) -> None:
        if 0 < self._most_bytes < self._sizes_bytes:
            raise TooLarge(TOO_MUCH_BODY % self._most_bytes, Limit.BODY)

    def _read_trailers(self, data: bytes) -> None:
        if data[:2] == b"\r\n":
            self.done = True
            self.surplus = data[2:]
            return
        limits = self._limits
        end = data.find(b"\r\n\r\n", 0, limits.trailers_bytes)
        if end < 0:
            if len(data) >= limits.trailers_bytes:
                raise TooLarge("trailers are too long", Limit.TRAILERS, 431)
            if BARE_LINE_END.search(data):
                raise BadMessage("malformed trailer")  # now: whoever reads on at it has sent all, and waits
            self._held = data
            return
        lines = data[:end].split(b"\r\n")
        if len(lines) > limits.trailer_count:
            raise TooLarge(f"more than {limits.trailer_count} trailer fields", Limit.TRAILER_FIELDS, 431)
        if any(_TRAILER.fullmatch(line) is None for line in lines):
            raise BadMessage("malformed trailer")
        self.trailers = lines
        self.done = True
        self.surplus = data[end + 4 :]


class Relay:
    """A body on its way from one connection to another.

    Args:
        body: what the head announced: bytes, CHUNKED, or UNTIL_CLOSE.
        chunked: whether the other side is told chunks.
        withholds: whether a trailer field of this lower-case name doesn't pass.
        limits: of what carries no payload.
    """

    __slots__ = ("_chunked", "_reader", "_withholds", "sized", "until_close")

    def __init__(
        self, body: int, *, chunked: bool, withholds: Callable[[bytes], bool], limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._reader: Reader
        if body == CHUNKED:
            self._reader = Chunks(limits)
        elif body == UNTIL_CLOSE:
            self._reader = Unending()
        else:
            self._reader = Sized(body)
        self._chunked = chunked
        self._withholds = withholds
        self.sized = body >= 0
        self.until_close = body == UNTIL_CLOSE

    def bound(self, most_bytes: int) -> None:
        """Refuse more payload than so many bytes; 0: anything.

        Raises:
            TooLarge: as many were announced already.
        """
        if isinstance(self._reader, Chunks):
            self._reader.bound(most_bytes)

    @property
    def done(self) -> bool:
        """Whether the body's last byte has been read."""
        return self._reader.done

    @property
    def full(self) -> bool:
        """As its reader's."""
        return self._reader.full

    @property
    def surplus(self) -> bytes:
        """What was read behind the body's end."""
        return self._reader.surplus

    def feed(self, data: bytes) -> bytes:
        """Take what one side sent, give what the other is to be sent (may be empty).

        Raises:
            BadMessage: the framing is broken; the body must be cut.
        """
        payload = self._reader.feed(data)
        if not self._chunked:
            return payload
        chunk = b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
        return chunk + self.last_chunk() if self._reader.done else chunk

    def last_chunk(self) -> bytes:
        """The end of a body in chunks, with the trailers that may pass; empty when chunks aren't spoken."""
        if not self._chunked:
            return b""
        trailers = self._reader.trailers
        if not trailers:
            return b"0\r\n\r\n"
        passing = [line for line in trailers if not self._withholds(line.partition(b":")[0].lower())]
        return b"\r\n".join([b"0", *passing, b"", b""])
