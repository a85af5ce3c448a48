"""What drills do to the exchanges of one worker. While none is on, `Traffic.drilling` is None and nothing here is asked.

Each fault shows as the client would have seen it through this proxy, had the backend behaved so:

========  =================================================================  ==================================
Fault     What is done                                                       The client sees
========  =================================================================  ==================================
delay     held here for that long, decided anew, then sent                   its answer, later; 504 once the
                                                                             backend's time would have been over
status    answered here                                                      that status
reset     answered here, as if the connection had ended before an answer     502
refused   answered here, as if no endpoint had taken a connection            502, or legacy's answer with
                                                                             `fallback: safe`
slow      sent; the answer passes `proxy.traffic.exchanges.slowing`                    its answer's body, slowly
========  =================================================================  ==================================

Whatever can change data is either sent whole and left alone, or never sent: nothing is doubled, or half done, for a drill.
Nothing that is hit takes a place of `max_in_flight`, speaks against an endpoint or opens a breaker, as these decide for
requests that are outside the drill. They are counted as the backend's faults all the same, so that alerts fire.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from proxy.core.switches.drill import MOST, FaultKind, LiveDrill, hitting
from proxy.core.switches.drilltally import DrillTally
from proxy.core.switches.rehearsal import Rehearsal
from proxy.core.telling.faults import Fault, Kind, Party, Stage
from proxy.traffic.exchanges.deadlines import deadlines_of
from proxy.traffic.exchanges.slowing import Slowed
from proxy.traffic.limits import TICK_S

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.traffic.backends.backend import BackendConnection
    from proxy.traffic.exchanges.ending import Ending
    from proxy.traffic.exchanges.exchange import Exchange
    from proxy.traffic.server import Traffic

MOST_WAITING: Final = 1024
"""Requests that delays hold at the same time on one worker; more are spared, so that a drill costs no memory it wasn't meant to."""

_TALLIES_KEPT: Final = MOST + 1  # one that is over stays until control has read it


class _Tally:
    """What came of one drill (`proxy.core.switches.drilltally`)."""

    __slots__ = ("first_s", "hits", "last_s", "rehearsal", "spared")

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.hits = 0
        self.spared = 0
        self.first_s = 0.0
        self.last_s = 0.0
        self.rehearsal = rehearsal

    def hit(self, now_s: float) -> None:
        """One more."""
        self.hits += 1
        self.first_s = self.first_s or now_s
        self.last_s = now_s


class _Hit:
    """An exchange that met a fault.

    Attributes:
        live: the drill it met.
        url: the endpoint that it would have been sent to.
        counted: as one that met it.
        timer: while a delay holds it.
        late: the delay is longer than its backend would have been waited for.
    """

    __slots__ = ("counted", "exchange", "late", "live", "timer", "url")

    def __init__(self, exchange: Exchange, live: LiveDrill, url: str) -> None:
        self.exchange = exchange
        self.live = live
        self.url = url
        self.counted = False
        self.timer: asyncio.TimerHandle | None = None
        self.late = False


class Drilling:
    """The drills of one worker, as its exchanges meet them.

    Args:
        traffic: the worker's.
        most_waiting: requests that delays may hold at the same time.
    """

    __slots__ = ("_hits", "_live", "_most_waiting", "_tallies", "_traffic", "_waiting")

    def __init__(self, traffic: Traffic, most_waiting: int = MOST_WAITING) -> None:
        self._traffic = traffic
        self._most_waiting = most_waiting
        self._live: tuple[LiveDrill, ...] = ()
        self._hits: dict[Ending, _Hit] = {}
        self._waiting: dict[Ending, _Hit] = {}
        self._tallies: dict[str, _Tally] = {}

    def put(self, live: tuple[LiveDrill, ...]) -> None:
        """Put other drills in force; whoever waits for one that is over goes on at once."""
        known = {one.drill.id: one for one in self._live}
        self._live = tuple(known.pop(one.drill.id, one) for one in live)
        for ended in known.values():
            ended.ended = True
        for one in self._live:
            if one.drill.id not in self._tallies:
                spec = self._traffic.wiring.generation.backends[one.drill.backend]
                self._tallies[one.drill.id] = _Tally(Rehearsal(spec.care, spec.breaker, spec.urls))
        ids = [one.drill.id for one in self._live]
        for name in list(self._tallies)[:-_TALLIES_KEPT]:
            if name not in ids:
                del self._tallies[name]
        self._traffic.drilling = self
        for hit in list(self._waiting.values()):
            if hit.live.ended:
                self._go_on(hit)
        self._rest()

    def tallies(self) -> tuple[DrillTally, ...]:
        """What came of each drill, also of some that are over."""
        return tuple(
            DrillTally(name, one.hits, one.spared, one.first_s, one.last_s, dict(one.rehearsal.noticed))
            for name, one in self._tallies.items()
        )

    def hurry(self) -> None:
        """Latch or freezes changed: whom they cover now is decided anew at once; all others are held for as long as they were to be."""
        for hit in list(self._waiting.values()):
            if hit.exchange.covered or hit.exchange.frozen:
                self._go_on(hit)

    def holds(self, exchange: Ending) -> bool:
        """Whether a delay holds it, so that nothing of it has reached a backend."""
        return exchange in self._waiting

    def meets(self, exchange: Exchange) -> bool:
        """Whether an exchange that was about to ask its backend meets a fault instead; it has ended then, or waits."""
        decision = exchange.decision
        if decision is None or exchange in self._hits:
            return False  # it has waited already
        now_s = time.monotonic()
        live = hitting(decision, exchange.request_id, self._live, now_s)
        if live is None:
            return False
        tally = self._tallies[live.drill.id]
        fault = live.drill.fault
        if fault.kind is FaultKind.DELAY and len(self._waiting) >= self._most_waiting:
            tally.spared += 1
            return False
        outlet = exchange.wiring.outlets[decision.backend]
        endpoint = outlet.pool.choose(self._traffic.tick)
        self._hits[exchange] = hit = _Hit(exchange, live, "" if endpoint is None else endpoint.url)
        if fault.kind is FaultKind.SLOW:
            return False  # it shows, and counts, once the request is sent
        self._count(hit, decision, now_s)
        stage = Stage.HEAD if exchange.request_done else Stage.REQUEST
        match fault.kind:
            case FaultKind.DELAY:
                patience_s = deadlines_of(decision, outlet.pool).silence_ticks * TICK_S
                hit.late = fault.value >= patience_s
                hit.timer = asyncio.get_running_loop().call_later(min(fault.value, patience_s), self._go_on, hit)
                self._waiting[exchange] = hit
            case FaultKind.STATUS:
                exchange.drilled(Fault(outlet.party, stage, Kind.DRILLED), status=int(fault.value))
            case FaultKind.RESET:
                exchange.drilled(Fault(outlet.party, stage, Kind.CUT))
            case FaultKind.REFUSED:
                exchange.drilled(Fault(outlet.party, Stage.CONNECT, Kind.UNREACHABLE))
            case FaultKind.ROLLBACK:
                return False
        return True

    def sent(self, exchange: Exchange, connection: BackendConnection) -> None:
        """An exchange's request went out: its answer is slowed, if that is its fault.

        It may have waited since it met that, and be out of the drill: rolled back, or answered by the other system in place of the one that is drilled.
        """
        hit = self._hits.get(exchange)
        if hit is None or hit.live.drill.fault.kind is not FaultKind.SLOW:
            return
        decision, now_s = exchange.decision, time.monotonic()
        if decision is None or not hit.live.hits(decision, exchange.request_id, now_s):
            del self._hits[exchange]
            self._rest()
            return
        if not hit.counted:
            self._count(hit, decision, now_s)
        connection.sound = False  # what is held back of the answer would be the next one's
        connection.exchange = Slowed(exchange, connection, hit.live)

    def told(self, exchange: Ending) -> str:
        """The line that trusted peers are told of the drill it met; empty: none."""
        hit = self._hits.get(exchange)
        return "" if hit is None else f"X-Strangler-Drill: {hit.live.drill.id}\r\n"

    def over(self, exchange: Ending) -> str | None:
        """An exchange has ended; gives the drill it met. What it means for each drill is judged as if all faults were real."""
        hit = self._hits.pop(exchange, None)
        for live in self._live:
            self._judge(live, exchange, hit)
        if hit is None:
            return None
        self._stop_waiting(hit)
        self._rest()
        return hit.live.drill.id

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _count(self, hit: _Hit, decision: Decision, now_s: float) -> None:
        hit.counted = True
        drill = hit.live.drill
        self._tallies[drill.id].hit(now_s)
        self._traffic.telemetry.drilled(decision, drill.fault.kind)

    def _go_on(self, hit: _Hit) -> None:
        """It has waited long enough."""
        self._stop_waiting(hit)
        exchange = hit.exchange
        if exchange.over:
            return
        hit.late = hit.late and not hit.live.ended
        try:
            exchange.drilled(Fault(exchange.party, Stage.HEAD, Kind.TIMEOUT) if hit.late else None)
        except Exception:  # noqa: BLE001  the top of a callback: told with its trace, ends this exchange alone
            exchange.failed()

    def _stop_waiting(self, hit: _Hit) -> None:
        if hit.timer is not None:
            hit.timer.cancel()
            hit.timer = None
            self._waiting.pop(hit.exchange, None)

    def _judge(self, live: LiveDrill, exchange: Ending, hit: _Hit | None) -> None:
        drill = live.drill
        decision = exchange.decision
        rehearsal, now_s = self._tallies[drill.id].rehearsal, time.monotonic()
        url, fault = exchange.endpoint_url, exchange.fault
        if hit is not None and hit.live is live:
            if drill.fault.kind is FaultKind.REFUSED:
                rehearsal.unreachable(now_s)
            elif drill.fault.kind is FaultKind.RESET or hit.late:
                rehearsal.unanswered(hit.url, now_s)
            else:
                rehearsal.answered(hit.url, exchange.status, now_s)
        elif url is None or hit is not None or decision is None or decision.backend is not drill.backend:
            pass  # it was never sent, belongs to another drill, or says nothing of this one's backend
        elif fault is None or fault.party is Party.CLIENT:
            rehearsal.answered(url, exchange.status, now_s)
        elif fault.kind is Kind.CUT or (fault.kind is Kind.TIMEOUT and fault.stage is not Stage.BODY):
            rehearsal.unanswered(url, now_s)
        elif fault.stage is Stage.CONNECT:
            rehearsal.failed(now_s)

    def _rest(self) -> None:
        """Step out of the way, once nothing is left to do."""
        if not self._live and not self._hits:
            self._traffic.drilling = None
