"""A server that notes every request byte for byte, and answers by the path in ways that proxies spoil.

Written over a socket, because every HTTP library hides something: the spelling of names, their order, how a body was framed.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from websockets.utils import accept_key

from tests.traffic.wire import RawBackend, Wire

TEXT: Final = b"0123456789" * 100

# A fixed one, so that what is heard with and without the proxy can be compared; without any, the proxy would add its own.
_DATE: Final = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
_DATED: Final = {
    status: f"HTTP/1.1 {status} {phrase}\r\n{_DATE}".encode()
    for status, phrase in ((200, "OK"), (204, "No Content"), (304, "Not Modified"))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request.

    Attributes:
        line: the request line.
        fields: the header lines' names, as spelled, and values.
        body: without chunks.
        trailers: the trailer lines, as they came.
        connection: which connection it came on, from 0.
    """

    line: str
    fields: list[tuple[str, str]]
    body: bytes
    trailers: str
    connection: int

    @property
    def path(self) -> str:
        return self.line.split(" ")[1].partition("?")[0]

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for found, value in self.fields if found.lower() == name.lower()]


@dataclass(slots=True)
class Origin:
    """What it has seen, and a gate in its `/events`."""

    name: str
    url: str
    seen: list[Seen] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when whoever listened to `/events` is gone."""


@contextmanager
def origin(name: str = "legacy") -> Iterator[Origin]:
    """Serve until the block ends."""
    backend = RawBackend()
    backend.listening.settimeout(0.05)  # so that its thread notices the end; a closed socket doesn't wake who accepts
    found = Origin(name, backend.url)
    over = threading.Event()
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                wire = backend.accept()
                threads.append(threading.Thread(target=_serve, args=(found, wire, len(threads)), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield found
    finally:
        over.set()
        found.gate.set()
        accepting.join()
        backend.close()


def _serve(origin: Origin, wire: Wire, connection: int) -> None:
    wire.sock.settimeout(None)
    with wire, contextlib.suppress(EOFError, OSError):
        while True:
            head = wire.head().decode("latin-1")
            line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            fields = [(name, value.strip(" \t")) for name, _, value in (one.partition(":") for one in lines)]
            if re.search(r"(?im)^expect: *100-continue\r", head) and "/refuses" not in line:
                wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body, trailers = (b"", "") if "/refuses" in line else _body(wire, head)
            seen = Seen(line=line, fields=fields, body=body, trailers=trailers, connection=connection)
            origin.seen.append(seen)
            answer = _ANSWERS.get(seen.path, _plain)
            if answer(origin, seen, wire) or "HTTP/1.0" in line or re.search(r"(?im)^connection: *close\r", head):
                return


def _body(wire: Wire, head: str) -> tuple[bytes, str]:
    length = re.search(r"(?im)^content-length: *(\d+)\r", head)
    if length is not None:
        return wire.exactly(int(length[1])), ""
    if re.search(r"(?im)^transfer-encoding: *chunked\r", head) is None:
        return b"", ""
    pieces = []
    while size := int(wire.until(b"\r\n").partition(b";")[0], 16):
        pieces.append(wire.exactly(size))
        wire.exactly(2)
    trailers = ""
    while (line := wire.until(b"\r\n")) != b"\r\n":
        trailers += line.decode()
    return b"".join(pieces), trailers


def _send(seen: Seen, wire: Wire, status: str, lines: str, body: bytes) -> None:
    shown = b"" if seen.line.startswith("HEAD ") else body
    wire.send(f"HTTP/1.1 {status}\r\n{_DATE}{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1"), shown)


def _plain(origin: Origin, seen: Seen, wire: Wire) -> None:
    _send(seen, wire, "200 OK", f"X-Origin: {origin.name}\r\n", f"{origin.name} {len(seen.body)}\n".encode())


def _odd(_: Origin, seen: Seen, wire: Wire) -> None:
    lines = "X-EMPTY:\r\nx-Odd:  \xe4 \r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nx-odd: again\r\n"
    _send(seen, wire, "299 Rather; odd", lines, b"odd")


def _ranges(_: Origin, seen: Seen, wire: Wire) -> None:
    asked = "".join(seen.all("range")).removeprefix("bytes=")
    lines = 'Accept-Ranges: bytes\r\nETag: "1"\r\n'
    if not asked:
        _send(seen, wire, "200 OK", lines, TEXT)
        return
    parts = []
    for one in asked.split(","):
        first, last = one.split("-")
        parts.append((int(first), min(int(last or len(TEXT)), len(TEXT) - 1)))
    if len(parts) == 1:
        first_byte, last_byte = parts[0]
        lines += f"Content-Range: bytes {first_byte}-{last_byte}/{len(TEXT)}\r\n"
        _send(seen, wire, "206 Partial Content", lines, TEXT[first_byte : last_byte + 1])
        return
    body = b"".join(
        b"--cut\r\nContent-Range: bytes %d-%d/1000\r\n\r\n%b\r\n" % (a, b, TEXT[a : b + 1]) for a, b in parts
    )
    _send(seen, wire, "206 Partial Content", f"{lines}Content-Type: multipart/byteranges; boundary=cut\r\n", body)


def _compressed(_: Origin, seen: Seen, wire: Wire) -> None:
    if "gzip" in "".join(seen.all("accept-encoding")):
        _send(seen, wire, "200 OK", "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n", gzip.compress(TEXT, mtime=0))
    else:
        _send(seen, wire, "200 OK", "Vary: Accept-Encoding\r\n", TEXT)


def _chunked(_: Origin, seen: Seen, wire: Wire) -> None:
    wire.send(_DATED[200] + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
    if not seen.line.startswith("HEAD "):
        wire.send(b"5\r\nfirst\r\n7;note=x\r\n second\r\n0\r\nX-Sum: 12\r\n\r\n")


def _until_close(_: Origin, seen: Seen, wire: Wire) -> bool:
    wire.send(f"HTTP/1.0 200 OK\r\n{_DATE}Content-Type: text/plain\r\n\r\n".encode(), TEXT)
    return True


def _unmodified(_: Origin, seen: Seen, wire: Wire) -> None:
    wire.send(_DATED[304] + b'ETag: "1"\r\n\r\n')


def _nothing(_: Origin, seen: Seen, wire: Wire) -> None:
    wire.send(_DATED[204] + b"\r\n")


def _digest(_: Origin, seen: Seen, wire: Wire) -> None:
    if seen.all("authorization"):
        _send(seen, wire, "200 OK", "", b"welcome\n")
    else:
        lines = 'WWW-Authenticate: Digest realm="shop", nonce="n1", qop="auth", algorithm=MD5\r\n'
        _send(seen, wire, "401 Unauthorized", lines, b"who are you?\n")


def _refuses(_: Origin, seen: Seen, wire: Wire) -> bool:
    _send(seen, wire, "413 Content Too Large", "Connection: close\r\n", b"too large\n")
    return True


def _hints(_: Origin, seen: Seen, wire: Wire) -> None:
    wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </shop.css>; rel=preload\r\n\r\n")
    _send(seen, wire, "200 OK", "", b"after hints\n")


def _events(origin: Origin, seen: Seen, wire: Wire) -> bool:
    """One event at once, another when the gate is opened; then silence until the listener leaves."""
    wire.send(_DATED[200] + b"Content-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\ndata: first\n\n")
    origin.gate.wait()
    wire.send(b"data: second\n\n")
    with contextlib.suppress(OSError):
        wire.sock.recv(1)
    origin.left.set()
    return True


def _socket(_: Origin, seen: Seen, wire: Wire) -> bool:
    """A WebSocket that says once what it hears: one short frame, whose mask is taken off (RFC 6455 §5.2)."""
    accept = accept_key("".join(seen.all("sec-websocket-key")))
    switch = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    wire.send(f"HTTP/1.1 101 Switching Protocols\r\n{switch}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    first, length = wire.exactly(2)
    mask = wire.exactly(4)
    heard = bytes(octet ^ mask[i % 4] for i, octet in enumerate(wire.exactly(length & 0x7F)))
    wire.send(bytes([first, len(heard)]), heard)
    wire.exactly(6)  # the other side's Close
    wire.send(b"\x88\x00")
    return True


_ANSWERS: Final[dict[str, Callable[[Origin, Seen, Wire], bool | None]]] = {
    "/odd": _odd,
    "/ranges": _ranges,
    "/compressed": _compressed,
    "/chunked": _chunked,
    "/until-close": _until_close,
    "/unmodified": _unmodified,
    "/nothing": _nothing,
    "/digest": _digest,
    "/refuses": _refuses,
    "/hints": _hints,
    "/events": _events,
    "/socket": _socket,
}
