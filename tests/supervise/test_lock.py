"""One proxy on one state directory; a successor waits out a drain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.layout import StateDir
from proxy.supervise.lock import StateTaken, take_state


def test_a_second_proxy_is_refused_and_told_who_holds_the_state(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    lock = take_state(state, 0)
    with pytest.raises(StateTaken, match=rf"in use by pid {os.getpid()}"):
        take_state(state, 0)
    lock.release()
    take_state(state, 0).release()


def test_the_state_directory_is_made_private(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "deep" / "state")
    take_state(state, 0).release()
    assert state.root.stat().st_mode & 0o777 == 0o700


def holder(lock_fd: int) -> subprocess.Popen[bytes]:
    """A process that inherits the lock and keeps it until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[lock_fd]
    )


def end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    child.wait()


def test_a_successor_waits_until_the_last_child_of_a_dead_proxy_has_ended(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    first = take_state(state, 0)
    child = holder(first.inherited)
    first.release()  # as the death of the supervisor does
    waited_for: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            end(child)

    second = take_state(state, 3600, on_wait=waited_for.append, pause=pause)
    assert waited_for == [f"pid {os.getpid()}"]
    assert len(pauses) >= 3
    second.release()


def test_a_drain_that_takes_too_long_is_given_up_on(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    first = take_state(state, 0)
    child = holder(first.inherited)
    first.release()
    times = iter([0.0, 1.0, 11.0])
    with pytest.raises(StateTaken, match=r"still held by pid \d+, whose drain took longer than 10 s"):
        take_state(state, 10, clock=lambda: next(times), pause=lambda _: None)
    # Whoever gave up holds nothing back.
    end(child)
    take_state(state, 0).release()


def test_a_proxy_that_drains_lets_its_successor_queue(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    first = take_state(state, 0)
    first.stop_serving()
    times = iter([0.0, 100.0])
    with pytest.raises(StateTaken, match="still held"):
        take_state(state, 10, clock=lambda: next(times), pause=lambda _: None)
    first.release()
