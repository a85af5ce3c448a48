"""What a backend has in flight on this worker, and who waits for a place there.

Requests ask one thing: `in_flight >= ceiling`? Mostly that is false, and all they pay. `ceiling` is the worker's part of
`max_in_flight`; and 0 as long as somebody waits, so that whoever comes later doesn't overtake.

A place that is given back is given on in the next loop turn, not in the middle of the end of another exchange.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

from proxy.core.fairqueue import FairQueue, Offered
from proxy.traffic.retrying import Retrying

if TYPE_CHECKING:
    from proxy.core.model import Backend
    from proxy.core.plan import BackendSpec
    from proxy.traffic.telemetry import Telemetry
    from proxy.traffic.waiting import Waiting

UNBOUNDED: Final = sys.maxsize

_PART_OF_ACCOUNT: Final = 4  # a quarter of the places, unless it is written otherwise


class Load:
    """A backend's load on this worker; outlives generations.

    Attributes:
        in_flight: exchanges that hold a place.
        ceiling: with so many in flight nobody begins without asking here.
        retry_after_s: what those are told who are refused: after the longest wait here others have had their turn.
        retrying: grants retries at another endpoint.
    """

    __slots__ = (
        "_backend",
        "_most",
        "_queue",
        "_serves",
        "_since_s",
        "_telemetry",
        "_turn",
        "_wait_s",
        "ceiling",
        "in_flight",
        "retry_after_s",
        "retrying",
    )

    def __init__(self, backend: Backend, telemetry: Telemetry) -> None:
        self.in_flight = 0
        self.ceiling = UNBOUNDED
        self.retry_after_s = 1
        self.retrying = Retrying(backend, telemetry)
        self._backend = backend
        self._telemetry = telemetry
        self._most = UNBOUNDED
        self._wait_s = 0.0
        self._queue: FairQueue[Waiting] = FairQueue(0, 0)
        self._since_s: dict[Waiting, float] = {}
        self._serves = False  # it is about to
        self._turn: Waiting | None = None  # whose turn it is, while it begins

    def obey(self, spec: BackendSpec, *, share_of_node: int) -> None:
        """Follow another generation's limits; whoever waits goes on waiting."""
        self.retrying.obey(spec.retries)
        queue = spec.queue
        self._most = UNBOUNDED if spec.max_in_flight is None else -(-spec.max_in_flight // share_of_node)
        self._wait_s = queue.wait_s
        self._queue.most = -(-queue.most // share_of_node)
        self._queue.most_of_one = -(-(queue.most_of_account or -(-queue.most // _PART_OF_ACCOUNT)) // share_of_node)
        self.retry_after_s = max(1, int(-(-queue.wait_s // 1)))
        self._settle()
        self._serve_soon()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def ask(self, exchange: Waiting, account: str) -> bool | None:
        """Ask for a place.

        Args:
            exchange: wants to begin.
            account: with whom it shares its part of the queue.

        Returns:
            Whether it may begin now. If not it waits from here on: `admitted` or `waited_in_vain` will tell it. None: it
            may not even wait.
        """
        if (exchange is self._turn or not self._queue) and self.in_flight < self._most:
            return True
        offered = self._queue.offer(account, exchange)
        if offered is not Offered.WAITS:
            self._telemetry.queue_refused(self._backend, offered.name.lower())
            return None
        self._since_s[exchange] = time.monotonic()
        self.ceiling = 0
        return False

    def leave(self, exchange: Waiting) -> None:
        """It is over before its turn came."""
        self._queue.leave(exchange)
        self._left(exchange)
        self._settle()

    def returned(self) -> None:
        """A place was given back while somebody waits."""
        self._serve_soon()

    def sweep(self) -> None:
        """End the waits that lasted too long; called once a tick."""
        self.retrying.turn()
        self._telemetry.load(self._backend, in_flight=self.in_flight, waiting=len(self._queue))
        if not self._queue:
            return
        before_s = time.monotonic() - self._wait_s
        for exchange, since_s in list(self._since_s.items()):
            if since_s > before_s:
                break
            self._telemetry.queue_refused(self._backend, "late")
            exchange.waited_in_vain()  # which leaves

    def reconsider(self) -> None:
        """The latch changed: who waits for a system that it isn't to reach any more needn't wait."""
        everybody = self._queue.take_all()
        for exchange in everybody:
            self._left(exchange)
        self._settle()
        for exchange in everybody:
            exchange.look_again()

    def _left(self, exchange: Waiting) -> None:
        since_s = self._since_s.pop(exchange, None)
        if since_s is not None:
            self._telemetry.queue_left(self._backend, int((time.monotonic() - since_s) * 1_000_000))

    def _settle(self) -> None:
        self.ceiling = 0 if self._queue else self._most

    def _serve_soon(self) -> None:
        if not self._serves and self._queue:
            self._serves = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._serves = False
        while self.in_flight < self._most:
            exchange = self._queue.take()
            if exchange is None:
                break
            self._left(exchange)
            self._turn = exchange
            exchange.admitted()
            self._turn = None
        self._settle()
