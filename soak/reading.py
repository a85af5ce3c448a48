"""How a client reads answers: with h11, so that no line of the proxy judges the proxy."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from typing import Final

import h11

from soak.story import End, Seen

PATIENCE_S: Final = 30.0
_PIECE: Final = 65536


class Line:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.left = b""  # read and not yet understood: what comes after an answer that was pipelined
        self.over = False

    async def send(self, data: bytes) -> None:
        """Send; a connection that is gone is found out by reading.

        Raises:
            TimeoutError: it isn't taken.
        """
        try:
            self.writer.write(data)
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.drain()
        except (ConnectionError, RuntimeError, ssl.SSLError):
            pass

    async def receive(self, most: int = _PIECE) -> bytes:
        """What comes next; empty at a clean end.

        Raises:
            ConnectionError: it was reset.
            TimeoutError: nothing comes.
        """
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read(most)

    async def answer(
        self,
        method: str,
        *,
        piece: int = _PIECE,
        pause_s: float = 0.0,
        until_bytes: int | None = None,
        upgrade: bool = False,
    ) -> Seen:
        """The next answer.

        Args:
            method: of the request.
            piece: how much is read at a time.
            pause_s: between reads.
            upgrade: a 101 is an answer.
            until_bytes: leave once so much of the body is there.
        """
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        fields = [("Host", "shop"), *([("Upgrade", "websocket"), ("Connection", "Upgrade")] if upgrade else [])]
        parser.send(h11.Request(method=method, target="/", headers=fields))
        parser.send(h11.EndOfMessage())
        seen = Seen(0.0, End.NONE)
        body = hashlib.blake2b(digest_size=8)
        data, self.left = self.left, b""
        if data:
            parser.receive_data(data)
        try:
            while True:
                event = parser.next_event()
                if isinstance(event, h11.Response | h11.InformationalResponse):
                    seen.status = event.status_code
                    told = _read(seen, event)
                    if isinstance(event, h11.Response):
                        self.over = told.get(b"connection", "").lower() == "close"
                        seen.end = End.CUT
                    if seen.status == 101:
                        seen.end = End.WHOLE
                        self.left = bytes(parser.trailing_data[0])
                        break
                elif isinstance(event, h11.Data):
                    body.update(event.data)
                    seen.body_bytes += len(event.data)
                    if until_bytes is not None and seen.body_bytes >= until_bytes:
                        seen.end = End.LEFT
                        break
                elif isinstance(event, h11.EndOfMessage):
                    seen.end = End.WHOLE
                    self.left = bytes(parser.trailing_data[0])
                    break
                elif event is h11.NEED_DATA:
                    if pause_s:
                        await asyncio.sleep(pause_s)
                    parser.receive_data(await self.receive(piece))
                else:
                    break
        except (h11.RemoteProtocolError, ConnectionError, ssl.SSLError):
            pass
        except TimeoutError:
            seen.own = "timeout of the client"
        if seen.end is not End.WHOLE:
            self.over = True
        seen.digest = body.hexdigest()
        seen.at_s = time.monotonic()
        return seen

    def leave(self, *, reset: bool = False) -> None:
        """Go away."""
        self.over = True
        if reset:
            self.writer.transport.abort()
        else:
            self.writer.close()


def _read(seen: Seen, head: h11.Response | h11.InformationalResponse) -> dict[bytes, str]:
    """Note what a head says; gives its fields, the last of each name."""
    pairs = [(bytes(name), bytes(value).decode("latin-1")) for name, value in head.headers]
    told = dict(pairs)
    seen.told_id, seen.answered_by = told.get(b"x-soak-id", ""), told.get(b"x-soak-backend", "")
    seen.own = told.get(b"x-strangler-error", "")
    seen.decided = tuple(told[b"x-strangler"].split("; ")) if b"x-strangler" in told else ()
    seen.drill, seen.retry_after = told.get(b"x-strangler-drill", ""), told.get(b"retry-after", "")
    seen.cookies = tuple(value.partition(";")[0] for name, value in pairs if name == b"set-cookie")
    return told
