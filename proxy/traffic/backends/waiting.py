"""An exchange that may not begin yet, as its backend has as much in flight as it may have.

Nothing has reached a backend meanwhile. So a client that leaves has asked nothing, and latch and freezes are looked at again
when the wait is over. Of a body as much is read as before any connection is there (`WATER_BYTES`): small ones come whole, and
whoever hangs up is noticed. WebSockets wait like anybody else: nothing of them is special before their 101, and a tunnel holds
its place as long as it lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.model import Backend, Grade
from proxy.core.override import override
from proxy.core.switches.covering import covering
from proxy.core.switches.freeze import freezing, writes
from proxy.core.telling.faults import CLIENT_LEFT, Fault, Kind, Party, Stage
from proxy.traffic.backends.load import Answer
from proxy.traffic.backends.loan import IN_LINE, LENT, NOT_LENT, RELENT, TRIAL
from proxy.traffic.clients.crowd import site_of
from proxy.traffic.exchanges.answer import Answering
from proxy.traffic.exchanges.ending import SAFE

if TYPE_CHECKING:
    from proxy.core.switches.covering import LiveLatch
    from proxy.core.switches.freeze import LiveFreeze
    from proxy.traffic.backends.load import Load
    from proxy.traffic.wiring import Outlet


_BELIEVED: Final = 3
"""Of a peer's kind (`Wiring.judge`): whether it is believed about accounts or addresses."""


class Waiting(Answering):
    """One request and its answer, as far as its way to a place at the backend is concerned."""

    __slots__ = ("_freezes", "_latch")

    _latch: LiveLatch  # as it was when it was decided
    _freezes: tuple[LiveFreeze, ...]  # likewise

    def _lend(self, outlet: Outlet, loan: int) -> None:
        """Take a place (`LENT` or `TRIAL`) and an endpoint, and send or wait for a connection."""
        raise NotImplementedError

    def _begin_anew(self) -> None:
        """Latch or freezes changed while it waited: decide anew, unless one system may have done already what the other would do again."""
        if self._lent == RELENT and self.head.method not in SAFE:
            self._refuse(Fault(self._outlet.party, Stage.REQUEST, Kind.CUT))
        else:
            self._decide_anew()

    def _decide_anew(self) -> None:
        """Latch or freezes changed during a wait; nothing has begun anywhere, so the present generation decides."""
        raise NotImplementedError

    def _fall_back(self, fault: Fault) -> bool:
        """New can't be reached at all: whether legacy answers, in which case that has begun."""
        raise NotImplementedError

    @property
    def _overtaken(self) -> bool:
        """Whether latch or freezes changed since it was decided."""
        return self.traffic.latch() is not self._latch or self.traffic.freezes is not self._freezes

    @property
    def covered(self) -> bool:
        """Whether it was to go to new, and a rollback covers it now."""
        latch, decision = self.traffic.latch(), self.decision
        if not latch.entries or decision is None or decision.backend is not Backend.NEW:
            return False
        return covering(decision, latch, self.peer) is not None

    @property
    def frozen(self) -> bool:
        """Whether it may change data, and a freeze covers it now."""
        freezes, decision = self.traffic.freezes, self.decision
        if not freezes or decision is None or not writes(self.head.method):
            return False
        return freezing(decision, freezes) is not None

    def _find_place(self, load: Load) -> int:
        """As what it may begin now, `LENT` or `TRIAL`; `NOT_LENT`: it waits, or was refused."""
        match load.ask(self, self._line()):
            case Answer.BEGIN:
                return LENT
            case Answer.TRY:
                return TRIAL
            case Answer.WAIT:
                self._lent = IN_LINE
            case Answer.FULL:
                self._refuse_at_load(Kind.BUSY)
            case Answer.TRIPPED:
                self._tripped()
        return NOT_LENT

    def _line(self) -> str:
        """With whom it shares its part of a queue.

        A verified account has a line of its own. One that is only claimed shares that of its client's address: who makes names up would
        have a line for each, and take the turns of all others; who takes another's name would fill that one's. But the address of a
        balancer is nobody's: behind a peer that is believed, each claimed account has a line, as its rate caps have a bucket. No account has a
        line end in it, so the three kinds can't meet.
        """
        site = site_of(self._address)
        decision = self.decision
        if decision is None or decision.account is None:
            return f"\n{site}"
        if decision.grade is Grade.VERIFIED:
            return decision.account
        return f"{decision.account}\n{site}" if self._peer_kind & _BELIEVED else f"\n{site}"

    @override
    def _return_loan(self) -> None:
        lent = self._lent
        if lent:
            self._lent = NOT_LENT
            load = self._outlet.pool.load
            if lent == IN_LINE:
                load.leave(self)
                return
            self._endpoint.in_flight -= 1
            load.in_flight -= 1
            load.ended += 1
            if not load.ceiling:
                load.returned(self)

    def admitted(self) -> None:
        """Its turn has come; after a reload the present generation decides, as the endpoints of its own may be gone."""
        self._lent = NOT_LENT
        try:
            if self._overtaken or self.wiring is not self.traffic.wiring:
                self._decide_anew()
            else:
                self._lend(self._outlet, LENT)
        except Exception:  # noqa: BLE001  the top of a callback: told with its trace, ends this exchange alone
            self.failed()

    def look_again(self) -> None:
        """It waits no longer: the present latch decides whether, and for whom, it waits."""
        self._lent = NOT_LENT
        try:
            self._decide_anew()
        except Exception:  # noqa: BLE001  see `admitted`
            self.failed()

    def leaves_new(self) -> bool:
        """The latch changed while it waits for a connection: whether it is covered now, and gone elsewhere; its connection is wanted no more.

        What goes out again because a kept connection was stale stays: new may have done it.
        """
        if self.over or self._lent == RELENT or not self.covered:
            return False
        try:
            self._decide_anew()
        except Exception:  # noqa: BLE001  see `admitted`
            self.failed()
        return True

    @override
    def waited_in_vain(self) -> None:
        self.traffic.telemetry.queue_refused(self._outlet.backend, "late")
        try:
            self._refuse_at_load(Kind.BUSY)
        except Exception:  # noqa: BLE001  see `admitted`: the sweep goes on, and tells what it has counted
            self.failed()

    def tripped(self) -> None:
        """It waits no longer: the breaker has opened."""
        self._lent = NOT_LENT
        try:
            if self._overtaken:
                self._decide_anew()
            else:
                self._tripped()
        except Exception:  # noqa: BLE001  see `admitted`
            self.failed()

    def _tripped(self) -> None:
        if not self._fall_back(Fault(self._outlet.party, Stage.CONNECT, Kind.TRIPPED)):
            self._refuse_at_load(Kind.TRIPPED)

    def _refuse_at_load(self, kind: Kind) -> None:
        outlet = self._outlet
        self._refuse(Fault(outlet.party, Stage.CONNECT, kind), retry_after_s=outlet.pool.load.retry_after_s)

    @override
    def client_left(self) -> None:
        """The client hung up before the answer was complete."""
        drilling = self.traffic.drilling
        if self._lent != IN_LINE and (drilling is None or not drilling.holds(self)):
            super().client_left()
            return
        self.client = None
        self.fault = Fault(Party.CLIENT, Stage.REQUEST, Kind.LEFT)
        self.status = CLIENT_LEFT
        self._end()
