"""What a backend has in flight on this worker, who waits for a place there, and whether anybody is let through.

Requests ask one thing: `in_flight >= ceiling`? Mostly that is false, and all they pay. `ceiling` is the worker's part of
`max_in_flight`; and 0 as long as somebody waits, so that whoever comes later doesn't overtake, and as long as the breaker isn't
closed.

A place that is given back is given on in the next loop turn, not in the middle of the end of another exchange.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from enum import Enum, auto, unique
from typing import TYPE_CHECKING, Final

from proxy.core.care.breaker import Breaker, Effect, State
from proxy.core.care.fairqueue import FairQueue, Offered
from proxy.core.care.reaching import BreakerCare
from proxy.core.telling.faults import Kind, Stage
from proxy.traffic.backends.retrying import Retrying
from proxy.traffic.backends.tripping import Tripping

if TYPE_CHECKING:
    from proxy.core.model import Backend
    from proxy.core.plan import BackendSpec
    from proxy.traffic.backends.waiting import Waiting
    from proxy.traffic.exchanges.ending import Ending
    from proxy.traffic.telling.telemetry import Telemetry

UNBOUNDED: Final = sys.maxsize

_PART_OF_ACCOUNT: Final = 4  # a quarter of the places, unless it is written otherwise
_SILENT: Final = frozenset({Kind.CUT, Kind.TIMEOUT, Kind.UNREACHABLE, Kind.UNTRUSTED, Kind.HANDSHAKE})

_draw = random.Random(random.SystemRandom().getrandbits(256)).random  # noqa: S311  of no use to an attacker


@unique
class Answer(Enum):
    """To an exchange that asks for a place."""

    BEGIN = auto()
    TRY = auto()  # begin, as one of a few that are let through
    WAIT = auto()  # `admitted`, `waited_in_vain` or `tripped` will tell it
    FULL = auto()
    TRIPPED = auto()  # the breaker is open


class Load:
    """A backend's load on this worker; outlives generations.

    Attributes:
        in_flight: exchanges that hold a place.
        ended: exchanges that held one; only ever grows.
        ceiling: with so many in flight nobody begins without asking here.
        retrying: grants retries at another endpoint.
        statuses: that count as failures.
    """

    __slots__ = (
        "_backend",
        "_breaker",
        "_most",
        "_queue",
        "_serves",
        "_since_s",
        "_telemetry",
        "_trials",
        "_tripping",
        "_turn",
        "_wait_s",
        "ceiling",
        "ended",
        "in_flight",
        "retrying",
        "statuses",
    )

    def __init__(self, backend: Backend, telemetry: Telemetry) -> None:
        self.in_flight = self.ended = 0
        self.ceiling = UNBOUNDED
        self.retrying = Retrying(backend, telemetry)
        self.statuses: tuple[int, ...] = ()
        self._backend = backend
        self._telemetry = telemetry
        self._most = UNBOUNDED
        self._wait_s = 0.0
        self._queue: FairQueue[Waiting] = FairQueue(0, 0)
        self._since_s: dict[Waiting, float] = {}
        self._serves = False  # it is about to
        self._turn: Waiting | None = None  # whose turn it is, while it begins
        self._breaker = Breaker(BreakerCare())
        self._tripping = Tripping(backend, telemetry)
        self._trials: set[Ending] = set()

    def obey(self, spec: BackendSpec, *, share_of_node: int) -> None:
        """Follow another generation's limits; whoever waits goes on waiting."""
        self.retrying.obey(spec.retries)
        queue = spec.queue
        self._most = UNBOUNDED if spec.max_in_flight is None else -(-spec.max_in_flight // share_of_node)
        self._wait_s = queue.wait_s
        self._queue.most = -(-queue.most // share_of_node)
        self._queue.most_of_one = -(-(queue.most_of_account or -(-queue.most // _PART_OF_ACCOUNT)) // share_of_node)
        self.statuses = spec.breaker.statuses
        self._heed(self._breaker.obey(spec.breaker))
        self._settle()
        self._serve_soon()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def retry_after_s(self) -> int:
        """What those are told who are refused: when the breaker may let somebody through, or others have had their turn."""
        wait_s = self._breaker.closed_for_s(time.monotonic()) or self._wait_s
        return max(1, int(-(-wait_s // 1)))

    # -- a place

    def ask(self, exchange: Waiting, account: str) -> Answer:
        """Ask for a place.

        Args:
            exchange: wants to begin.
            account: with whom it shares its part of the queue.
        """
        if self._breaker.state is not State.CLOSED:
            if self.in_flight < self._most and self._breaker.may_try(len(self._trials)):
                self._trials.add(exchange)
                return Answer.TRY
            return Answer.TRIPPED
        if (exchange is self._turn or not self._queue) and self.in_flight < self._most:
            return Answer.BEGIN
        offered = self._queue.offer(account, exchange)
        if offered is not Offered.WAITS:
            self._telemetry.queue_refused(self._backend, offered.name.lower())
            return Answer.FULL
        self._since_s[exchange] = time.monotonic()
        self.ceiling = 0
        return Answer.WAIT

    def leave(self, exchange: Waiting) -> None:
        """It is over before its turn came."""
        self._queue.leave(exchange)
        self._left(exchange)
        self._settle()

    def returned(self, exchange: Ending) -> None:
        """A place was given back while somebody waits, or the breaker isn't closed."""
        if exchange in self._trials:
            self._trials.discard(exchange)
            self._judge(exchange)
        self._serve_soon()

    def sweep(self) -> None:
        """End the waits that lasted too long, and let the breaker look at the clock; called once a tick."""
        now_s = time.monotonic()
        self.retrying.turn()
        self._telemetry.load(self._backend, in_flight=self.in_flight, waiting=len(self._queue))
        self._heed(self._breaker.tick(now_s, self.ended))
        if self._breaker.state is State.HALF_OPEN:
            self._tripping.waits(now_s)
        for trial in list(self._trials):
            if trial.head_us is not None:  # answered: how long the answer is proves nothing more
                self._trials.discard(trial)
                self._judge(trial)
        if self._queue:
            before_s = now_s - self._wait_s
            for exchange, since_s in list(self._since_s.items()):
                if since_s > before_s:
                    break
                exchange.waited_in_vain()  # which leaves

    def reconsider(self) -> None:
        """The latch changed: who waits for a system that it isn't to reach any more needn't wait.

        All others stay in line, and are decided anew when their turn comes: a thousand decisions for each rollback would be what an
        overloaded worker can't afford, and each would begin its wait anew.
        """
        self._heed(self._breaker.try_now())  # who rolls back mustn't wait for half a minute that was drawn before
        covered = [exchange for exchange in self._since_s if exchange.covered]
        for exchange in covered:
            self._queue.leave(exchange)
            self._left(exchange)
        self._settle()
        for exchange in covered:
            exchange.look_again()

    # -- the breaker

    def failed(self, stage: Stage, kind: Kind) -> None:
        """An exchange was left unanswered, for good; trials are judged when they are over."""
        if kind in _SILENT and stage is not Stage.BODY:
            self._heed(self._breaker.failed(time.monotonic(), self.ended, _draw()))

    def proves_nothing(self, exchange: Ending) -> None:
        """It fails for want of a retry, while an endpoint may well answer: if it was a trial, another one takes its place."""
        self._trials.discard(exchange)

    def judge_status(self, exchange: Ending, duration_us: int, lasted: bool) -> None:  # noqa: FBT001  an `Observe`
        """An exchange is over; asked only where statuses count as failures."""
        del duration_us, lasted
        decision = exchange.decision
        answered = exchange.fault is None and decision is not None and decision.backend is self._backend
        if answered and exchange.status in self.statuses:
            self._heed(self._breaker.failed(time.monotonic(), self.ended - 1, _draw()))

    def _judge(self, trial: Ending) -> None:
        """A trial is over, or has its answer. Whose client left before has shown nothing."""
        now_s = time.monotonic()
        fault = trial.fault
        if trial.head_us is not None and trial.status not in self.statuses:
            self._heed(self._breaker.trial_answered(now_s, self.ended))
        elif trial.head_us is not None or (fault is not None and fault.kind in _SILENT and fault.party is trial.party):
            self._heed(self._breaker.trial_failed(now_s, _draw()))

    def _heed(self, effect: Effect) -> None:
        if effect is Effect.NOTHING:
            return
        self._trials.clear()
        self._tripping.tell(self._breaker, effect)
        self._settle()
        self._serve_soon()  # those who wait: they are refused, or their turn comes

    # -- turns

    def _empty(self) -> list[Waiting]:
        everybody = self._queue.take_all()
        for exchange in everybody:
            self._left(exchange)
        self._settle()
        return everybody

    def _left(self, exchange: Waiting) -> None:
        since_s = self._since_s.pop(exchange, None)
        if since_s is not None:
            self._telemetry.queue_left(self._backend, int((time.monotonic() - since_s) * 1_000_000))

    def _settle(self) -> None:
        self.ceiling = 0 if self._queue or self._breaker.state is not State.CLOSED else self._most

    def _serve_soon(self) -> None:
        if not self._serves and self._queue:
            self._serves = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._serves = False
        if self._breaker.state is not State.CLOSED:
            for exchange in self._empty():
                exchange.tripped()
        while self.in_flight < self._most:
            exchange_or_none = self._queue.take()
            if exchange_or_none is None:
                break
            self._left(exchange_or_none)
            self._turn = exchange_or_none
            exchange_or_none.admitted()
            self._turn = None
        self._settle()
