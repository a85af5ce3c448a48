"""Connections to the ops endpoints: whoever asks nothing keeps nobody else from asking.

uvicorn ends a connection that rests behind an answer, but none that never asks, asks half, or doesn't take its answer; and it counts all of them
against `limit_concurrency`. So a monitor that leaks its connections, or a scanner, had every probe of liveness told 503. Here a connection
has its time, and where there are too many the oldest that has nothing under way makes room for the newest.

h11 is taken whatever else is installed: it bounds a head, and uvicorn's other reader gathers one of any size.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from proxy.core.override import override

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

AT_ONCE: Final = 64
"""Connections; beyond it those that have nothing under way are ended, oldest first, and then requests refused: a scraper that went mad."""

ASKING_S: Final = 5.0
"""For whoever connects or was answered to ask anew: uvicorn's own `timeout_keep_alive`."""

_ANSWERING_S: Final = 30.0
"""For an answer to be taken: three times as long as Prometheus waits for one."""


class AskingConnection(H11Protocol):
    """One connection.

    Attributes:
        began_s: when it was accepted, by the loop's clock.
    """

    began_s: float
    _deadline: asyncio.TimerHandle | None = None
    _seen: object = None  # the request that it was busy with, or had asked last, when its time began

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.began_s = self.loop.time()
        self._begin_time()
        too_many = len(self.connections) + 1 - AT_ONCE  # uvicorn refuses from as many on
        if too_many > 0:
            others = [
                one for one in cast("set[AskingConnection]", self.connections) if one is not self and not one.busy
            ]
            for one in sorted(others, key=lambda one: one.began_s)[:too_many]:
                one.give_up()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None until something was asked
        return cycle is not None and not cycle.response_complete

    def give_up(self) -> None:
        """End it, whatever it is doing."""
        self.connections.discard(self)  # now: who comes next is counted before the loop tells that this one is gone
        self.transport.abort()

    def _begin_time(self) -> None:
        self._seen = self.cycle
        patience_s = _ANSWERING_S if self.busy else ASKING_S
        self._deadline = self.loop.call_later(patience_s, self._time_is_up)

    def _time_is_up(self) -> None:
        if self.cycle is self._seen:
            self.give_up()  # nothing new was asked: only half, or nothing, or it takes no more of its answer
        else:
            self._begin_time()
