"""WebSocket clients in a closed loop: each sends a message when the former has come back.

A program of its own, pinned beside the backend: `python -m bench.messages PORT SECONDS CONNECTIONS` prints how many came back. Every message
is one masked frame of the same size; its mask is zero, which RFC 6455 allows and which spares the load the arithmetic.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Final, cast

import uvloop

from bench.asking import cookies
from bench.backends import MESSAGE_BYTES
from bench.machine import load_cores
from bench.node import LOOPBACK

_SENT: Final = bytes((0x82, 0x80 | MESSAGE_BYTES)) + bytes(4) + b"x" * MESSAGE_BYTES
_RETURNED: Final = 2 + MESSAGE_BYTES
_HEAD: Final = (
    f"GET /area-1/live HTTP/1.1\r\nHost: {LOOPBACK}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: {cookies(1)}\r\n\r\n"
).encode()


class _Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.returned = 0
        self.opened = asyncio.get_running_loop().create_future()
        self._waiting = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit nothing
        self._transport.write(_HEAD)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        if not self.opened.done():
            head, end, self._waiting = self._waiting.partition(b"\r\n\r\n")
            if not end:
                self._waiting = head
            elif head.startswith(b"HTTP/1.1 101"):
                self.opened.set_result(None)
                self._transport.write(_SENT)
            else:
                self.opened.set_exception(RuntimeError(f"no WebSocket: {head!r}"))
            return
        if len(self._waiting) >= _RETURNED:
            self._waiting = self._waiting[_RETURNED:]
            self.returned += 1
            self._transport.write(_SENT)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(RuntimeError("no WebSocket: the connection ended"))


def exchanged(port: int, *, seconds: float, connections: int) -> int:
    """How many messages went there and back.

    Raises:
        subprocess.CalledProcessError: the proxy let no WebSocket through.
    """
    said = subprocess.run(
        [*load_cores(), sys.executable, "-m", "bench.messages", str(port), str(seconds), str(connections)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(said.stdout)


async def _load(port: int, seconds: float, connections: int) -> int:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(_Client, LOOPBACK, port))[1] for _ in range(connections)]
    await asyncio.gather(*(client.opened for client in clients))
    await asyncio.sleep(seconds)
    return sum(client.returned for client in clients)


if __name__ == "__main__":
    print(uvloop.run(_load(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
