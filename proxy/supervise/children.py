"""A child process as the supervisor sees it: started, watched, started again. Standard library only."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import proxy
from proxy.supervise.notify import VARIABLES

GENTLY: Final = "gently"
AT_ONCE: Final = "at-once"

_START: Final = "proxy.app.start"
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_HEALTHY_AFTER_S: Final = 10.0

# Links are left as they are: the one to the version in use may lead to another one tomorrow.
_SOURCE: Final = str(Path(proxy.__file__).absolute().parent.parent)


def python_command(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """How a module of ours is run: the command and the environment.

    `-P` keeps the working directory off the import path: somebody's own `proxy/` there must not become us. The
    place this very code was loaded from is given instead, which makes a checkout run without being installed.
    """
    inherited = os.environ.get("PYTHONPATH")
    if not inherited or inherited.split(os.pathsep)[0] == _SOURCE:  # the latter: we were started by ourselves
        path = inherited or _SOURCE
    else:
        path = f"{_SOURCE}{os.pathsep}{inherited}"
    return [sys.executable, "-P", "-m", module, *arguments], {**os.environ, "PYTHONPATH": path}


@dataclasses.dataclass(slots=True)
class Backoff:
    """How long to wait before a child that ended is started again: at once, then doubling to 5 s."""

    failures: int = 0

    def after(self, lived_s: float) -> float:
        """Seconds to wait, given how long the last one lived; 10 s are a good life and forgive the past."""
        if lived_s >= _HEALTHY_AFTER_S:
            self.failures = 0
        pause = 0.0 if self.failures == 0 else min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (self.failures - 1))
        self.failures = min(self.failures + 1, 16)
        return pause


@dataclasses.dataclass(slots=True)
class Stillness:
    """Counts the supervisor's ticks in which a heartbeat did not move."""

    beats: int = -1
    ticks: int = 0

    def tick(self, beats: int) -> int:
        """Look once more; returns for how many ticks nothing has moved."""
        if beats != self.beats:
            self.beats = beats
            self.ticks = 0
        else:
            self.ticks += 1
        return self.ticks


def reap_orphans(ours: Collection[int]) -> None:
    """Bury those whose parents ended before them: the first process of a container inherits them, and nobody else can.

    Args:
        ours: pids of children of our own, whose ends somebody else is waiting to hear of.
    """
    if os.getpid() != 1:
        return
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in ours:
            os.waitpid(ended.si_pid, 0)


class Process(Protocol):
    """What a place needs to know of who fills it."""

    @property
    def pid(self) -> int:
        """Its pid."""
        ...

    def poll(self) -> int | None:
        """The exit code (negative: a signal); None while it runs."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        ...


class Adopted:
    """A child of ours that a former version of the program started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code (negative: a signal); None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A place as one supervisor hands it to the next; pid 0: nobody fills it."""

    pid: int
    starts: int
    started_at_s: float
    wanted: bool


class Child:
    """One place in the process group, and whoever fills it at the moment."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.starts = 0
        self.due_at_s = 0.0  # not before
        self.wanted = True
        self._module = module
        self._environment = dict(environment or {})
        self._process: Process | None = None
        self._started_at_s = 0.0
        self._backoff = Backoff()

    @property
    def pid(self) -> int:
        """0 when nobody fills the place."""
        return 0 if self._process is None else self._process.pid

    def handed(self) -> Handed:
        """As it is handed to another version of the program."""
        return Handed(pid=self.pid, starts=self.starts, started_at_s=self._started_at_s, wanted=self.wanted)

    def adopt(self, handed: Handed) -> None:
        """Go on from where another version of the program was."""
        self.starts = handed.starts
        self.wanted = handed.wanted
        self._started_at_s = handed.started_at_s
        self._process = Adopted(handed.pid) if handed.pid else None

    def start(self, argument: str, descriptors: Sequence[int], now_s: float, *, gently: bool) -> None:
        """Fill the place.

        Args:
            argument: for its module.
            descriptors: that it inherits.
            now_s: monotonic.
            gently: it isn't missed yet, so what serves meanwhile goes before.

        Raises:
            OSError: no process could be made.
        """
        command, environment = python_command(_START, GENTLY if gently else AT_ONCE, self._module, argument)
        self._process = subprocess.Popen(
            command,
            pass_fds=tuple(descriptors),
            env={name: value for name, value in environment.items() if name not in VARIABLES} | self._environment,
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C in a terminal is for the supervisor, who ends its children in order
        )
        self._started_at_s = now_s
        self.starts += 1

    def reap(self, now_s: float) -> int | None:
        """The exit code (negative: a signal) when the child has ended since the last look, else None."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        self.due_at_s = now_s + self._backoff.after(now_s - self._started_at_s)
        return code

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, if anybody is there."""
        if self._process is not None:
            self._process.send_signal(number)
