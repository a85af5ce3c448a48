"""Clients over TLS, and those who should have been.

TLS as Python offers it has no half-close: who sends `close_notify` is gone in both directions. What that changes stands
here, so that plain connections pay nothing for it.
"""

from __future__ import annotations

from proxy.core.http.badmessage import BadMessage
from proxy.core.override import override
from proxy.traffic.clients.client import ClientConnection
from proxy.traffic.clients.headless import refuse_head
from proxy.traffic.clients.resetting import reset_on_close


class SecureClient(ClientConnection):
    """One client, over TLS."""

    __slots__ = ()

    scheme = b"https"

    @override
    def eof_received(self) -> bool:
        super().eof_received()
        return False  # the transport closes itself: there is no other direction that could go on

    @override
    def _close(self, *, linger: bool) -> None:
        if not linger or self.transport.is_closing():
            super()._close(linger=False)
            return
        # `Connection: close` was said, and the length of the answer: most clients close now. The others hear
        # `close_notify` when the time is up (`sweep`); sent now, it would end reading too, and destroy the answer.
        self._closing = self._lingering = True
        self._buffer.clear()
        self._since_tick = self._traffic.tick
        self._set_paused()
        if self._resets:
            self._resets = False
            reset_on_close(self.transport, on=False)

    @override
    def sweep(self, tick: int) -> None:
        if self._lingering and tick - self._since_tick > self._traffic.linger_ticks:
            self._lingering = False
            self._since_tick = tick
            self.transport.close()
        else:
            super().sweep(tick)


class Misdirected(ClientConnection):
    """A client that speaks plain text to a port for TLS: told so in the language it understands (as nginx does)."""

    __slots__ = ()

    @override
    def data_received(self, data: bytes) -> None:
        if not self._closing:
            bad = BadMessage("plain text came to a port for TLS: ask for https://")
            refuse_head(self._traffic, self, bad, len(data))
