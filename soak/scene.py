"""Everything a soak happens to: four endpoints in processes of their own, and a whole `strangler serve` in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import trustme

from bench.node import LOOPBACK, free_port
from bench.peers.strangler import flag, replace
from soak.backend import ADDRESSES
from soak.clients import PILOTS, SERVER_NAME
from soak.configuration import FIRST, NAME, ROUTES, TLS, WORKERS
from soak.nameserver import Nameserver

_PATIENCE_S: Final = 60.0


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
        encrypted: clients are met over TLS.
        commands: what was issued: (action, what no other has, exit code).
        dns: the name server that the proxy asks.
        tls: how clients meet it; None: in plain text.
    """

    directory: Path
    encrypted: bool = False
    port: int = field(default_factory=free_port)
    ops_port: int = field(default_factory=free_port)
    endpoints: list[Endpoint] = field(default_factory=list)
    commands: list[tuple[str, str, int]] = field(default_factory=list)
    dns: Nameserver = field(default_factory=Nameserver)
    tls: ssl.SSLContext | None = None
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
        (self.directory / "secret").write_text(secrets.token_hex(32) + "\n")
        self.dns.records[NAME] = [ADDRESSES[0]]
        routes = ROUTES.format(*(one.port for one in self.endpoints), self.dns.address)
        (self.directory / "routes.yaml").write_text(routes + (self._certify() if self.encrypted else ""))
        for area, share_bp in FIRST.shares_bp.items():
            self.write_flag(area, share_bp // 100)
        self._serve()
        self._client = httpx.AsyncClient(trust_env=False, base_url=f"http://{LOOPBACK}:{self.ops_port}", timeout=5)
        for one in self.endpoints:
            await one.listening()
        await self.settled()

    def _certify(self) -> str:
        """Make a certificate, and believe it; gives what routes.yaml says of it."""
        authority = trustme.CA()
        certificate = authority.issue_cert(SERVER_NAME)
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        (self.directory / "shop.pem").write_bytes(chain)
        (self.directory / "shop.key").write_bytes(certificate.private_key_pem.bytes())
        self.tls = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        return TLS

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

    async def restart(self) -> int:
        """Stop the proxy as a service manager does, and start it again; gives the exit code."""
        self.process.terminate()
        code = await asyncio.to_thread(self.process.wait, _PATIENCE_S)
        self._serve()
        return code

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
            self.dns.close()

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.directory / "state"

    def write_flag(self, area: str, percent: int) -> None:
        """Replace a flag's file, as an editor does."""
        replace(self.directory / "flags" / f"{area}.flagd.yaml", flag(area, percent))

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
        return [pid for _, pid in await self.workers_by_slot()]

    async def workers_by_slot(self) -> list[tuple[int, int]]:
        """Slot and pid of those that serve."""
        workers = (await self.readyz()).get("workers", [])
        return [(worker["slot"], worker["pid"]) for worker in workers if worker.get("generation")]

    async def settled(self) -> None:
        """Wait until every worker serves what is posted and obeys the latest latch.

        Raises:
            TimeoutError: that doesn't come.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while not _agree(await self.metrics()) or len(await self.workers()) != WORKERS:
                assert self.process.poll() is None, (self.directory / "proxy.log").read_text()[-3000:]
                await asyncio.sleep(0.05)

    async def sound(self) -> None:
        """Wait until every endpoint that is probed is healthy.

        Raises:
            TimeoutError: that doesn't come.
        """
        await self.until(
            lambda metrics: all(
                value for name, value in metrics.items() if name.startswith("strangler_endpoint_healthy{")
            )
        )

    async def until(self, enough: Callable[[Mapping[str, float]], bool]) -> None:
        """Wait until metrics are as wanted, and there.

        Raises:
            TimeoutError: that doesn't come.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while not (metrics := await self.metrics()) or not enough(metrics):
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
        code, _ = await self._run(action, *words, "--reason", reason)
        self.commands.append((action, reason, code))
        return code

    async def asked(self, *words: str) -> tuple[int, Any]:
        """Run a command with `--json`; gives its exit code and what it said, None where that is nothing."""
        code, said = await self._run(*words, "--json")
        return code, json.loads(said) if said else None

    async def reload(self) -> int:
        """`strangler reload`; gives its exit code."""
        code, _ = await self._run("reload")
        return code

    async def _run(self, *words: str) -> tuple[int, bytes]:
        with (self.directory / "commands.log").open("ab") as output:
            done = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proxy", *words, "--state", str(self.state)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
            )
            said, _ = await done.communicate()
            output.write(said)
            return done.returncode or 0, said


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
