"""A backend that records what reaches it, byte for byte, and reads it as a lenient backend would.

Lenient on purpose, and written apart from the proxy's reader: a bare line feed ends its lines, a length that it can't read is
none, `Transfer-Encoding` counts when it mentions chunks at all. What such a reader takes for a request of its own is a request
that was smuggled.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import Final

from tests.traffic.wire import PATIENCE_S

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_CODED: Final = re.compile(rb"(?im)^transfer-encoding[ \t]*:.*chunked")
_LENGTH: Final = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d+)")
_SIZE: Final = re.compile(rb"[ \t]*([0-9a-fA-F]*)[^\n]*\n")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it reached the backend."""

    head: bytes
    body: bytes  # without the framing
    trailers: bytes = b""

    @property
    def words(self) -> str:
        """Method, target and body in one line, for tables."""
        method, target, *_ = self.head.split(b" ")
        parts = [method, target, self.body] if self.body else [method, target]
        return b" ".join(parts).decode("latin-1")

    @property
    def lines(self) -> list[bytes]:
        """The header lines."""
        return self.head.split(b"\r\n")[1:-2]


class _Gone(Exception):
    """The other side has closed."""


@dataclass(slots=True)
class Oracle:
    """A listening backend: every request is recorded, then answered.

    Attributes:
        answer: to the next request; every other is answered `200 ok`.
        closes: whether it closes its connection after `answer`.
        seen: the requests, in the order in which they were whole.
        raw: every byte that came, connection after connection.
    """

    answer: bytes = OK
    closes: bool = False
    seen: list[Seen] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    _listening: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def forget(self) -> None:
        """Begin a new record, and answer as at first."""
        self.seen = []
        self.raw = bytearray()
        self.answer = OK
        self.closes = False

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S * 3)
        with sock, contextlib.suppress(OSError, _Gone):
            reader = _Reader(self, sock)
            while True:
                seen = reader.request()
                self.seen.append(seen)
                answer, self.answer = self.answer, OK
                closes, self.closes = self.closes, False
                sock.sendall(answer)
                if closes:
                    return


class _Reader:
    def __init__(self, oracle: Oracle, sock: socket.socket) -> None:
        self._oracle = oracle
        self._sock = sock
        self._buffer = b""

    def request(self) -> Seen:
        head = self._until(_HEAD_END)
        if _CODED.search(head):
            return Seen(head, *self._chunks())
        length = _LENGTH.search(head)
        return Seen(head, self._exactly(int(length[1])) if length else b"")

    def _chunks(self) -> tuple[bytes, bytes]:
        body = b""
        while True:
            size = int(_SIZE.match(self._until(re.compile(rb"\n")))[1] or b"0", 16)  # type: ignore[index]  # matches any line
            if not size:
                break
            body += self._exactly(size)
            self._until(re.compile(rb"\n"))
        trailers = b""
        while (line := self._until(re.compile(rb"\n"))).strip():
            trailers += line
        return body, trailers

    def _until(self, end: re.Pattern[bytes]) -> bytes:
        while (found := end.search(self._buffer)) is None:
            self._more()
        piece, self._buffer = self._buffer[: found.end()], self._buffer[found.end() :]
        return piece

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        return piece

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise _Gone
        self._oracle.raw += data
        self._buffer += data
