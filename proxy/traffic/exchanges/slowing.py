"""A backend's answer that seems to come slowly: what arrives is held back, and handed on at a pace.

It stands between a connection and its exchange, so that the exchange sees nothing but a slow backend, and does with it what it
always does. The head passes at once. The end of the drill lets everything go.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from proxy.traffic.limits import WATER_BYTES

if TYPE_CHECKING:
    from proxy.core.switches.drill import LiveDrill
    from proxy.traffic.backends.backend import BackendConnection
    from proxy.traffic.exchanges.exchange import Exchange

_STEP_S: Final = 0.1
_END_OF_HEAD: Final = b"\r\n\r\n"


class Slowed:
    """One answer.

    Args:
        exchange: whose answer it is.
        connection: where it comes from, which must not be used again.
        live: the drill; its fault's value is the pace, in bytes a second.
    """

    __slots__ = ("_connection", "_exchange", "_held", "_live", "_lost", "_step_bytes", "_timer", "_why_lost")

    def __init__(self, exchange: Exchange, connection: BackendConnection, live: LiveDrill) -> None:
        self._exchange = exchange
        self._connection = connection
        self._live = live
        self._step_bytes = max(1, int(live.drill.fault.value * _STEP_S))
        self._held = b""
        self._lost = False
        self._why_lost: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None

    def answer_received(self, data: bytes) -> None:
        """The backend sent something."""
        self._held += data
        if self._exchange.status == 0:
            at = self._held.find(_END_OF_HEAD)
            head_bytes = len(self._held) if at < 0 else at + len(_END_OF_HEAD)
            self._give(head_bytes)
        self._carry_on()

    def backend_lost(self, error: Exception | None) -> None:
        """The connection ended; the exchange hears of it behind what came before."""
        self._lost = True
        self._why_lost = error
        self._carry_on()

    def backend_slow(self) -> None:
        """The backend takes the request more slowly than it comes."""
        self._exchange.backend_slow()

    def backend_ready(self) -> None:
        """The backend takes more."""
        self._exchange.backend_ready()

    def failed(self) -> None:
        """A defect of ours came up; called while the exception is handled."""
        self._stop()
        self._exchange.failed()

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _carry_on(self) -> None:
        # Cut by the exchange, which has gone on to another connection: what is held here is no part of that one's answer.
        forsaken = not self._lost and self._connection.exchange is not self
        if self._exchange.over or forsaken:
            self._stop()
        elif self._held:
            if len(self._held) >= WATER_BYTES and not self._lost:
                self._connection.transport.pause_reading()
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_STEP_S, self._step)
        elif self._lost:
            self._exchange.backend_lost(self._why_lost)

    def _step(self) -> None:
        self._timer = None
        exchange = self._exchange
        try:
            client = exchange.client
            if not exchange.over and (client is None or client.writable):
                over = self._live.ended or time.monotonic() >= self._live.ends_s
                self._give(len(self._held) if over else self._step_bytes)
                if len(self._held) < WATER_BYTES and not self._lost and not exchange.over:
                    self._connection.transport.resume_reading()
            self._carry_on()
        except Exception:  # noqa: BLE001  the top of a callback: told with its trace, ends this exchange alone
            self.failed()

    def _give(self, count: int) -> None:
        piece, self._held = self._held[:count], self._held[count:]
        if piece and not self._exchange.over:
            self._exchange.answer_received(piece)

    def _stop(self) -> None:
        self._held = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
