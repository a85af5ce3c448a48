"""Waiting until every worker obeys an epoch of the latch, or has ended."""

from __future__ import annotations

import os
import time
from typing import Final

import msgspec

from proxy.control.plans.publish import Publisher, WorkerReport

WAIT_S: Final = 2.0
"""The longest that a rollback waits for the workers: a stopped one is killed before."""

LOOK_S: Final = 0.002


class WorkerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one worker.

    Attributes:
        ms: from the throw; None: nothing came.
        ended: it ended before it confirmed; its successor reads the latch before it serves.
    """

    slot: int
    pid: int
    ms: float | None = None
    ended: bool = False


class Obeying:
    """The workers that ran when an epoch was written."""

    def __init__(self, publisher: Publisher, epoch: int, began_s: float) -> None:
        """Take note of who runs now.

        Args:
            publisher: knows the workers.
            epoch: what they shall confirm.
            began_s: when the change was begun, by `time.monotonic`.
        """
        self._publisher = publisher
        self._epoch = epoch
        self._began_s = began_s
        self.answers = {
            worker.slot: WorkerAnswer(slot=worker.slot, pid=worker.pid)
            for worker in publisher.workers()
            if lives(worker.pid)
        }

    @property
    def complete(self) -> bool:
        """Whether nobody is waited for any more."""
        return all(answer.ms is not None for answer in self.answers.values())

    def look(self) -> bool:
        """Look at the workers' pages; whether nobody is waited for any more."""
        ms = round((time.monotonic() - self._began_s) * 1000, 1)
        for worker in self._publisher.workers():
            answer = self.answers.get(worker.slot)
            if answer is None or answer.ms is not None:
                continue
            if _has_ended(worker, answer.pid):
                self.answers[worker.slot] = msgspec.structs.replace(answer, ms=ms, ended=True)
            elif worker.confirmed is not None and worker.confirmed.epoch >= self._epoch:
                self.answers[worker.slot] = msgspec.structs.replace(answer, ms=ms)
        return self.complete


def _has_ended(worker: WorkerReport, pid: int) -> bool:
    return worker.pid != pid or not lives(pid)


def lives(pid: int) -> bool:
    """Whether a process of this number is there; 0 is none."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
