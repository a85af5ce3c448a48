"""Four times more than one worker can serve: what is still served, what it takes of memory, and whether people can still act.

All processes of the proxy share the first core, so control, which health and rollbacks depend on, has to share it with a worker that could use all of
it; clients and backends have the others. The peak is what clients get who ask as soon as they are answered; then a population of many more
wants four times as much, for 15 s (`prove.flood`). Twice: with the worker's processor as the bound, and with `max_in_flight` as the bound, before a backend that takes
100 ms for each request.

On a machine that others use, what a worker gets of its core differs from minute to minute; so beside what was had stands what was had for a second
of the proxy's processor time, which doesn't. With the processor as the bound that is the figure that counts.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import uvloop

from bench.machine import load_cores, proxy_core
from bench.memory import MIB, private_bytes
from bench.node import LOOPBACK, Node, cpu_s
from bench.tables import show
from prove.crowd import Origin
from prove.entered import entered
from prove.files import replace
from prove.flood import Had, Population, median
from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from proxy.control.asking import ask
from proxy.core.footprint import footprint
from proxy.core.layout import StateDir

_TIMES = 4
_PEAK_CLIENTS = 64
_CLIENTS = 2000
_PEAK_S = 5.0
_FLOOD_S = 15.0
_FIRST_S = 4.0  # in which everybody connects
_ASKS = 100
_BETWEEN_ACTS_S = 0.05
_GOODPUT = 0.8
_ACTS_WITHIN_MS = 100.0
_THINKS_S = 0.1

_ROUTES = """\
version: 1
backends:
  legacy: {{url: "http://{url}"{bound}}}
  new: {{url: "http://{url}"{bound}}}
identity: {{account: "cookie:acct"}}
limits: {{connections: 4000}}
areas:
  orders: {{routes: [{{path: "/orders/**"}}]}}
  quiet: {{routes: [{{path: "/quiet/**", to: new}}]}}
otherwise: legacy
cache: off
"""


def _request(number: int) -> bytes:
    return b"GET /orders/7 HTTP/1.1\r\nHost: shop.example\r\nCookie: acct=account-%d\r\n\r\n" % number


class Thoughtful(Origin):
    """An origin that takes its time."""

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(_THINKS_S, self._answer, data)

    def _answer(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            super().data_received(data)


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers with 200: a second, and a second of the proxy's processor time."""

    a_second: float
    a_cpu_second: float


@dataclass(frozen=True, slots=True)
class Acts:
    """How long people wait for what they do meanwhile, each in milliseconds."""

    health: list[float]
    rollback: list[float]


async def _timed(act: Callable[[], Awaitable[object]]) -> float:
    began_s = time.monotonic()
    await act()
    return (time.monotonic() - began_s) * 1000


async def _acts(running: Node) -> Acts:
    """Ask for health, roll back and release, again and again."""
    socket = StateDir(running.directory / "state").control_socket
    health, rollback = [], []
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for _ in range(_ASKS):
            health.append(await _timed(partial(client.get, f"{running.ops_url}/readyz")))
            thrown = {"scope": {"area": "quiet"}, "reason": "prove"}
            rollback.append(await _timed(partial(asyncio.to_thread, ask, socket, "rollback", thrown)))
            latch = (await asyncio.to_thread(ask, socket, "status", {}))["latch"]
            lifted = {"id": latch["rollbacks"][-1]["id"], "reason": "prove"}
            await asyncio.to_thread(ask, socket, "release", lifted)
            await asyncio.sleep(_BETWEEN_ACTS_S)
    return Acts(health, rollback)


async def _flooded(name: str, bound: str, origin: type[Origin]) -> tuple[list[str], bool]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(origin, LOOPBACK, 0, backlog=4096)
    url = f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        (here / "flags").mkdir()
        replace(here / "routes.yaml", _ROUTES.format(url=url, bound=bound))
        replace(here / "flags" / "orders.flagd.yaml", _FLAG)
        plan = compile_files(read_files(here / "routes.yaml", here / "flags")).plan
        assert plan is not None
        async with entered(here, wrap=proxy_core()) as running:
            port = int(running.url.rpartition(":")[2])
            worker = _worker(running)
            calm = await _acts(running)
            used: list[float] = []
            few = Population(port, _request, clients=_PEAK_CLIENTS, rate=None)
            had = await few.run(_PEAK_S, first_s=_FIRST_S, counted=lambda: used.append(cpu_s(running.pids)))
            used.append(cpu_s(running.pids))
            few.leave()
            peak = Rate(had.answers[200] / _PEAK_S, had.answers[200] / (used[1] - used[0]))
            before = private_bytes([worker])
            many = Population(port, _request, clients=_CLIENTS, rate=_TIMES * peak.a_second)
            acting = loop.create_task(_after(_FIRST_S, running))
            had = await many.run(_FLOOD_S, first_s=_FIRST_S, counted=lambda: used.append(cpu_s(running.pids)))
            good = Rate(had.answers[200] / _FLOOD_S, had.answers[200] / (cpu_s(running.pids) - used[2]))
            grown = private_bytes([worker]) - before
            acts = await acting
            many.leave()
            most = footprint(plan).total_bytes
            assert most is not None
            server.close()
    return _row(name, peak, good, had, (grown, most), (calm, acts), by_cpu=not bound)


def _worker(running: Node) -> int:
    return next(one for one in running.pids if b"proxy.app.worker" in Path(f"/proc/{one}/cmdline").read_bytes())


async def _after(seconds: float, running: Node) -> Acts:
    await asyncio.sleep(seconds)
    return await _acts(running)


def _row(
    name: str, peak: Rate, good: Rate, had: Had, memory: tuple[int, int], acts: tuple[Acts, Acts], *, by_cpu: bool
) -> tuple[list[str], bool]:
    grown, most = memory
    calm, meanwhile = acts
    told = had.answers.total() - had.answers[200]
    health, rollback = median(meanwhile.health), median(meanwhile.rollback)
    by_time, by_work = good.a_second / peak.a_second, good.a_cpu_second / peak.a_cpu_second
    kept = (by_work if by_cpu else by_time) >= _GOODPUT and grown < most and max(health, rollback) <= _ACTS_WITHIN_MS
    return [
        name,
        f"{peak.a_second:,.0f}",
        f"{had.wanted / _FLOOD_S:,.0f}",
        f"{good.a_second:,.0f} ({by_time:.0%})",
        f"{by_work:.0%}",
        f"{told / _FLOOD_S:,.0f}",
        f"{(had.given_up + had.cut) / _FLOOD_S:,.0f}",
        f"{median(had.waits_s) * 1000:.0f}",
        f"{grown / MIB:.0f} of {most / MIB:,.0f}",
        f"{health:.1f} ({median(calm.health):.1f})",
        f"{rollback:.1f} ({median(calm.rollback):.1f})",
        "" if kept else "FAILED",
    ], kept


_FLAG = """\
flags:
  orders:
    state: ENABLED
    variants: {new: new, legacy: legacy}
    defaultVariant: legacy
    targeting:
      if:
        - fractional: [[new, 50], [legacy, 50]]
"""


async def prove() -> bool:
    gc.collect()
    gc.freeze()
    rows, kept = [], True
    for name, bound, origin in (
        ("the worker's processor", "", Origin),
        ("max_in_flight: 2 x 25, 100 ms", ", max_in_flight: 25", Thoughtful),
    ):
        row, held = await _flooded(name, bound, origin)
        rows.append(row)
        kept = kept and held
    show(
        f"{_TIMES} times the peak, {_CLIENTS:,} clients, {_FLOOD_S:.0f} s; medians of {_ASKS} (calm in brackets)",
        [
            *("bound by", "peak/s", "wanted/s", "had/s", "for a CPU second", "503/s", "given up/s", "wait, ms"),
            *("memory, MiB", "health, ms", "rollback, ms", ""),
        ],
        rows,
    )
    return kept


def main() -> bool:
    cores = load_cores()[-1]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    return uvloop.run(prove())


if __name__ == "__main__":
    main()
