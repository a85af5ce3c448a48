"""A server that isn't ours, for as long as a `with` block runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.node import LOOPBACK, descendants

_START_S: Final = 20.0
_STOP_S: Final = 5.0


@contextlib.contextmanager
def server(
    command: Sequence[str], directory: Path, port: int, *, environment: Mapping[str, str] | None = None
) -> Iterator[list[int]]:
    """Run a server until the block ends; gives its processes' ids once it accepts connections.

    Args:
        command: with its wrapper.
        directory: where it runs; what it says goes to `said.log` there.
        port: where it will listen.
        environment: what is added to ours.

    Raises:
        RuntimeError: it ended, or didn't listen in time; with what it said.
    """
    with (directory / "said.log").open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + _START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline_s:
                told = (directory / "said.log").read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"{command} did not start:\n{told}")
            time.sleep(0.05)
        yield descendants(process.pid)
    finally:
        _end(process)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        # Servers that drain wait for connections which a benchmark that failed has left open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
