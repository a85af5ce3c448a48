"""Everybody who may come: browsers, uploaders, old clients, impatient and slow ones, WebSockets, event streams."""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from soak.backend import ASKS
from soak.reading import Line
from soak.story import End, Seen, Sent, Story, Way, digest_of

AREAS: Final = {
    "orders": "/orders/",
    "checkout": "/checkout/",
    "basket": "/basket/",
    "search": "/search/",
    "help": "/help/",
    "reports": "/reports/",
    "elsewhere": "/x/",
}
ACCOUNTS: Final = tuple(f"acct-{number}" for number in range(200))
PILOTS: Final = frozenset(ACCOUNTS[::10])
SERVER_NAME: Final = "shop"
_BIG_BYTES: Final = 300_000
_THINK_S: Final = 0.02


@dataclass(slots=True)
class Clients:
    """Sessions without pause, so many at a time.

    Attributes:
        stories: all of them, by id.
        refused: connections that couldn't be made, with the time.
        misbehaving: the share of requests that ask to be mistreated.
        areas: where each area's paths begin.
        kinds: what a session may be, each with its weight; None: the usual.
        tls: how the proxy is met; None: in plain text.
    """

    port: int
    seed: str
    stories: dict[str, Story] = field(default_factory=dict)
    refused: list[float] = field(default_factory=list)
    stopped: bool = False
    misbehaving: float = 0.05
    areas: Mapping[str, str] = field(default_factory=lambda: AREAS)
    kinds: Sequence[tuple[Session, int]] | None = None
    tls: ssl.SSLContext | None = None
    _count: int = 0

    async def run(self, sessions: int) -> None:
        """Until `stopped`."""
        async with asyncio.TaskGroup() as group:
            for number in range(sessions):
                group.create_task(self._one_after_another(number))

    async def _one_after_another(self, number: int) -> None:
        draw = random.Random(f"{self.seed} {number}")
        kinds, weights = zip(*(self.kinds or USUAL), strict=True)
        while not self.stopped:
            kind: Session = draw.choices(kinds, weights)[0]
            if not await self.visit(kind, draw):
                await asyncio.sleep(0.05)
            await asyncio.sleep(draw.random() * _THINK_S)

    async def visit(self, kind: Session, draw: random.Random) -> bool:
        """One session, on a connection of its own; gives whether that could be made."""
        name = None if self.tls is None else SERVER_NAME
        try:
            opened = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=1 << 18, ssl=self.tls, server_hostname=name
            )
        except OSError:
            self.refused.append(time.monotonic())
            return False
        line = Line(*opened)
        try:
            await kind(self, line, draw)
        finally:
            line.leave()
        return True

    # -- what a session is made of

    def begin(
        self,
        draw: random.Random,
        method: str,
        fields: str = "",
        body: bytes = b"",
        *,
        area: str | None = None,
        account: str | None = None,
        **more: object,
    ) -> tuple[Story, bytes]:
        """A story, and the head of its request.

        Args:
            draw: chooses what isn't given.
            method: of the request.
            fields: more of them, each with its line end.
            body: what will be sent.
            area: None: any.
            account: empty: none; None: any.
            more: of `Sent`.
        """
        self._count += 1
        identifier = f"{self.seed}-{self._count}"
        area = draw.choice(tuple(self.areas)) if area is None else area
        account = draw.choice(ACCOUNTS) if account is None else account
        who = f"X-Account-Id: {account}\r\n" if account else ""
        sent = Sent(time.monotonic(), method, area, account, len(body), digest_of(body), **more)  # type: ignore[arg-type]  # a story's own fields
        story = self.stories[identifier] = Story(identifier, sent)
        head = f"{method} {self.areas[area]}{identifier} HTTP/1.1\r\nHost: {SERVER_NAME}\r\n{who}X-Soak-Id: {identifier}\r\n{fields}\r\n"
        if sent.asks:
            head = head.replace("\r\n\r\n", f"\r\nX-Soak-Asks: {sent.asks}\r\n\r\n")
        return story, head.encode()

    def asks(self, draw: random.Random) -> str:
        """How the backend shall misbehave: mostly not."""
        return draw.choice(ASKS) if draw.random() < self.misbehaving else ""


Session = Callable[[Clients, Line, random.Random], Awaitable[None]]


def _answer_fields(draw: random.Random, most: int = 20_000) -> str:
    framing = draw.choice(("sized", "sized", "chunked", "close"))
    return f"X-Soak-Bytes: {draw.randrange(2, most)}\r\nX-Soak-Framing: {framing}\r\n"


async def _asks(clients: Clients, line: Line, draw: random.Random) -> None:
    """Several requests on one connection."""
    for _ in range(draw.randrange(1, 9)):
        method = draw.choice(("GET", "GET", "GET", "HEAD", "OPTIONS", "DELETE"))
        story, head = clients.begin(draw, method, _answer_fields(draw), asks=clients.asks(draw))
        await line.send(head)
        story.seen = await line.answer(method)
        if line.over or clients.stopped:
            return
        await asyncio.sleep(draw.random() * _THINK_S)


async def _writes(clients: Clients, line: Line, draw: random.Random) -> None:
    """Bodies, announced or in chunks, in several pieces."""
    for _ in range(draw.randrange(1, 5)):
        method = draw.choice(("POST", "POST", "PUT", "PATCH"))
        body = draw.randbytes(draw.choice((5, 500, 20_000, 150_000)))
        sized = draw.random() < 0.5
        fields = f"Content-Length: {len(body)}\r\n" if sized else "Transfer-Encoding: chunked\r\n"
        story, head = clients.begin(draw, method, fields + _answer_fields(draw), body, asks=clients.asks(draw))
        pieces = [body[at : at + 16_384] for at in range(0, len(body), 16_384)]
        await line.send(head)
        for piece in pieces:
            await line.send(piece if sized else b"%x\r\n%b\r\n" % (len(piece), piece))
        if not sized:
            await line.send(b"0\r\n\r\n")
        story.seen = await line.answer(method)
        if line.over or clients.stopped:
            return


async def _pipelines(clients: Clients, line: Line, draw: random.Random) -> None:
    """Three at once."""
    begun = [clients.begin(draw, "GET", f"X-Soak-Bytes: {draw.randrange(2, 2000)}\r\n") for _ in range(3)]
    await line.send(b"".join(head for _, head in begun))
    for story, _ in begun:
        if line.over:  # the server may close between two of them (RFC 9112 section 9.3.2): not asked again here
            story.seen = Seen(time.monotonic(), End.LEFT)
        else:
            story.sent.turn_s = time.monotonic()
            story.seen = await line.answer("GET")


async def _old(clients: Clients, line: Line, draw: random.Random) -> None:
    """HTTP/1.0: a close is the end."""
    story, head = clients.begin(draw, "GET", _answer_fields(draw), asks=clients.asks(draw))
    await line.send(head.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"))
    story.seen = await line.answer("GET")


async def _reads_slowly(clients: Clients, line: Line, draw: random.Random) -> None:
    story, head = clients.begin(
        draw, "GET", f"X-Soak-Bytes: {_BIG_BYTES}\r\nX-Soak-Framing: chunked\r\nConnection: close\r\n"
    )
    await line.send(head)
    story.seen = await line.answer("GET", piece=16_384, pause_s=0.02)


async def _vanishes(clients: Clients, line: Line, draw: random.Random) -> None:
    """A client that goes away, at any stage, by FIN or reset."""
    reset = draw.random() < 0.5
    stage = draw.choice(("head", "body", "unanswered", "answer"))
    body = draw.randbytes(20_000)
    if stage == "answer":
        story, head = clients.begin(draw, "GET", f"X-Soak-Bytes: {_BIG_BYTES}\r\n")
        await line.send(head)
        story.seen = await line.answer("GET", piece=4096, until_bytes=draw.randrange(1, _BIG_BYTES // 2))
        line.leave(reset=reset)
        return
    whole = stage == "unanswered"
    story, head = clients.begin(draw, "POST", f"Content-Length: {len(body)}\r\n", body, whole=whole)
    match stage:
        case "head":
            await line.send(head[: draw.randrange(1, len(head) - 4)])
        case "body":
            await line.send(head + body[: draw.randrange(1, len(body))])
        case _:
            await line.send(head + body)
    await asyncio.sleep(draw.random() * 0.01)
    line.leave(reset=reset)
    story.seen = Seen(time.monotonic(), End.LEFT)


async def _talks(clients: Clients, line: Line, draw: random.Random) -> None:
    """A WebSocket whose backend echoes."""
    key = base64.b64encode(draw.randbytes(16)).decode()
    fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    story, head = clients.begin(draw, "GET", fields, way=Way.WEBSOCKET)
    await line.send(head)
    seen = await line.answer("GET", upgrade=True)
    if seen.status != 101:
        story.seen = seen
        return
    try:
        for _ in range(draw.randrange(1, 20)):
            said = draw.randbytes(draw.randrange(1, 3000))
            await line.send(said)
            while len(line.left) < len(said):
                if not (data := await line.receive()):
                    seen.end = End.CUT
                    break
                line.left += data
            if seen.end is End.CUT:
                break
            if line.left != said:
                seen.told_id = "altered in the tunnel"
            line.left = b""
            await asyncio.sleep(draw.random() * 0.1)
    except (ConnectionError, TimeoutError, ssl.SSLError):
        seen.end = End.CUT
    seen.at_s = time.monotonic()
    story.seen = seen


async def _listens(clients: Clients, line: Line, draw: random.Random) -> None:
    """An event stream, to its end."""
    story, head = clients.begin(
        draw,
        "GET",
        f"X-Soak-Bytes: {draw.randrange(5, 60)}\r\nX-Soak-Framing: events\r\nAccept: text/event-stream\r\n",
        way=Way.EVENTS,
    )
    await line.send(head)
    story.seen = await line.answer("GET")


USUAL: Final[Sequence[tuple[Session, int]]] = (
    (_asks, 40),
    (_writes, 25),
    (_pipelines, 8),
    (_old, 6),
    (_reads_slowly, 4),
    (_vanishes, 8),
    (_talks, 5),
    (_listens, 4),
)
