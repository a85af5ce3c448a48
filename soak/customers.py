"""Customers who come back with the cookies they were given: visitors without an account, and those whom a pin keeps where they began."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

from soak.clients import ACCOUNTS, Clients
from soak.reading import Line
from soak.story import Seen

PINNED: Final = "basket"
"""The area whose clients are pinned."""
_VISITOR, _PIN = "strangler-visitor", "strangler-pin"
_AREAS: Final = (PINNED, PINNED, PINNED, "orders", "search")
_MOST: Final = 16
_LONGEST_S: Final = 300.0
"""A pin lasts for twice as long, so none ends unnoticed."""


@dataclass(slots=True)
class Customer:
    """One of them.

    Attributes:
        account: empty: not signed in.
        pinned: the system that gave the pin which they have; empty: none.
    """

    account: str
    since_s: float = field(default_factory=time.monotonic)
    cookies: dict[str, str] = field(default_factory=dict)
    pinned: str = ""

    @property
    def visitor(self) -> str:
        """The id that stands for them: the fourth part of its token."""
        return self.cookies[_VISITOR].split(".")[3] if _VISITOR in self.cookies else ""

    def take(self, seen: Seen, area: str) -> None:
        """Keep what an answer brings, as a browser does."""
        for cookie in seen.cookies:
            name, _, value = cookie.partition("=")
            self.cookies[name] = value
            if name == _PIN and area == PINNED:
                self.pinned = seen.answered_by


class Customers:
    """All of them; each has one session at a time."""

    def __init__(self) -> None:
        self._idle: list[Customer] = []
        self._count = 0
        self.pins = 0

    async def shop(self, clients: Clients, line: Line, draw: random.Random) -> None:
        """A session: somebody new, or somebody who was here before."""
        if self._count < _MOST or not self._idle:
            one = Customer("" if draw.random() < 0.5 else draw.choice(ACCOUNTS))
            self._count += 1
        else:
            one = self._idle.pop(draw.randrange(len(self._idle)))
        try:
            await self._shop(one, clients, line, draw)
        finally:
            if draw.random() < 0.02 or time.monotonic() - one.since_s > _LONGEST_S:
                self._count -= 1
            else:
                self._idle.append(one)

    async def _shop(self, one: Customer, clients: Clients, line: Line, draw: random.Random) -> None:
        if not one.account and draw.random() < 0.05:
            one.account = draw.choice(ACCOUNTS)  # they sign in; what was pinned before goes on holding
        for _ in range(draw.randrange(1, 6)):
            area, method = draw.choice(_AREAS), draw.choice(("GET", "GET", "POST"))
            cookies = "; ".join(f"{name}={value}" for name, value in one.cookies.items())
            fields = f"Cookie: {cookies}\r\n" if cookies else ""
            body = draw.randbytes(100) if method == "POST" else b""
            fields += f"Content-Length: {len(body)}\r\n" if body else ""
            pinned = one.pinned if area == PINNED else ""
            story, head = clients.begin(
                draw, method, fields, body, area=area, account=one.account, visitor=one.visitor, pinned=pinned
            )
            await line.send(head + body)
            seen = story.seen = await line.answer(method)
            had = one.pinned
            one.take(seen, area)
            self.pins += not had and bool(one.pinned)
            if line.over or clients.stopped:
                return
            await asyncio.sleep(draw.random() * 0.05)
