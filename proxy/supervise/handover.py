"""A supervisor replaces itself by a new version of the program, and keeps everything that it holds (`execve`: pid, descriptors, children).

1. a trial: the new version, in a process of its own, is shown what it would get, loads all of its parts, and reads the configuration;
   whatever it can't make sense of is told, and everything stays as it was
2. signals are held back, the descriptors made to survive, and the program replaced; what comes meanwhile waits
3. the new supervisor finds its children by their pids, on the same pages, and ends control, whose successor is new too
4. once that one has posted what the files say, workers are replaced as in every rolling restart (`rolling`)

What is handed over is text, so that one version can judge another's. Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
from collections.abc import Iterable
from typing import Any, Final, Self

from proxy.supervise.assignment import Settings
from proxy.supervise.children import Handed, python_command
from proxy.supervise.mapped import misfit
from proxy.supervise.signals import HEARD

FORMAT: Final = 1
"""Of what is handed over; another one is refused."""

_log = logging.getLogger("supervisor")

_MODULE: Final = "proxy.app.resume"
_TRIAL_S: Final = 300.0  # a million accounts are read in a few seconds; but it is nice, and the cores may be busy


class CannotTakeOver(Exception):
    """This version can't go on from what another one hands over. The text says why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """All that a supervisor knows. Numbers without another word are descriptors.

    Attributes:
        sockets: by slot, the number of the socket that it serves; None: nobody shall be there.
        leaving: slots of workers that drain, and when (monotonic) they are killed.
        pages: the layout of the pages that children have mapped.
    """

    format: int = FORMAT
    pages: str
    settings: Settings
    serving: int
    lock: int
    traffic: tuple[int, ...]
    ops: int
    life: int
    life_end: int
    control: Handed
    workers: tuple[Handed, ...]
    sockets: tuple[int | None, ...]
    leaving: tuple[tuple[int, float], ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Those that must survive."""
        return (self.serving, self.lock, *self.traffic, self.ops, self.life, self.life_end)

    def encode(self) -> str:
        """As an argument."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """From an argument.

        Raises:
            CannotTakeOver: it is of a version that this one doesn't go on from.
        """
        values: dict[str, Any] = json.loads(text)
        if values.get("format") != FORMAT:
            raise CannotTakeOver(f"what is handed over has format {values.get('format')}, this version reads {FORMAT}")
        try:
            handed = cls(
                **values
                | {
                    "settings": Settings(**values["settings"]),
                    "control": Handed(**values["control"]),
                    "workers": tuple(Handed(**one) for one in values["workers"]),
                    "leaving": tuple((slot, at_s) for slot, at_s in values["leaving"]),
                    "traffic": tuple(values["traffic"]),
                    "sockets": tuple(values["sockets"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise CannotTakeOver(f"what is handed over doesn't fit this version: {error}") from error
        if why := misfit(handed.pages, handed.settings.state_dir, handed.settings.slots):
            raise CannotTakeOver(why)
        return handed


class Trial:
    """The new version, asked whether it could go on from here."""

    def __init__(self, handover: Handover, now_s: float) -> None:
        """Ask.

        Raises:
            OSError: no process could be made.
        """
        command, environment = python_command(_MODULE, handover.encode())
        self._process = subprocess.Popen(
            [*command, "trial"], env=environment, stdin=subprocess.DEVNULL, process_group=0
        )
        self._give_up_at_s = now_s + _TRIAL_S

    @property
    def pid(self) -> int:
        """Of the process that is asked."""
        return self._process.pid

    def passed(self, now_s: float) -> bool | None:
        """Whether it could; None: it hasn't answered yet. Why not, it has said itself."""
        code = self._process.poll()
        if code is None and now_s >= self._give_up_at_s:
            _log.error("the version that is installed doesn't answer within %g s", _TRIAL_S)
            self._give_up_at_s = now_s + _TRIAL_S
            self._process.kill()
        return None if code is None else code == 0

    def give_up(self) -> None:
        """Nobody wants to know any more."""
        self._process.kill()
        self._process.wait()


def become(handover: Handover) -> None:
    """Replace this program; returns only when that failed, with everything as it was.

    Raises:
        OSError: the interpreter can't be run.
    """
    command, environment = python_command(_MODULE, handover.encode())
    held = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)  # unblocked by `signals`, in the new program
    try:
        _let_survive(handover.descriptors, survive=True)
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted
    finally:
        _let_survive(handover.descriptors, survive=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def keep_to_ourselves(handover: Handover) -> None:
    """After the replacement: no child inherits a descriptor that it isn't given."""
    _let_survive(handover.descriptors, survive=False)


def _let_survive(descriptors: Iterable[int], *, survive: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, survive)
