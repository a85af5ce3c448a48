"""The kill table: processes killed and stopped, the disk full and read-only, descriptors used up, under load.

Two workers, 100 keep-alive connections that ask without pause. During each fault a rollback of an area that nobody
asks for is thrown and released, named after the fault: what the command said, and whether the journal has each of both exactly
once at the end, stands in the table.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.node import LOOPBACK, Node, descendants, free_port
from bench.tables import show
from prove.crowd import Crowd, Origin, Told, until
from prove.entered import entered
from prove.files import replace

_CONNECTIONS = 100
_DISK_BYTES = 16 << 20
_RECOVERS_WITHIN_S = 30

_ROUTES = """\
version: 1
backends:
  legacy: {{url: "http://{at}"}}
  new: {{url: "http://{at}"}}
areas:
  orders:
    routes: [{{path: "/orders/**", to: new}}]
  quiet:
    routes: [{{path: "/quiet/**", to: new}}]
otherwise: legacy
cache: off
"""


@dataclass(slots=True)
class Scene:
    """What the faults happen to."""

    running: Node
    crowd: Crowd
    state: Path
    names: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def pids(self, module: str) -> list[int]:
        """The processes that run a module of ours."""
        found = []
        for pid in descendants(self.running.process.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if module.encode() in command:
                found.append(pid)
        return found

    async def tell(self, *words: str) -> tuple[int, str]:
        """Run a command; gives its exit code and first line."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "proxy", *words, "--state", str(self.state)],
            capture_output=True,
            text=True,
            check=False,
        )
        said = (done.stdout + done.stderr).strip().splitlines()
        return done.returncode, next((line for line in said if "disk" in line), said[0] if said else "")

    async def during(self, name: str, cause: Callable[[], object], mend: Callable[[], object] | None = None) -> None:
        """Let something go wrong, throw and release a rollback meanwhile, mend it, wait until everybody is served."""
        self.crowd.told = Told()
        began_s = time.monotonic()
        cause()
        thrown = await self.tell("rollback", "--area", "quiet", "--reason", name)
        if mend is not None and asyncio.iscoroutine(mending := mend()):
            await mending
        released = await self._until_released(name)
        self.names.append(name)
        answered = self.crowd.told.answers.total()
        await until(lambda: self.crowd.told.answers.total() > answered + 10 * _CONNECTIONS, within_s=_RECOVERS_WITHIN_S)
        told = self.crowd.told
        failed = ", ".join(f"{count} × {what}" for what, count in told.failures.items()) or "0"
        self.rows.append(
            [
                *(name, f"{told.answers.total():,}", failed, f"{max(told.waits_s):.2f}"),
                *(f"exit {thrown[0]}: {thrown[1][:60]}", f"exit {released}", f"{time.monotonic() - began_s:.1f}"),
            ]
        )

    async def _until_released(self, name: str) -> int:
        async with asyncio.timeout(_RECOVERS_WITHIN_S):
            while True:
                code, said = await self.tell("release", "--area", "quiet", "--reason", name)
                if code == 0:
                    return code
                if "no such rollback" in said:
                    raise RuntimeError(f"{name}: the rollback was lost")
                await asyncio.sleep(0.1)

    def signal(self, module: str, number: signal.Signals, *, first_only: bool = False) -> None:
        """Send a signal to what runs a module."""
        for pid in self.pids(module)[: 1 if first_only else None]:
            os.kill(pid, number)


def _mount(place: Path) -> bool:
    place.mkdir()
    options = f"size={_DISK_BYTES}"
    return not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False, capture_output=True
    ).returncode


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def _starve(pid: int) -> Callable[[], object]:
    """Leave a process the descriptors that it has."""
    former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, former[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, former)


async def prove() -> bool:
    loop = asyncio.get_running_loop()
    origin = await loop.create_server(Origin, LOOPBACK, 0, backlog=1024)
    at = f"{LOOPBACK}:{origin.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        state = here / "state"
        (here / "flags").mkdir()
        replace(here / "routes.yaml", _ROUTES.format(at=at))
        mounted = _mount(state)
        try:
            return await _scenes(here, state, mounted=mounted)
        finally:
            origin.close()
            if mounted:
                _unmount(state)


async def _scenes(here: Path, state: Path, *, mounted: bool) -> bool:
    port = free_port()
    options = ("--workers", "2")
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(entered(here, port=port, options=options))
        crowd = Crowd(port, b"GET /orders/7 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        scene = Scene(running, crowd, state)
        for _ in range(_CONNECTIONS):
            crowd.join()
        await until(lambda: len(crowd.transports) == _CONNECTIONS, within_s=10)
        worker, control = "proxy.app.worker", "proxy.app.control"
        await scene.during("nothing", lambda: None)
        await scene.during("one of two workers killed", lambda: scene.signal(worker, signal.SIGKILL, first_only=True))
        await scene.during("both workers killed", lambda: scene.signal(worker, signal.SIGKILL))
        await scene.during("one of two workers stopped", lambda: scene.signal(worker, signal.SIGSTOP, first_only=True))
        await scene.during("control killed", lambda: scene.signal(control, signal.SIGKILL))
        await scene.during(
            "control stopped",
            lambda: scene.signal(control, signal.SIGSTOP),
            lambda: scene.signal(control, signal.SIGCONT),
        )
        if mounted:
            filler = state / "filler"
            await scene.during("disk full", lambda: _fill(filler), filler.unlink)
            # The directory itself: a remount is refused while the journal is open.
            await scene.during(
                "state directory read-only",
                lambda: subprocess.run(["chattr", "+i", str(state)], check=True),
                lambda: subprocess.run(["chattr", "-i", str(state)], check=True),
            )
        else:
            print("Left out: disk full, state read-only: they need the right to mount a tmpfs.")
        mends: list[Callable[[], object]] = []
        await scene.during(
            "descriptors used up",
            lambda: mends.extend(_starve(pid) for pid in scene.pids(worker)),
            lambda: [mend() for mend in mends],
        )

        async def start_again() -> None:
            scene.running = await stack.enter_async_context(entered(here, port=port, options=options))

        await scene.during(
            "supervisor killed, started again",
            lambda: os.kill(running.process.pid, signal.SIGKILL),
            start_again,
        )
        await crowd.leave()
        return await _tell(scene)


async def _tell(scene: Scene) -> bool:
    show(
        f"{_CONNECTIONS} keep-alive connections, 2 workers",
        ["fault", "answered", "failed", "slowest, s", "rollback meanwhile", "released", "seconds"],
        scene.rows,
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "proxy", "journal", "--json", "--limit", "100000", "--state", str(scene.state)],
        capture_output=True,
        text=True,
        check=True,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    written = Counter((event["action"], event["reason"]) for event in events)
    wrong = [
        f"{written[action, name]} × {action} of {name}"
        for name in scene.names
        for action in ("rollback", "release")
        if written[action, name] != 1
    ]
    print(f"journal: {len(events)} entries; each rollback and release stands there once: {', '.join(wrong) or 'yes'}")
    return not wrong


def main() -> bool:
    """Whether nothing was lost."""
    return uvloop.run(prove())


if __name__ == "__main__":
    main()
