"""One endpoint: `python -m soak.backend NAME NUMBER PORT JOURNAL`. Answers, misbehaves as it is asked to, and journals every request as it arrives.

The journal is written line by line with one system call each, so a kill loses nothing that had happened. Requests say what they want in fields:
`X-Soak-Id`, `X-Soak-Bytes` (the answer's length), `X-Soak-Framing` (sized, chunked, close), `X-Soak-Asks` (how to misbehave).
Probes aren't journaled: they are answered 200, from SIGUSR1 on 503, and from SIGUSR2 on 200 again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import httptools
import uvloop

_ACCEPT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
EVENTS_EVERY_S: Final = 0.05
ADDRESSES: Final = ("127.0.0.1", "127.0.0.2")
"""It listens on both, as a name may mean either."""
PROBE: Final = "/health"
ASKS: Final = (
    "reset-before",
    "half-head",
    "half-body",
    "reset-body",
    "half-chunks",
    "garbage",
    "two-lengths",
    "silent",
)
"""How a request can ask to be mistreated; its answer then never comes whole."""
THINKS: Final = "thinks"
"""How it can ask for nothing worse than an answer that takes `THINKS_S`."""
THINKS_S: Final = 0.3


class Endpoint(asyncio.Protocol):
    """One connection.

    Attributes:
        well: whether the whole endpoint says so when it is probed.
    """

    well: ClassVar[bool] = True

    def __init__(self, name: str, number: int, journal: int) -> None:
        self._name, self._number, self._journal = name, number, journal
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._fields: dict[bytes, bytes] = {}
        self._url = b""
        self._arrival = ""
        self._body = hashlib.blake2b(digest_size=8)
        self._body_bytes = 0
        self._tunnel = False
        self._done = True
        self._queue: list[dict[bytes, bytes]] = []
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self.over = False

    def end(self) -> None:
        """Close once it is idle."""
        self._ending = True
        if self._done and self._task is None:
            self._transport.close()

    # -- asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit nothing

    def data_received(self, data: bytes) -> None:
        if self._tunnel:
            self._transport.write(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._grant()
        except httptools.HttpParserError as error:
            self._note("unreadable", why=str(error))
            self._transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.over = True
        if not self._done:
            self._note("cut")
        if self._task is not None:
            self._task.cancel()

    # -- the parser's

    def on_message_begin(self) -> None:
        self._fields = {}
        self._url = b""
        self._body = hashlib.blake2b(digest_size=8)
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._probed:
            return
        self._done = False
        self._arrival = f"{os.getpid()}-{time.monotonic_ns()}"
        self._fields[b":method"] = self._parser.get_method()
        self._fields[b":arrival"] = self._arrival.encode()
        self._note("head", a=self._transport.get_extra_info("sockname")[0])

    def on_body(self, body: bytes) -> None:
        self._body.update(body)
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._probed:
            self._transport.write(
                b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % (b"200 OK" if self.well else b"503 Service Unavailable")
            )
            return
        self._done = True
        self._note("whole", n=self._body_bytes, d=self._body.hexdigest())
        if self._parser.should_upgrade():
            return
        self._queue.append(self._fields)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    @property
    def _probed(self) -> bool:
        return self._url == PROBE.encode()

    # -- answers

    async def _answer_all(self) -> None:
        while self._queue:
            await self._answer(self._queue.pop(0))
        self._task = None
        if self._ending:
            self._transport.close()

    async def _answer(self, fields: dict[bytes, bytes]) -> None:
        write = self._transport.write
        asks = fields.get(b"x-soak-asks", b"").decode()
        identifier = fields.get(b"x-soak-id", b"").decode()
        count = int(fields.get(b"x-soak-bytes", b"2"))
        framing = fields.get(b"x-soak-framing", b"sized")
        head_only = fields[b":method"] == b"HEAD"
        if asks == "silent":
            return
        start = f"HTTP/1.1 200 OK\r\nX-Soak-Id: {identifier}\r\nX-Soak-Backend: {self._name}\r\n".encode()
        body = random.Random(f"{identifier} {self._name}").randbytes(count)
        if framing == b"events":
            await self._events(fields, start, count)
            return
        if asks == THINKS:
            await asyncio.sleep(THINKS_S)
        self._note(
            "answer", fields, n=count, d=hashlib.blake2b(body, digest_size=8).hexdigest(), whole=asks not in ASKS
        )
        sized = start + b"Content-Length: %d\r\n\r\n" % count
        chunked = start + b"Transfer-Encoding: chunked\r\n\r\n"
        half = body[: count // 2]
        match asks:
            case "reset-before":
                self._reset()
            case "half-head":
                write(start[:30])
                self._transport.close()
            case "half-body":
                write(sized + half)
                self._transport.close()
            case "reset-body":
                write(sized + half)
                await asyncio.sleep(0.02)
                self._reset()
            case "half-chunks":
                write(chunked + b"%x\r\n%b\r\n" % (len(half), half))
                self._transport.close()
            case "garbage":
                write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            case "two-lengths":
                write(start + b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (count, count + 1) + body)
            case _ if head_only:
                write(sized)
            case _ if framing == b"chunked":
                pieces = [body[at : at + 4096] for at in range(0, count, 4096)]
                write(chunked + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n")
            case _ if framing == b"close":
                write(start + b"Connection: close\r\n\r\n" + body)
                self._transport.close()
            case _:
                write(sized + body)

    async def _events(self, fields: dict[bytes, bytes], start: bytes, count: int) -> None:
        events = [b"data: %d\n\n" % number for number in range(count)]
        whole = b"".join(events)
        self._note("answer", fields, n=len(whole), d=hashlib.blake2b(whole, digest_size=8).hexdigest(), whole=True)
        self._transport.write(start + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in events:
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            await asyncio.sleep(EVENTS_EVERY_S)
        self._transport.write(b"0\r\n\r\n")

    def _grant(self) -> None:
        self._tunnel = True
        fields = self._fields
        self._note("answer", fields, n=0, d="", whole=True)
        key = hashlib.sha1(fields.get(b"sec-websocket-key", b"") + _ACCEPT, usedforsecurity=False).digest()
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Soak-Id: %b\r\nSec-WebSocket-Accept: %b\r\n\r\n"
            % (fields.get(b"x-soak-id", b""), base64.b64encode(key))
        )

    def _reset(self) -> None:
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _note(self, event: str, fields: dict[bytes, bytes] | None = None, **more: Any) -> None:
        of = self._fields if fields is None else fields
        line = {
            "e": event,
            "k": of.get(b":arrival", b"").decode(),
            "id": of.get(b"x-soak-id", b"").decode(),
            "t": time.monotonic(),
            "b": self._name,
            "p": self._number,
            **more,
        }
        os.write(self._journal, json.dumps(line).encode() + b"\n")


async def _serve(name: str, number: int, port: int, journal: Path) -> None:
    """Until SIGTERM, which it obeys as it should: nobody new is taken, what was begun is answered, and what is idle closed."""
    loop = asyncio.get_running_loop()
    opened = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    ends = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ends.set)
    for number_of, well in ((signal.SIGUSR1, False), (signal.SIGUSR2, True)):
        loop.add_signal_handler(number_of, setattr, Endpoint, "well", well)
    connections: list[Endpoint] = []

    def made() -> Endpoint:
        connections.append(one := Endpoint(name, number, opened))
        return one

    server = await loop.create_server(made, ADDRESSES, port, backlog=512)
    await ends.wait()
    server.close()
    for one in connections:
        one.end()
    while any(not one.over for one in connections):
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
