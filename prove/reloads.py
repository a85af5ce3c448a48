"""200 keep-alive connections under load, 100 reloads, every fifth one broken; then control is killed, then the worker.

Each configuration rewrites the path to its own number and sends the same number in a header: an answer in which the
two differ would be a mixture of two generations.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TypeAlias

import httpx
import uvloop

from bench.node import LOOPBACK, Node
from bench.tables import show
from prove.crowd import Crowd, Origin, Told, until
from prove.entered import entered
from prove.files import replace

_CONNECTIONS = 200
_RELOADS = 100
_BROKEN_EVERY = 5

_Row: TypeAlias = tuple[list[str], bool]  # the cells, and whether what must be kept was

_ROUTES = """\
version: 1
backends:
  legacy: {{url: "http://{at}"}}
  new: {{url: "http://{at}", headers: {{set: {{X-Config: "{number}"}}}}}}
areas:
  orders:
    routes: [{{path: "/orders/**", to: new, rewrite: {{new: "/{number}/**"}}}}]
otherwise: legacy
cache: off
"""


async def prove() -> bool:
    loop = asyncio.get_running_loop()
    origin = await loop.create_server(Origin, LOOPBACK, 0, backlog=1024)
    at = f"{LOOPBACK}:{origin.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        (here / "flags").mkdir()
        replace(here / "routes.yaml", _ROUTES.format(at=at, number=0))
        async with entered(here) as running:
            port = int(running.url.rpartition(":")[2])
            crowd = Crowd(port, b"GET /orders/7 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            for _ in range(_CONNECTIONS):
                crowd.join()
            await until(lambda: len(crowd.transports) == _CONNECTIONS, within_s=10)
            rows = [await _reloads(here, at, running, crowd)]
            rows.append(await _kill("control killed", "proxy.app.control", running, crowd))
            rows.append(await _kill("worker killed", "proxy.app.worker", running, crowd, may_fail=_CONNECTIONS))
            await crowd.leave()
    origin.close()
    show(
        f"{_CONNECTIONS} keep-alive connections, always asking",
        ["", "requests", "failed", "mixed", "slowest, ms", "99.9 %, ms", "seconds", ""],
        [row for row, _ in rows],
    )
    return all(kept for _, kept in rows)


async def _reloads(here: Path, at: str, running: Node, crowd: Crowd) -> _Row:
    crowd.told = Told()
    began_s = time.monotonic()
    async with httpx.AsyncClient(trust_env=False) as ops:
        for number in range(1, _RELOADS + 1):
            text = _ROUTES.format(at=at, number=number)
            if number % _BROKEN_EVERY == 0:
                replace(here / "routes.yaml", text.replace("areas:", "aeras:"))
                async with asyncio.timeout(20):
                    while "aeras" not in (await ops.get(f"{running.ops_url}/readyz")).text:
                        await asyncio.sleep(0.05)
            else:
                replace(here / "routes.yaml", text)
                expected = f"/{number}/7 {number}".encode()
                await until(lambda: expected in crowd.told.answers, within_s=20)  # noqa: B023  awaited here
    return _row(f"{_RELOADS} reloads, {_RELOADS // _BROKEN_EVERY} of them broken", crowd.told, began_s)


async def _kill(name: str, module: str, running: Node, crowd: Crowd, may_fail: int = 0) -> _Row:
    crowd.told = Told()
    began_s = time.monotonic()
    before = set(_pids_of(module, running))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: bool(set(_pids_of(module, running)) - before), within_s=20)
    answered = crowd.told.answers.total()
    await until(lambda: crowd.told.answers.total() > answered + 5 * _CONNECTIONS, within_s=20)
    return _row(name, crowd.told, began_s, may_fail)


def _pids_of(module: str, running: Node) -> list[int]:
    found = []
    for pid in running.pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if module.encode() in command:
            found.append(pid)
    return found


def _row(name: str, told: Told, began_s: float, may_fail: int = 0) -> _Row:
    mixed = sum(count for body, count in told.answers.items() if not _is_whole(body))
    waits_ms = sorted(wait * 1_000 for wait in told.waits_s)
    failed = told.failures.total()
    why = f" ({', '.join(f'{count} × {what}' for what, count in told.failures.items())})" if failed else ""
    kept = failed <= may_fail and not mixed
    cells = [
        name,
        f"{told.answers.total() + failed:,}",
        f"{failed:,}{why}",
        str(mixed),
        f"{waits_ms[-1]:.1f}",
        f"{waits_ms[len(waits_ms) * 999 // 1000]:.1f}",
        f"{time.monotonic() - began_s:.1f}",
        "ok" if kept else "FAILED",
    ]
    return cells, kept


def _is_whole(body: bytes) -> bool:
    target, _, number = body.partition(b" ")
    return target == b"/%b/7" % number


def main() -> bool:
    """Whether no request failed but those that a killed worker held, and none was a mixture."""
    return uvloop.run(prove())


if __name__ == "__main__":
    main()
