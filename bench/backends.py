"""Backends that nginx can't play: they take uploads in whole, send and read streams slowly, and echo WebSocket messages.

A program of its own, pinned beside the load: `python -m bench.backends LEGACY_PORT NEW_PORT`. One protocol under uvloop; the path says
what it does: `/up` reads a body and then answers, `/slow` reads it at a limited rate, `/down/N` sends N bytes as fast as
they are taken, and a request with `Upgrade` becomes a WebSocket whose frames come back unmasked.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import uvloop

from bench.job import LEGACY_HOSTS
from bench.machine import load_cores
from bench.node import LOOPBACK, free_port
from bench.origin import Origin
from bench.processes import server

SLOW_BYTES_PER_S: Final = 25_000_000
MESSAGE_BYTES: Final = 64
"""Of a WebSocket message's payload; the load masks with zeros, so a frame comes back by losing its mask."""

_ACCEPT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_PIECE: Final = bytes(256 * 1024)
_FRAME: Final = 2 + 4 + MESSAGE_BYTES


class Backend(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._waiting = bytearray()
        self._body_left = 0
        self._to_send = 0
        self._slow = False
        self._echoes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit nothing

    def data_received(self, data: bytes) -> None:
        if self._body_left:
            self._take(len(data))
            return
        self._waiting += data
        if self._echoes:
            self._echo()
            return
        end = self._waiting.find(b"\r\n\r\n")
        if end >= 0:
            head = bytes(self._waiting[:end])
            rest = len(self._waiting) - end - 4
            self._waiting.clear()
            self._begin(head, rest)

    def _begin(self, head: bytes, rest: int) -> None:
        path = head.split(b" ", 2)[1]
        if key := re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", head):
            accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT, usedforsecurity=False).digest())
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self._echoes = True
            return
        if path.startswith(b"/down/"):
            self._to_send = int(path[6:])
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self._to_send)
            self.resume_writing()
            return
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        self._slow = path.startswith(b"/slow")
        self._body_left = int(length[1]) if length else 0
        self._take(rest)

    def _take(self, count: int) -> None:
        self._body_left -= count
        if self._body_left <= 0:
            self._body_left = 0
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif self._slow:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(count / SLOW_BYTES_PER_S, self._transport.resume_reading)

    def _echo(self) -> None:
        whole = len(self._waiting) // _FRAME
        frames = (self._waiting[at * _FRAME : (at + 1) * _FRAME] for at in range(whole))
        self._transport.write(b"".join(bytes((one[0], one[1] & 0x7F)) + one[6:] for one in frames))
        del self._waiting[: whole * _FRAME]

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._to_send and not self._paused:
            piece = _PIECE[: min(self._to_send, len(_PIECE))]
            self._to_send -= len(piece)
            self._transport.write(piece)


@contextlib.contextmanager
def backends(directory: Path) -> Iterator[Origin]:
    """Run both systems as such a program."""
    directory.mkdir()
    ports = Origin(legacy=free_port(), new=free_port())
    command = [*load_cores(), sys.executable, "-m", "bench.backends", str(ports.legacy), str(ports.new)]
    root = str(Path(__file__).parents[1])
    with server(command, directory, ports.new, environment={"PYTHONPATH": root}):
        yield ports


async def _serve(legacy: int, new: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Backend, LEGACY_HOSTS, legacy, backlog=1024)
    await loop.create_server(Backend, LOOPBACK, new, backlog=1024)
    await loop.create_future()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
