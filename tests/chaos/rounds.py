"""Rounds of chaos in one process: the soak's clients and endpoints around a real traffic path, drawn from a seed, judged by the soak's oracle.

What a round draws is the same for a seed; when things meet depends on the machine, so a seed that found something once may need several tries.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from proxy.core.care.reaching import EndpointCare
from proxy.core.limits import Limits
from proxy.core.switches.covering import NOTHING_ROLLED_BACK
from soak.backend import Endpoint
from soak.clients import Clients
from soak.expected import History, Situation
from soak.journals import gather
from soak.oracle import Cause, Oracle
from soak.scene import now_s
from soak.story import Story
from tests.traffic.test_choosing import EVERYTHING
from tests.traffic.wire import Node, a_plan
from tests.waiting import until_async

AREAS: Final = {"moved": "/new/", "elsewhere": "/x/"}
FIRST: Final = Situation(shares_bp={}, fixed={"moved": "new", "elsewhere": "legacy"}, pilots=frozenset())
_SESSIONS: Final = 16
_PATIENCE_S: Final = 15.0


class Standing(Endpoint):
    """An endpoint's connection that can be found again, to be ended."""

    def __init__(self, among: set[Standing], *about: Any) -> None:
        super().__init__(*about)
        self._among = among

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._among.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._among.discard(self)

    def abort(self) -> None:
        self._transport.abort()

    def pause(self, *, resume: bool) -> None:
        if not self._transport.is_closing():
            (self._transport.resume_reading if resume else self._transport.pause_reading)()


@dataclass(slots=True)
class Listening:
    """One endpoint, in this process."""

    name: str
    number: int
    journal: int
    port: int = 0
    connections: set[Standing] = field(default_factory=set)
    server: asyncio.Server | None = None

    async def open(self) -> None:
        made = functools.partial(Standing, self.connections, self.name, self.number, self.journal)
        self.server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def cut(self) -> None:
        for one in list(self.connections):
            one.abort()


async def round_of(seed: str, directory: Path, *, seconds: float, breaking: bool) -> tuple[list[str], Counter[str]]:
    """Play one round.

    Args:
        seed: what is drawn.
        directory: for journals and the log.
        seconds: how long clients ask.
        breaking: endpoints come, go, stall and are cut meanwhile, and everything is rolled back now and then; else only
            what requests ask for goes wrong, and everything else must succeed.

    Returns:
        What was wrong, and how many requests ended how.
    """
    journal = directory / "journal"
    written = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    endpoints = [Listening(name, number, written) for name in ("legacy", "new") for number in range(2)]
    for one in endpoints:
        await one.open()
    options = {"timeout_s": 1.0, "connect_s": 1.0, "care": EndpointCare(first_s=0.2, longest_s=0.5, slow_start_s=0.2)}
    urls = [f"http://127.0.0.1:{one.port}" for one in endpoints]
    plan = a_plan(tuple(urls[:2]), tuple(urls[2:]), limits=Limits(), legacy_options=options, new_options=options)
    node = await asyncio.to_thread(Node, plan, log=directory / "access.log")
    tasks_before = await asyncio.to_thread(node.do, lambda: len(asyncio.all_tasks(node._loop)))
    oracle = Oracle(History(FIRST))
    clients = Clients(node.port, seed, areas=AREAS, misbehaving=0.3)
    try:
        asking = asyncio.create_task(clients.run(_SESSIONS))
        if breaking:
            oracle.causes.append(Cause("everything breaks", 0.0, now_s() + 1e6))
            await _break(endpoints, node, oracle.history, random.Random(f"{seed} faults"), now_s() + seconds)
        else:
            await asyncio.sleep(seconds)
        clients.stopped = True
        await asking
        wrong = await _left_behind(node, endpoints, tasks_before)
    finally:
        await asyncio.to_thread(node.close)
        for one in endpoints:
            one.refuse()
            one.cut()
        await until_async(lambda: not any(one.connections for one in endpoints), "the endpoints' connections end")
        os.close(written)
    wrong += [f"arrived and was never sent: {line}" for line in gather([journal], clients.stories)]
    for story in clients.stories.values():
        wrong += [f"{one.wrong}: {one.why}\n{story.told()}" for one in oracle.judge(story)]
    wrong += _logged_once(directory / "access.log", clients.stories)
    return wrong, Counter(story.seen.end.value for story in clients.stories.values() if story.seen is not None)


async def _break(endpoints: list[Listening], node: Node, history: History, draw: random.Random, until_s: float) -> None:
    rolled_back = replace(FIRST, rolled_back=frozenset({("", "")}))
    while now_s() < until_s:
        one = draw.choice(endpoints)
        match draw.choice(("cut", "refuse", "stall", "roll back")):
            case "cut":
                one.cut()
            case "refuse":
                one.refuse()
                one.cut()
                await asyncio.sleep(draw.random() * 0.2)
                await one.open()
            case "stall":
                for connection in one.connections:
                    connection.pause(resume=False)
                await asyncio.sleep(draw.random() * 0.3)
                for connection in one.connections:
                    connection.pause(resume=True)
            case _:
                for latch, situation in ((EVERYTHING, rolled_back), (NOTHING_ROLLED_BACK, FIRST)):
                    history.begin(situation, now_s())
                    await asyncio.to_thread(node.do, functools.partial(setattr, node, "latch", latch))
                    history.settle(now_s())
                    await asyncio.sleep(draw.random() * 0.2)
        await asyncio.sleep(draw.random() * 0.1)


async def _left_behind(node: Node, endpoints: list[Listening], tasks_before: int) -> list[str]:
    """What stays once every client has gone: exchanges, tasks, connections that nobody counts."""
    traffic = node.traffic

    def found() -> list[str]:
        idle = sum(len(one._idle) for one in traffic._endpoints.values())
        counts = {
            "exchanges in flight": traffic.in_flight,
            "clients": len(traffic._clients),
            "orphans": len(traffic.orphans),
            "tunnels and streams": len(traffic.lasting.held),
            "tasks": len(asyncio.all_tasks(node._loop)) - tasks_before,
            "lent to endpoints": sum(one.in_flight for one in traffic._endpoints.values()),
            "connections that are counted and not idle": node.count("strangler_backend_connections_open{") - idle,
            "connections that nobody has": sum(len(one.connections) for one in endpoints) - idle,
        }
        return [f"left behind: {count} {what}" for what, count in counts.items() if count]

    look: Callable[[], list[str]] = functools.partial(node.do, found)
    ends_s = now_s() + _PATIENCE_S
    while (left := await asyncio.to_thread(look)) and now_s() < ends_s:
        await asyncio.sleep(0.05)
    return left


def _logged_once(log: Path, stories: dict[str, Story]) -> list[str]:
    """Every request that arrived somewhere has one line."""
    lines = Counter(json.loads(line)["path"].rpartition("/")[2] for line in log.read_bytes().splitlines())
    return [
        f"{lines[one.id]} lines in the log\n{one.told()}"
        for one in stories.values()
        if one.arrivals and lines[one.id] != 1
    ]
