"""From a rollback to the last request that begins at new: two workers, 200 keep-alive connections, half loaded.

A request begins at new when the origin, which is in this process, sees its first byte: what this process itself is
late by counts against the proxy. After each way to throw, nothing may begin at new once it has returned; where
nothing returns (a file is touched), the last beginning is what is measured. Then it is released, and new answers again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import uvloop

from bench.node import LOOPBACK, Node
from bench.tables import show
from prove.crowd import Crowd, Origin, until
from prove.entered import entered
from prove.files import replace, write_flag
from proxy.control.asking import NotRunning, ask
from proxy.core.layout import StateDir

_CONNECTIONS = 200
_PAUSE_S = 0.05  # 200 connections, 4 000 requests a second at most: about half of what two workers carry
_THROWS = 100
_FEWER = 15
_LATE_S = 0.15  # how long is looked for requests that begin at new after all
_TURNS = 5  # of the loop: what had begun when the throw returned lies in our sockets, and is read by then

_ROUTES = """\
version: 1
backends:
  legacy: {{url: "http://{legacy}"}}
  new: {{url: "http://{new}"}}
identity:
  trusted_from: [127.0.0.1/32]
  account: "header:X-Account-Id"
  region: "header:X-Region"
segments:
  pilots: {{accounts: pilots.txt}}
areas:
  orders:
    routes: [{{path: "/orders/**"}}]
{more}otherwise: legacy
cache: off
"""
_REQUEST = b"GET /orders/7 HTTP/1.1\r\nHost: shop.example\r\nX-Account-Id: acme\r\nX-Region: DE\r\n\r\n"

Throw = Callable[[], Awaitable[float]]
"""Throws; gives the moment from which it is measured."""


class New(Origin):
    """The new system: knows when a request last began there."""

    last_s = 0.0
    begun = 0

    def data_received(self, data: bytes) -> None:
        New.last_s = time.monotonic()
        New.begun += 1
        super().data_received(data)


class Bench:
    """One node under load, and the ways to roll it back."""

    def __init__(self, here: Path, running: Node, crowd: Crowd) -> None:
        self.here = here
        self.state = StateDir(here / "state")
        self.running = running
        self.crowd = crowd
        self.commands_s: list[float] = []

    async def measure(self, name: str, times: int, throw: Throw, *, returns: bool = True) -> list[str]:
        """A row: `times` throws in the same way."""
        self.crowd.told.failures.clear()
        self.commands_s.clear()
        last_s, after = [], 0
        for _ in range(times):
            thrown_s = await throw()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            begun = New.begun
            await asyncio.sleep(_LATE_S)
            after += New.begun - begun if returns else 0
            last_s.append(max(0.0, New.last_s - thrown_s))
            await self._release()
        last_s.sort()
        took = sorted(self.commands_s)
        failures = self.crowd.told.failures.total()
        return [
            name,
            str(times),
            f"{last_s[len(last_s) // 2] * 1000:.1f}",
            f"{last_s[-1] * 1000:.1f}",
            str(after) if returns else "-",
            str(failures),
            f"{took[len(took) // 2] * 1000:.0f}" if took else "-",
        ]

    async def _release(self) -> None:
        async with asyncio.timeout(30):
            while True:
                with suppress(NotRunning):
                    latch = (await self._ask("status", {}))["latch"]
                    if not latch["rollbacks"] and not latch["rollback_file"]:
                        break
                    # A file that was only touched is no entry yet: the next look finds it.
                    stood = [one["id"] for one in latch["rollbacks"] if one["id"] != "ROLLBACK"]
                    if stood:
                        await self._ask("release", {"id": stood[-1], "reason": "prove"})
                await asyncio.sleep(0.02)
        before = New.begun
        await until(lambda: New.begun > before + _CONNECTIONS // 4, within_s=20)
        await asyncio.sleep(random.uniform(0, 0.05))

    async def _ask(self, command: str, arguments: dict[str, object]) -> dict[str, dict[str, list[dict[str, str]]]]:
        answer: dict[str, dict[str, list[dict[str, str]]]] = await asyncio.to_thread(
            ask, self.state.control_socket, command, arguments
        )
        return answer

    def by_socket(self, **scope: str) -> Throw:
        async def throw() -> float:
            thrown_s = time.monotonic()
            await self._ask("rollback", {"scope": scope, "reason": "prove"})
            return thrown_s

        return throw

    async def by_file(self) -> float:
        thrown_s = time.monotonic()
        self.state.rollback.touch()
        return thrown_s

    async def by_latch_file(self) -> float:
        latch = json.loads(self.state.latch.read_text())
        entry = {"id": "hand", "scope": dict[str, str](), "by": "prove", "reason": "prove", "at": "-", "plan": None}
        text = json.dumps({**latch, "epoch": latch["epoch"] + 1, "entries": [entry]})
        thrown_s = time.monotonic()
        replace(self.state.latch, text)
        return thrown_s

    async def by_command(self) -> float:
        thrown_s = time.monotonic()
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "rollback", "--reason", "prove", "--state", str(self.state.root)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        code = await done.wait()
        self.commands_s.append(time.monotonic() - thrown_s)
        if code:
            self.crowd.told.failures[f"exit code {code}"] += 1
        return thrown_s

    async def with_control_killed(self) -> float:
        for pid in self._pids("proxy.app.control"):
            os.kill(pid, signal.SIGKILL)
        return await self.by_command()

    async def with_a_worker_stopped(self) -> float:
        os.kill(self._pids("proxy.app.worker")[0], signal.SIGSTOP)
        return await self.by_command()

    async def during_a_reload(self) -> float:
        replace(self.here / "pilots.txt", f"acme\naccount-{time.monotonic_ns()}\n")
        await asyncio.sleep(random.uniform(0.2, 2.0))
        return await self.by_command()

    def _pids(self, module: str) -> list[int]:
        found = []
        for pid in self.running.pids:
            with suppress(OSError):
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found


async def _node(
    rows: list[list[str]], routes: int, measure: Callable[[Bench, list[list[str]]], Awaitable[None]]
) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(kind, LOOPBACK, 0, backlog=1024) for kind in (Origin, New)]
    legacy, new = (f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}" for server in servers)
    more = "".join(f'  area-{n}:\n    routes: [{{path: "/area-{n}/{{id}}", to: legacy}}]\n' for n in range(routes))
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        (here / "flags").mkdir()
        replace(here / "routes.yaml", _ROUTES.format(legacy=legacy, new=new, more=more))
        replace(here / "pilots.txt", "acme\n")
        write_flag(here, "orders", 100)
        async with entered(here, options=("--workers", "2", "--access-log", "off")) as running:
            crowd = Crowd(int(running.url.rpartition(":")[2]), _REQUEST, pause_s=_PAUSE_S)
            for _ in range(_CONNECTIONS):
                crowd.join()
            await until(lambda: len(crowd.transports) == _CONNECTIONS, within_s=10)
            await measure(Bench(here, running, crowd), rows)
            await crowd.leave()
    for server in servers:
        server.close()


async def _small(bench: Bench, rows: list[list[str]]) -> None:
    rows.append(await bench.measure("request at the socket", _THROWS, bench.by_socket()))
    rows.append(await bench.measure("ROLLBACK touched", _THROWS, bench.by_file, returns=False))
    rows.append(await bench.measure("latch.json replaced by hand", _FEWER, bench.by_latch_file, returns=False))
    rows.append(await bench.measure("the command", _FEWER, bench.by_command))
    rows.append(await bench.measure("the command, control killed first", _FEWER, bench.with_control_killed))
    rows.append(await bench.measure("the command, a worker stopped", _FEWER // 3, bench.with_a_worker_stopped))
    for scope in ({"area": "orders"}, {"segment": "pilots"}, {"region": "DE"}, {"area": "orders", "segment": "pilots"}):
        row = await bench.measure(f"by {' and '.join(scope)}", _FEWER, bench.by_socket(**scope))
        rows.append(row)


async def _large(bench: Bench, rows: list[list[str]]) -> None:
    rows.append(await bench.measure("the command, during a reload of 10 000 routes", 5, bench.during_a_reload))


async def prove() -> None:
    rows: list[list[str]] = []
    await _node(rows, 0, _small)
    await _node(rows, 10_000, _large)
    show(
        f"{_CONNECTIONS} keep-alive connections on 2 workers: from the throw to the last request that begins at new",
        ["thrown by", "times", "median, ms", "worst, ms", "begun at new afterwards", "failed", "command, ms"],
        rows,
    )


def main() -> None:
    uvloop.run(prove())


if __name__ == "__main__":
    main()
