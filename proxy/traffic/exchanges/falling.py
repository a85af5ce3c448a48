"""An exchange that legacy answers in place of new, which can't be reached at all (`proxy.core.deciding.fallback`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.deciding.fallback import falls_back
from proxy.core.model import Backend, Reason
from proxy.core.override import override
from proxy.core.telling.faults import Fault, Kind, Stage
from proxy.traffic.backends.loan import RELENT, TRIAL
from proxy.traffic.backends.waiting import Waiting
from proxy.traffic.exchanges.ending import SAFE

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.traffic.backends.endpoint import Endpoint
    from proxy.traffic.wiring import Outlet


class Falling(Waiting):
    """One request and its answer, as far as another system than the one that was meant may answer it."""

    __slots__ = ("_tried",)

    _tried: tuple[Endpoint, ...]

    def _route(self, *, again: bool = False, fallen: Decision | None = None) -> None:
        """Decide, and send or wait for a connection.

        Args:
            again: it was decided before, and is charged to no cap.
            fallen: what was decided, where it is legacy that answers in place of new.
        """
        raise NotImplementedError

    @override
    def _fall_back(self, fault: Fault) -> bool:
        decision = self.decision
        if decision is None or self._lent == RELENT or not falls_back(decision):
            return False
        load = self.wiring.outlets[Backend.LEGACY].pool.load
        if load.in_flight >= load.ceiling:
            return False  # its places belong to its own requests: who comes from new neither waits for one nor tries a breaker
        telemetry = self.traffic.telemetry
        telemetry.fault(fault, decision.backend)
        self.fault = fault  # as the breaker judges one that it let through to try
        self._return_loan()
        self.fault = None
        self._tried = ()
        decision.backend = Backend.LEGACY
        decision.reason = Reason.FALLBACK
        self._route(again=True, fallen=decision)
        if self._lent:
            telemetry.fell_back(decision)  # a drill of legacy may stand in its way
        return True

    def _ask(self, endpoint: Endpoint) -> None:
        """Try again over a fresh connection."""
        raise NotImplementedError

    def _ask_elsewhere(self) -> bool:
        """Ask another endpoint, once, when one ended even a fresh connection without a byte of an answer, as one that dies does.

        Only safe methods without a body that ask for no upgrade, and only where there is another: whether the first has done it can't be
        known, and what begins with an upgrade needn't be safe: its GET tells nothing of what comes after it. It counts against
        the endpoint as if the client had felt it, and against the budget of retries, so that what kills one endpoint doesn't go round.
        """
        if self.head.method not in SAFE or self._interim or not self.request_done or self._replay != b"":
            return False
        if b"upgrade" in self.head.connection:
            return False
        if self._lent == TRIAL or self._tried or self._overtaken:
            return False
        endpoint, outlet, tick = self._endpoint, self._outlet, self.traffic.tick
        self._tried = (*self._tried, endpoint)
        another = outlet.pool.another(tick, self._tried)
        if another is None:
            return False
        outlet.pool.faulted(endpoint, Stage.HEAD, Kind.CUT, tick)
        self.traffic.telemetry.fault(Fault(outlet.party, Stage.HEAD, Kind.CUT), outlet.backend)
        self._lent = RELENT
        self._ask(another)
        return True

    def _undelivered(self, fault: Fault) -> None:
        """No endpoint took it, and no other may be asked: none is left, or no retry."""
        pool = self._outlet.pool
        if not pool.hopeless(self.traffic.tick, self._tried):
            pool.load.proves_nothing(self)  # nothing speaks against an endpoint that it would have been tried at
            self._refuse(fault)
            return
        if self._lent != TRIAL:
            pool.load.failed(fault.stage, fault.kind)
        if not self._fall_back(fault):
            self._refuse(fault)

    def _passed_by(self, outlet: Outlet) -> bool:
        """Whether no endpoint is healthy, and legacy answers: then nobody has to wait for one that was dead a moment ago."""
        if not outlet.pool.none_healthy(self.traffic.tick):
            return False
        return self._fall_back(Fault(outlet.party, Stage.CONNECT, Kind.UNREACHABLE))

    def drilled(self, fault: Fault | None, *, status: int | None = None) -> None:
        """A drill answers in the backend's place, to which nothing was sent; None, or overtaken: it goes on, decided anew."""
        if fault is None or self._overtaken:
            self._decide_anew()
        elif fault.kind is not Kind.UNREACHABLE or not self._fall_back(fault):
            self._refuse(fault, status=status)
