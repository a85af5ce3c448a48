"""Retries of one backend: granted within its budget, told when it is used up.

What counts is asking another endpoint because one couldn't be reached. Sending a request again because a kept connection
turned out to be closed doesn't count, as nginx has it, which gives such a try back: it happens once for each connection that was kept, so it
can't become a storm by itself; mostly the system has not seen the request; and a backend that is started anew closes hundreds of
connections in one moment, whose requests nothing speaks against.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from proxy.core.care.reaching import Retries
from proxy.core.care.retrybudget import RetryBudget
from proxy.traffic.limits import TICK_S, ticks

if TYPE_CHECKING:
    from proxy.core.model import Backend
    from proxy.traffic.telling.telemetry import Telemetry

_AT_MOST_EVERY_S: Final = 10.0  # a storm mustn't fill the disk

_log = logging.getLogger("backend")


class Retrying:
    """One backend's retries on this worker; outlives a swap."""

    __slots__ = ("_again_tick", "_backend", "_budget", "_telemetry", "_terms", "_untold")

    def __init__(self, backend: Backend, telemetry: Telemetry) -> None:
        self._backend = backend
        self._telemetry = telemetry
        self._terms = Retries()
        self._budget = RetryBudget(self._terms, TICK_S, telemetry.sent_to(backend))
        self._again_tick = 0
        self._untold = 0

    def obey(self, terms: Retries) -> None:
        """Other terms hold from now on."""
        self._terms = terms
        self._budget.obey(terms)

    def turn(self) -> None:
        """A tick is over."""
        self._budget.turn(self._telemetry.sent_to(self._backend))

    def granted(self, tick: int) -> bool:
        """Whether a request may be tried at another endpoint."""
        if self._budget.spend(self._telemetry.sent_to(self._backend)):
            return True
        self._telemetry.retry_withheld(self._backend)
        if tick < self._again_tick:
            self._untold += 1
            return False
        self._again_tick = tick + ticks(_AT_MOST_EVERY_S)
        before = f"; {self._untold} others since this was said last" if self._untold else ""
        self._untold = 0
        terms = self._terms
        _log.error(
            "%s: its retries are used up (%d %% of its requests and %d a second, over %g s); what can't be reached isn't tried elsewhere%s",
            self._backend.value,
            terms.percent,
            terms.per_second,
            terms.over_s,
            before,
        )
        return False
