"""One proxy on one state directory, and a successor that waits until its predecessor is really gone.

Two files are locked. `serving.lock` belongs to the supervisor alone and is given up when it begins to drain, or dies: whoever
finds it taken meets a proxy that serves, and gives up at once. `lock` is inherited by all that the supervisor
starts, and is free only when the last of them has ended: whoever has the first waits for it, since an
orphaned worker that still drains writes into the same state. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.core.layout import StateDir

_LOOK_EVERY_S: Final = 0.05


class StateTaken(Exception):
    """Another proxy holds the state directory. The text names it."""


class StateLock:
    """Both locks of a state directory.

    Attributes:
        serving: the descriptor that says that we serve; None: given up.
        inherited: the descriptor that children must be given.
    """

    def __init__(self, serving: int, inherited: int) -> None:
        self.serving: int | None = serving
        self.inherited = inherited

    def stop_serving(self) -> None:
        """Let a successor take its place in the queue."""
        if self.serving is not None:
            os.close(self.serving)
            self.serving = None

    def release(self) -> None:
        """Give up both; a child that still runs keeps the inherited one."""
        self.stop_serving()
        os.close(self.inherited)


def take_state(
    state: StateDir,
    wait_s: float,
    *,
    on_wait: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> StateLock:
    """Make the state directory if it is missing, and take it.

    Args:
        state: the directory.
        wait_s: how long to wait for a predecessor that drains.
        on_wait: told once who is being waited for.
        clock: monotonic seconds.
        pause: lets seconds pass.

    Raises:
        StateTaken: a proxy serves there, or its drain took longer than `wait_s`.
        OSError: the directory can't be made or written.
    """
    state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as undo:
        serving = _open(state.serving_lock)
        undo.callback(os.close, serving)
        if not _try(serving):
            raise StateTaken(f"{state.root} is in use by {_holder(serving)}; one state directory serves one proxy")
        inherited = _open(state.lock)
        undo.callback(os.close, inherited)
        give_up_at_s = clock() + wait_s
        told = False
        while not _try(inherited):
            if not told:
                on_wait(_holder(inherited))
                told = True
            if clock() >= give_up_at_s:
                raise StateTaken(
                    f"{state.root} is still held by {_holder(inherited)}, whose drain took longer than {wait_s:g} s"
                )
            pause(_LOOK_EVERY_S)
        undo.pop_all()
    for descriptor in (serving, inherited):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}".encode(), 0)
    return StateLock(serving, inherited)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 64, 0).decode("ascii", "replace") or "another process"
