"""Two endpoints of one backend, one of which dies again and again: how soon that is noticed, how soon it is used again, and who felt it.

One worker, 12 clients that read (GET) and 4 that write (POST), each on a kept connection. Noticed: until the worker holds the endpoint off, as /metrics tell it
(looked at every 20 ms). Used again: from the moment in which it listens (or goes on) to the first request that arrives there. What failed is counted between the two, as
clients saw it. The clients' and the endpoints' clock is one (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import asyncio
import json
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import uvloop

from bench.node import LOOPBACK, Node, free_port
from bench.tables import show
from prove.crowd import until
from prove.entered import entered
from prove.files import replace
from soak.reading import Line
from soak.scene import Endpoint
from soak.story import End

TIMES: Final = 20
_READERS, _WRITERS = 12, 4
_THINK_S: Final = 0.005
_DEAD_S: Final = 0.5
_RECOVERS_WITHIN_S: Final = 60

_ROUTES: Final = """\
version: 1
backends:
  legacy: {{url: ["http://{0}", "http://{1}"], timeout: 1s{2}}}
  new: {{url: "http://{0}"}}
areas: {{}}
otherwise: legacy
cache: off
"""
_PROBED: Final = (
    ", health: /readyz, endpoints: {probe_every: 250ms, probe_timeout: 250ms, unhealthy_after: 2, slow_start: 500ms}"
)
_UNPROBED: Final = ", endpoints: {slow_start: 500ms}"


@dataclass(slots=True)
class Asked:
    """Requests that ended: (when, safe, failed)."""

    ended: list[tuple[float, bool, bool]] = field(default_factory=list)
    stopped: bool = False

    def between(self, since_s: float, until_s: float, *, safe: bool) -> tuple[int, int]:
        """How many, and how many of them failed."""
        found = [failed for at_s, one, failed in self.ended if since_s <= at_s <= until_s and one is safe]
        return len(found), sum(found)


async def _ask(asked: Asked, port: int, *, safe: bool) -> None:
    head = "GET /x" if safe else "POST /x"
    body = b"" if safe else b"hello"
    request = f"{head} HTTP/1.1\r\nHost: shop\r\nX-Soak-Id: p\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    while not asked.stopped:
        line = Line(*await asyncio.open_connection(LOOPBACK, port))
        while not line.over and not asked.stopped:
            await line.send(request)
            seen = await line.answer("GET" if safe else "POST")
            asked.ended.append((time.monotonic(), safe, seen.end is not End.WHOLE or seen.status != 200))
            await asyncio.sleep(_THINK_S)
        line.leave()


@dataclass(slots=True)
class Scene:
    """What dies, and what is asked about it."""

    node: Node
    victim: Endpoint
    asked: Asked
    ops: httpx.AsyncClient

    async def held_off(self, *, at_all: bool) -> None:
        """Wait until the worker thinks (or no longer thinks) something of the endpoint."""
        start = f'strangler_endpoint_held_off{{backend="legacy",endpoint="http://{LOOPBACK}:{self.victim.port}"'
        why = ("unreachable", "ejected", "unhealthy") if at_all else ("",)
        async with asyncio.timeout(_RECOVERS_WITHIN_S):
            while True:
                text = (await self.ops.get("/metrics")).text
                lines = [
                    line for line in text.splitlines() if line.startswith(start) and any(word in line for word in why)
                ]
                if any(float(line.rpartition(" ")[2]) for line in lines) is at_all:
                    return
                await asyncio.sleep(0.02)

    async def arrival_after(self, at_s: float) -> float:
        """When the first request came to the endpoint after a moment."""
        async with asyncio.timeout(_RECOVERS_WITHIN_S):
            while True:
                for line in self.victim.journal.read_bytes().splitlines()[-2000:]:
                    event = json.loads(line)
                    if event["e"] == "head" and event["id"] == "p" and event["t"] >= at_s:
                        return float(event["t"])
                await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Death:
    """A way to die and to come back."""

    name: str
    dies: Callable[[Endpoint], object]
    hung: bool = False
    probed: bool = False


def _stops(one: Endpoint) -> None:
    one.signal(signal.SIGTERM)


def _hangs(one: Endpoint) -> None:
    one.signal(signal.SIGSTOP)


DEATHS: Final = (
    Death("killed (SIGKILL)", Endpoint.kill),
    Death("stopped in order (SIGTERM), then refusing", _stops),
    Death("hung (SIGSTOP), `timeout: 1s`", _hangs, hung=True),
    Death("hung, probed every 250 ms", _hangs, hung=True, probed=True),
)


async def _die(scene: Scene, death: Death) -> tuple[float, float, float, float]:
    """Once; gives (died, noticed, back, used again)."""
    died_s = time.monotonic()
    death.dies(scene.victim)
    await scene.held_off(at_all=True)
    noticed_s = time.monotonic()
    await asyncio.sleep(_DEAD_S)
    if death.hung:
        scene.victim.signal(signal.SIGCONT)
    else:
        assert scene.victim.process is not None
        await asyncio.to_thread(scene.victim.process.wait)
        scene.victim.start()
        await scene.victim.listening()
    back_s = time.monotonic()
    used_s = await scene.arrival_after(back_s)
    await scene.held_off(at_all=False)
    return died_s, noticed_s, back_s, used_s


@asynccontextmanager
async def _played(here: Path, *, probed: bool) -> AsyncIterator[Scene]:
    both = [Endpoint("legacy", number, free_port(), here / f"{number}.journal") for number in range(2)]
    (here / "flags").mkdir()
    places = [f"{LOOPBACK}:{one.port}" for one in both]
    replace(here / "routes.yaml", _ROUTES.format(*places, _PROBED if probed else _UNPROBED))
    try:
        for one in both:
            one.start()
        for one in both:
            await one.listening()
        port = free_port()
        async with (
            entered(here, port=port) as node,
            httpx.AsyncClient(trust_env=False, base_url=node.ops_url, timeout=10) as ops,
        ):
            asked = Asked()
            async with asyncio.TaskGroup() as group:
                for number in range(_READERS + _WRITERS):
                    group.create_task(_ask(asked, port, safe=number < _READERS))
                await until(lambda: len(asked.ended) > 200, within_s=30)
                try:
                    yield Scene(node, both[1], asked, ops)
                finally:
                    asked.stopped = True
    finally:
        for one in both:
            one.kill()


async def prove(times: int, deaths: Sequence[Death] = DEATHS) -> bool:
    """Whether no safe request failed where the endpoint could be told to be dead by its connections."""
    rows = []
    kept = True
    for death in deaths:
        with tempfile.TemporaryDirectory() as scratch:
            async with _played(Path(scratch), probed=death.probed) as scene:
                moments = [await _die(scene, death) for _ in range(times)]
                spans = [(died_s, used_s) for died_s, _, _, used_s in moments]
                safe = [scene.asked.between(*span, safe=True) for span in spans]
                unsafe = [scene.asked.between(*span, safe=False) for span in spans]
        rows.append(
            [
                *(death.name, f"{times}"),
                _shown([noticed_s - died_s for died_s, noticed_s, _, _ in moments]),
                _shown([used_s - back_s for _, _, back_s, used_s in moments]),
                *(_share(safe), _share(unsafe)),
            ]
        )
        kept = kept and (death.hung or not sum(failed for _, failed in safe))
    show(
        "One of two endpoints dies",
        [
            "",
            "n",
            "noticed, s: median, worst",
            "used again, s: median, worst",
            "safe requests that failed",
            "POSTs that failed",
        ],
        rows,
    )
    return kept


def _shown(spans_s: list[float]) -> str:
    return f"{statistics.median(spans_s):.2f}, {max(spans_s):.2f}"


def _share(found: list[tuple[int, int]]) -> str:
    total, failed = sum(count for count, _ in found), sum(failed for _, failed in found)
    return f"{failed} of {total:,} ({100 * failed / max(total, 1):.2f} %)"


def main() -> bool:
    """The promise: with a second endpoint, no safe request fails because one is killed or stopped."""
    return uvloop.run(prove(TIMES))


if __name__ == "__main__":
    main()
