"""A proxy, started as its users start it, for as long as a `with` block runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

SIGNALLED: Final = 128
"""Added to a signal's number it makes the exit code, as shells have it."""

LOOPBACK: Final = "127.0.0.1"
_START_S: Final = 60.0
_STOP_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A proxy that is ready."""

    directory: Path
    url: str
    ops_url: str
    process: subprocess.Popen[bytes]

    @property
    def pids(self) -> list[int]:
        """The supervisor, control and workers."""
        return descendants(self.process.pid)


@contextlib.contextmanager
def node(
    directory: Path,
    *,
    port: int | None = None,
    access_log: str = "access.log",
    options: Sequence[str] = (),
    wrap: Sequence[str] = (),
) -> Iterator[Node]:
    """Serve the configuration in a directory (routes.yaml, flags/); state and logs go there too.

    Args:
        directory: where the configuration stands.
        port: where to listen; a free one when none is given.
        access_log: a file in the directory, or `off`.
        options: more options of `strangler serve`.
        wrap: a command to put in front, such as `taskset -c 0`.

    Raises:
        RuntimeError: the proxy ended, or was not ready in time; its output stands in `proxy.log`.
    """
    port, ops_port = port or free_port(), free_port()
    ops_url = f"http://{LOOPBACK}:{ops_port}"
    with (directory / "proxy.log").open("ab") as output:
        process = subprocess.Popen(
            [
                *(*wrap, sys.executable, "-m", "proxy", "serve", "--workers", "1"),
                *("--listen", f"{LOOPBACK}:{port}", "--ops", f"{LOOPBACK}:{ops_port}"),
                *("--routes", str(directory / "routes.yaml"), "--flags", str(directory / "flags")),
                *("--state", str(directory / "state")),
                *("--access-log", access_log if access_log == "off" else str(directory / access_log)),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await_ready(process, ops_url, directory)
        yield Node(directory=directory, url=f"http://{LOOPBACK}:{port}", ops_url=ops_url, process=process)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], ops_url: str, directory: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{ops_url}/readyz", trust_env=False).status_code == 200:
                return
        if process.poll() is not None or time.monotonic() > deadline_s:
            said = (directory / "proxy.log").read_text(errors="replace")[-2_000:]
            raise RuntimeError(f"the proxy did not get ready (exit code {process.returncode}):\n{said}")
        time.sleep(0.05)


def end_on_signals() -> None:
    """Make SIGTERM and SIGHUP end this program as Ctrl-C does, so that `with` blocks end what they began."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    raise SystemExit(SIGNALLED + number)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server((LOOPBACK, 0)) as found:
        number: int = found.getsockname()[1]
        return number


def descendants(pid: int) -> list[int]:
    """A process and everything it started, by /proc (Linux)."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """User and system time that processes have used so far, in seconds (proc(5): fields 14 and 15 of stat)."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
