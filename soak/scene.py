"""Everything a soak happens to: four endpoints in processes of their own, and a whole `strangler serve` in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from bench.node import LOOPBACK, free_port
from soak.clients import PILOTS
from soak.expected import Situation

WORKERS: Final = 2
BACKEND_TIMEOUT_S: Final = 4.0
DRAIN_S: Final = 2.0
"""In which a rollback ends WebSockets and event streams."""
_PATIENCE_S: Final = 60.0

_ROUTES: Final = """\
version: 1
backends:
  legacy: {{url: ["http://127.0.0.1:{0}", "http://127.0.0.1:{1}"], timeout: 4s, connect: 1s, endpoints: {{slow_start: 1s}}, breaker: {{open: 250ms, open_longest: 500ms}}}}
  new: {{url: ["http://127.0.0.1:{2}", "http://127.0.0.1:{3}"], timeout: 4s, connect: 1s, endpoints: {{slow_start: 1s}}, breaker: {{open: 250ms, open_longest: 500ms}}}}
identity:
  trusted_from: [127.0.0.1/32]
  account: ["header:X-Account-Id"]
segments:
  pilots: {{accounts: pilots.txt}}
areas:
  orders:
    routes: [{{path: "/orders/**"}}]
  checkout:
    routes: [{{path: "/checkout/**"}}]
  help:
    routes: [{{path: "/help/**", to: new}}]
otherwise: legacy
rollback_drain: 2s
cache: off
"""

_FLAG: Final = """\
flags:
  {key}:
    state: ENABLED
    variants: {{new: new, legacy: legacy}}
    defaultVariant: legacy
    targeting:
      if:
        - {{in: [pilots, {{var: segments}}]}}
        - new
        - fractional: [[new, {new}], [legacy, {legacy}]]
"""

FIRST: Final = Situation(
    shares_bp={"orders": 5000, "checkout": 2500}, fixed={"help": "new", "elsewhere": "legacy"}, pilots=PILOTS
)


@dataclass(slots=True)
class Endpoint:
    """One endpoint's process."""

    backend: str
    number: int
    port: int
    journal: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, on its own port."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "soak.backend", self.backend, str(self.number), str(self.port), str(self.journal)]
        )

    async def listening(self) -> None:
        """Wait until it takes connections."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class Scene:
    """All processes. `start`, use, `stop`.

    Attributes:
        directory: configuration, state, journals, logs.
        port: of the proxy.
        commands: what was issued: (action, reason, exit code).
    """

    directory: Path
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)
    endpoints: list[Endpoint] = field(default_factory=list)
    commands: list[tuple[str, str, int]] = field(default_factory=list)
    process: subprocess.Popen[bytes] = field(init=False)
    _client: httpx.AsyncClient = field(init=False)

    async def start(self) -> None:
        """Everything serves when it comes back."""
        for backend in ("legacy", "new"):
            for number in range(2):
                journal = self.directory / f"{backend}-{number}.journal"
                journal.touch()
                self.endpoints.append(Endpoint(backend, number, free_port(), journal))
        for one in self.endpoints:
            one.start()
        (self.directory / "flags").mkdir()
        (self.directory / "pilots.txt").write_text("\n".join(sorted(PILOTS)) + "\n")
        (self.directory / "routes.yaml").write_text(_ROUTES.format(*(one.port for one in self.endpoints)))
        for area, share_bp in FIRST.shares_bp.items():
            self.write_flag(area, share_bp // 100)
        self._serve()
        self._client = httpx.AsyncClient(trust_env=False, base_url=f"http://{LOOPBACK}:{self.ops_port}", timeout=5)
        for one in self.endpoints:
            await one.listening()
        await self.settled()

    def _serve(self) -> None:
        with (self.directory / "proxy.log").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "proxy", "serve", "--workers", str(WORKERS), "--drain", "10"),
                    *("--listen", f"{LOOPBACK}:{self.port}", "--ops", f"{LOOPBACK}:{self.ops_port}"),
                    *("--routes", str(self.directory / "routes.yaml"), "--flags", str(self.directory / "flags")),
                    *("--state", str(self.state), "--access-log", str(self.directory / "access.log")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    async def stop(self) -> int:
        """The proxy's exit code."""
        await self._client.aclose()
        self.process.terminate()
        try:
            return await asyncio.to_thread(self.process.wait, 30)
        finally:
            self.process.kill()
            for one in self.endpoints:
                one.kill()

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.directory / "state"

    def write_flag(self, area: str, percent: int) -> None:
        """Replace a flag's file, as an editor does."""
        path = self.directory / "flags" / f"{area}.flagd.yaml"
        fresh = path.with_suffix(".fresh")
        fresh.write_text(_FLAG.format(key=area, new=percent, legacy=100 - percent))
        fresh.replace(path)

    # -- what it says

    async def readyz(self) -> dict[str, Any]:
        """Its body; empty while control is away."""
        try:
            body: dict[str, Any] = (await self._client.get("/readyz")).json()
        except (httpx.TransportError, ValueError):
            return {}
        return body

    async def metrics(self) -> dict[str, float]:
        """Every sample; empty while control is away."""
        try:
            text = (await self._client.get("/metrics")).text
        except httpx.TransportError:
            return {}
        return {
            name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{[^\n]*\})?) (\S+)$", text, re.MULTILINE)
        }

    async def workers(self) -> list[int]:
        """The pids of those that serve."""
        return [worker["pid"] for worker in (await self.readyz()).get("workers", []) if worker.get("generation")]

    async def settled(self) -> None:
        """Wait until every worker serves what is posted and obeys the latest latch.

        Raises:
            TimeoutError: that doesn't come.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while not _agree(await self.metrics()) or len(await self.workers()) != WORKERS:
                assert self.process.poll() is None, (self.directory / "proxy.log").read_text()[-3000:]
                await asyncio.sleep(0.05)

    def control_pid(self) -> int:
        """The control process; 0 while there is none."""
        for child in _children(self.process.pid):
            if b"proxy.app.control" in _command(child):
                return child
        return 0

    # -- what one does to it

    async def command(self, action: str, *words: str, reason: str) -> int:
        """Run a command that is journaled under a reason of its own; gives its exit code."""
        code = await self._run(action, *words, "--reason", reason)
        self.commands.append((action, reason, code))
        return code

    async def reload(self) -> int:
        """`strangler reload`; gives its exit code."""
        return await self._run("reload")

    async def _run(self, *words: str) -> int:
        with (self.directory / "commands.log").open("ab") as output:
            done = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proxy", *words, "--state", str(self.state)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            return await done.wait()


def _agree(metrics: dict[str, float]) -> bool:
    def of(name: str) -> set[float]:
        return {value for sample, value in metrics.items() if sample.startswith(f"{name}{{")}

    return (
        bool(metrics)
        and of("strangler_generation") == {metrics.get("strangler_generation_posted")}
        and of("strangler_latch_epoch") == {metrics.get("strangler_latch_epoch_latest")}
    )


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def now_s() -> float:
    """The clock of all stories."""
    return time.monotonic()
