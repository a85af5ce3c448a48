"""Too much at once: an account that asks far more than its cap allows, and a crowd that new has no places for."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from soak.backend import THINKS
from soak.clients import ACCOUNTS, Clients
from soak.conductor import Conductor
from soak.configuration import BOUNDS
from soak.reading import Line

_CONNECTIONS: Final = 8
_EACH: Final = 20
_CROWD: Final = 3 * BOUNDS.places
"""Thrice as many as there are places: a third is served, a third may wait, and its wait is shorter than an answer takes."""


async def flood(on: Conductor) -> None:
    """One account, over and over, as fast as it is answered."""
    account = on.reason("flooder")

    async def asks(clients: Clients, line: Line, draw: random.Random) -> None:
        for _ in range(_EACH):
            story, head = clients.begin(draw, "GET", area=BOUNDS.capped, account=account)
            await line.send(head)
            story.seen = await line.answer("GET")
            if line.over:
                return

    await asyncio.gather(*(on.clients.visit(asks, on.draw) for _ in range(_CONNECTIONS)))
    on.floods.append(account)


async def crowd(on: Conductor) -> None:
    """Everybody comes to new at the same moment, and stays for a while."""

    async def stays(clients: Clients, line: Line, draw: random.Random) -> None:
        story, head = clients.begin(draw, "GET", area="help", account=draw.choice(ACCOUNTS), asks=THINKS)
        await line.send(head)
        story.seen = await line.answer("GET")

    await asyncio.gather(*(on.clients.visit(stays, on.draw) for _ in range(_CROWD)))
