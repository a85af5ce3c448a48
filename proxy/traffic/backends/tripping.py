"""Tells people what the breaker of a backend does: once when it opens, once when it is over, and in metrics."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from proxy.core.care.breaker import Breaker, Effect, State

if TYPE_CHECKING:
    from proxy.core.model import Backend
    from proxy.traffic.telling.telemetry import Telemetry

_AT_MOST_EVERY_S: Final = 10.0  # one that opens and closes all the time mustn't fill the disk

_log = logging.getLogger("backend")


class Tripping:
    """Tells of one breaker."""

    __slots__ = ("_again_s", "_backend", "_half_open_s", "_shown", "_since_s", "_telemetry", "_told")

    def __init__(self, backend: Backend, telemetry: Telemetry) -> None:
        self._backend = backend
        self._telemetry = telemetry
        self._shown = State.CLOSED
        self._told = False  # that it opened
        self._since_s = 0.0
        self._again_s = 0.0
        self._half_open_s = 0.0  # since when

    def tell(self, breaker: Breaker, effect: Effect) -> None:
        """It changed."""
        now_s = time.monotonic()
        if effect is Effect.REFUSE and self._shown is State.CLOSED:
            self._since_s = now_s
            if now_s >= self._again_s:
                self._told = True
                self._again_s = now_s + _AT_MOST_EVERY_S
                _log.error(
                    "%s leaves requests unanswered, %d of the last %d: its breaker is open, requests are refused and some let through to try",
                    *(self._backend.value, *breaker.failed_of),
                )
        elif effect is Effect.PASS and self._told:
            self._told = False
            _log.warning(
                "%s answers again: its breaker is closed, after %.0f s", self._backend.value, now_s - self._since_s
            )
        self._telemetry.breaker(self._backend, self._shown, breaker.state)
        if breaker.state is State.HALF_OPEN:
            self._half_open_s = now_s
        elif self._shown is State.HALF_OPEN:
            self._telemetry.half_open(self._backend, 0)
        self._shown = breaker.state

    def waits(self, now_s: float) -> None:
        """It is still half open; told once a tick."""
        self._telemetry.half_open(self._backend, int(now_s - self._half_open_s))
