"""SIGUSR2, step by step: a trial of the version that is installed, the replacement of the supervisor, then of control. Standard library only."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Final

from proxy.supervise.children import Child
from proxy.supervise.handover import Handover, Trial, become

_CONTROL_ENDS_S: Final = 10.0
_CONTROL_SERVES_S: Final = 120.0  # it is nice as well

_log = logging.getLogger("supervisor")


class Renewal:
    """Where it stands; workers are not its business."""

    def __init__(self, give: Callable[[], Handover], control: Child, beats: Callable[[], int]) -> None:
        """Renew nothing yet.

        Args:
            give: all that the supervisor knows, as it is now.
            control: to be replaced.
            beats: of the board; control beats there once it serves.
        """
        self._give = give
        self._control = control
        self._beats = beats
        self._asked = False
        self._trial: Trial | None = None
        self._former_control = 0  # the pid of the one that is being replaced
        self._beats_before = 0
        self._ending = False  # that one has been told to end, and hasn't been seen to
        self._begun_at_s: float | None = None  # with the replacement of control

    @property
    def pid(self) -> int:
        """Of the process that tries; 0: none does."""
        return 0 if self._trial is None else self._trial.pid

    def ask(self) -> None:
        """Begin as soon as nothing else is being replaced."""
        self._asked = True

    def give_up(self) -> None:
        """The proxy ends."""
        self._asked = False
        if self._trial is not None:
            self._trial.give_up()
            self._trial = None

    def resume(self, now_s: float) -> None:
        """The supervisor has been replaced: now control is."""
        self._former_control = self._control.pid
        self._beats_before = self._beats()
        self._begun_at_s = now_s
        self._ending = self._former_control != 0
        self._control.tell(signal.SIGTERM)

    def expected_end(self) -> bool:
        """Control has ended: whether it is the one that was told to; no later end is."""
        expected, self._ending = self._ending, False
        return expected

    def step(self, now_s: float, *, busy: bool) -> bool:
        """Do what can be done now. Doesn't return when the program is replaced.

        Args:
            now_s: monotonic.
            busy: workers are being replaced: one thing after another.

        Returns:
            Whether the workers' turn has come.
        """
        if self._begun_at_s is not None:
            return self._replace_control(now_s - self._begun_at_s)
        if self._trial is not None:
            self._judge(self._trial, now_s)
        elif self._asked and not busy:
            self._asked = False
            _log.info("trying whether the version that is installed can take over")
            try:
                self._trial = Trial(self._give(), now_s)
            except OSError as error:
                _log.error("no new version: it can't be tried: %s", error)
        return False

    def _judge(self, trial: Trial, now_s: float) -> None:
        passed = trial.passed(now_s)
        if passed is None:
            return
        self._trial = None
        if not passed:
            _log.error("no new version: it can't take over, and everything stays as it was")
            return
        try:
            become(self._give())
        except OSError as error:
            _log.error("no new version: %s; everything stays as it was", error)

    def _replace_control(self, since_s: float) -> bool:
        if self._control.pid == self._former_control:
            if since_s >= _CONTROL_ENDS_S:
                self._control.tell(signal.SIGKILL)  # nothing is lost: whatever it was doing, its successor finds out
        elif self._beats() != self._beats_before:
            self._begun_at_s = None
            return True
        if since_s >= _CONTROL_SERVES_S:
            self._begun_at_s = None
            _log.error("control of the new version doesn't serve within %g s: the workers stay", _CONTROL_SERVES_S)
        return False
