"""Too much at once: an account that asks far more than its cap allows, a crowd that new has no places for, and clients who only take up room."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Final

from soak.backend import THINKS
from soak.clients import ACCOUNTS, Clients
from soak.conductor import Conductor
from soak.configuration import BOUNDS, CONNECTIONS
from soak.reading import Line
from soak.scene import now_s

_CONNECTIONS: Final = 8
_EACH: Final = 20
_CROWD: Final = 3 * BOUNDS.places
"""Thrice as many as there are places: a third is served, a third may wait, and its wait is shorter than an answer takes."""

_IDLERS: Final = CONNECTIONS + 100
_SENT_AWAY_WITHIN_S: Final = 60.0


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


async def idlers(on: Conductor) -> None:
    """More clients come than may be connected, and ask nothing: no more of them are taken, and those who idled longest are sent away.

    Whoever asks meanwhile waits for a place, and is served; a connection that was kept for longer than a moment may be closed.
    """

    async def idles(_: Clients, line: Line, __: random.Random) -> None:
        with contextlib.suppress(OSError):
            await line.receive()

    since_s = now_s()
    crowd = [asyncio.create_task(on.clients.visit(idles, on.draw)) for _ in range(_IDLERS)]
    most = 0.0
    try:
        async with asyncio.timeout(_SENT_AWAY_WITHIN_S):
            while sum(one.done() for one in crowd) < _IDLERS - CONNECTIONS:
                most = max(most, (await on.scene.metrics()).get("strangler_client_connections_open", 0.0))
                await asyncio.sleep(0.1)
    finally:
        for one in crowd:
            one.cancel()
        await asyncio.wait(crowd)
    on.may_fail("idlers", since_s, unanswered_only=True)
    if most > CONNECTIONS:
        on.wrong.append(f"{most:g} clients were connected, and {CONNECTIONS} may be")
