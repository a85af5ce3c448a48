"""The proxy as the first process of a container: nobody else buries orphans there, and signals without a handler don't arrive."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.node import Config, Node, backends
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not (all(map(shutil.which, ("unshare", "nsenter", "flock")))),
    reason="needs Linux, root, and unshare, nsenter, flock (util-linux)",
)

_CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "proxy")


class Contained(Node):
    """A proxy with a number of processes of its own; signals go to the first of them."""

    @property
    def first(self) -> int:
        """Its pid as seen from outside."""
        return int(until(lambda: _children(self.process.pid), "the first process")[0])

    def inside(self, script: str) -> None:
        subprocess.run(["nsenter", "--target", str(self.first), "--pid", "--mount", "sh", "-c", script], check=True)


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []  # it has ended


def _orphans(first: int) -> list[int]:
    return [pid for pid in _children(first) if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[Contained]:
    probe = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs the right to make namespaces (CAP_SYS_ADMIN)")
    with backends() as (legacy, new):
        config = Config(tmp_path / "config", legacy.url, new.url)
        running = Contained(config, tmp_path / "state", "--drain", "10", command=_CONTAINER)
        try:
            yield running
        finally:
            for pid in _children(running.process.pid):
                os.kill(pid, signal.SIGKILL)
            running.end(signal.SIGKILL)


def test_the_first_process_buries_orphans_and_still_hears_of_its_own(contained: Contained) -> None:
    contained.wait_ready()
    first = contained.first
    contained.inside("sleep 1000 & sleep 1001 &")
    orphans = until(lambda: len(found := _orphans(first)) == 2 and found, "two orphans") or []
    own = [pid for pid in _children(first) if pid not in orphans]
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), "no zombie is left")
    for pid in own:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(now := _children(first)) == len(own) and not {*now} & {*own}, "control and worker are replaced")
    until(lambda: (contained.readyz() or {"ready": False})["ready"], "ready again")
    assert httpx.get(f"{contained.url}/anything", trust_env=False).text == "legacy"


def test_the_first_process_ends_in_order_when_it_is_told_to(contained: Contained) -> None:
    contained.wait_ready()
    os.kill(contained.first, signal.SIGTERM)
    assert contained.process.wait(20) == 0


def test_the_first_process_can_be_ended_while_it_waits_for_a_predecessor(contained: Contained) -> None:
    contained.wait_ready()
    lock = contained.state / "lock"
    holder = subprocess.Popen(["flock", "--no-fork", str(lock), "sleep", "1000"])
    try:
        os.kill(contained.first, signal.SIGTERM)
        assert contained.process.wait(20) == 0
        waiting = Contained(contained.config, contained.state, command=_CONTAINER)
        until(lambda: any("waiting for" in line for line in waiting.messages), "it waits")
        os.kill(waiting.first, signal.SIGTERM)
        assert waiting.process.wait(20) == 128 + signal.SIGTERM
    finally:
        holder.kill()
        holder.wait(10)
