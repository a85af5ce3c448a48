"""Defects of ours in what a worker does once a tick: each ends what it came up in, and everything else is done all the same.

Without that, one exchange with a defect would keep the deadlines of all behind it from being looked at, in every tick: the one thing that
must hold when something goes wrong. Counted each time; said with its trace once an hour for each place, since it may come back four times a second.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.traffic.telling.telemetry import Telemetry

_AT_MOST_EVERY_S: Final = 3600.0

_log = logging.getLogger("worker")


class Defects:
    """What one worker has met.

    Args:
        telemetry: where it is counted.
    """

    __slots__ = ("_said_s", "_telemetry")

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._said_s: dict[str, float] = {}

    def met(self, where: str) -> None:
        """One came up; called while the exception is handled. The place is a word of ours."""
        self._telemetry.defect(where)
        now_s = time.monotonic()
        said_s = self._said_s.get(where)
        if said_s is None or now_s - said_s >= _AT_MOST_EVERY_S:
            self._said_s[where] = now_s
            told = "a defect of the proxy's own (%s); strangler_defects_total counts it, and it is said again in an hour at the earliest"
            _log.exception(told, where)

    def ends(self, where: str, end: Callable[[], None]) -> None:
        """One came up, and with it ends what it came up in; called while the exception is handled."""
        self.met(where)
        try:
            end()
        except Exception:  # noqa: BLE001  the end meets what the deadline met
            self.met(where)

    def guard(self, where: str, work: Callable[[], None]) -> None:
        """Do something; that it fails is told, and keeps nobody from what comes next."""
        try:
            work()
        except Exception:  # noqa: BLE001  the top of a callback
            self.met(where)
