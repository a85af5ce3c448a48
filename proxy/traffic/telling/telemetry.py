"""What traffic counts. Names are built once for each combination of labels; after that a count is an addition.

Labels come from closed sets and from the plan, never from a client's bytes. Durations are gathered in plain
lists (`proxy.traffic.telling.timings`) and added to the page once a tick: a worker that is killed takes at most a tick of them along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.care.breaker import State, breaker_series, half_open_series
from proxy.core.care.endpointhealth import ENDPOINT_SERIES, Standing, endpoint_series
from proxy.core.model import Backend
from proxy.core.telling.counters import OVERFLOW
from proxy.core.telling.metrics import label
from proxy.traffic.telling.timings import Histogram, Timings

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.limits import Limit
    from proxy.core.telling.counters import Counters
    from proxy.core.telling.faults import Fault

NO_AREA: Final = "-"
"""The area of a request that matched no route, or that was refused before it was decided."""

MOST_STANDINGS: Final = 4096
"""Series of how endpoints stand: their addresses come and go with DNS, and must not take the room of everything else that is counted."""

_NOBODY: Final = "none"  # the backend of a request that reached none


class _Served:
    """The cells in which a request of one kind is counted; `decisions` None: it was refused before it was decided."""

    __slots__ = ("decisions", "requests")

    def __init__(self, requests: int, decisions: int | None) -> None:
        self.requests = requests
        self.decisions = decisions


class Telemetry:
    """One worker's series."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._cells = counters.cells
        series = counters.series
        self._served: dict[tuple[str | None, Backend | None, str | None, int], _Served] = {}
        self._faults: dict[tuple[Fault, Backend | None], int] = {}
        self._refused: dict[str, int] = {}
        self._routes: dict[tuple[str | None, Backend, int], int] = {}
        self._route_times: dict[tuple[str | None, Backend], int] = {}
        self._standings = {name: series(name) for name, _ in counters.items() if name.startswith(ENDPOINT_SERIES)}
        self._retries = {b: series(f'strangler_retries_total{{backend="{b}"}}') for b in Backend}
        self._opened = {b: series(f'strangler_backend_connections_opened_total{{backend="{b}"}}') for b in Backend}
        self._reused = {b: series(f'strangler_backend_connections_reused_total{{backend="{b}"}}') for b in Backend}
        self._open = {b: series(f'strangler_backend_connections_open{{backend="{b}"}}') for b in Backend}
        self._loads = {b: series(f'strangler_backend_in_flight{{backend="{b}"}}') for b in Backend}
        self._waiting = {b: series(f'strangler_queue_waiting{{backend="{b}"}}') for b in Backend}
        self._queues = {b: Histogram(counters, "strangler_queue_wait_us", b) for b in Backend}
        self._clients = series("strangler_client_connections_open")
        self._accepted = series("strangler_client_connections_total")
        self._in_flight = series("strangler_requests_in_flight")
        self._received = series("strangler_received_bytes_total")
        self._sent = series("strangler_sent_bytes_total")
        self._log_dropped = series("strangler_log_lines_dropped_total")
        self._log_dropped_told = 0
        self._received_bytes = self._sent_bytes = 0  # since the last tick
        self._timings = {b: Timings(counters, b) for b in Backend}
        self._connects = {b: Histogram(counters, "strangler_backend_connect_us", b) for b in Backend}

    def client_opened(self) -> None:
        """A client connected."""
        self._cells[self._clients] += 1
        self._cells[self._accepted] += 1

    def client_closed(self) -> None:
        """A client's connection ended."""
        self._cells[self._clients] -= 1

    def connect_took(self, backend: Backend, us: int) -> None:
        """A connection to a backend was made, in so many microseconds."""
        self._connects[backend].add(us)

    def load(self, backend: Backend, *, in_flight: int, waiting: int) -> None:
        """What a backend has in flight, and how many wait for it; told once a tick."""
        self._cells[self._loads[backend]] = in_flight
        self._cells[self._waiting[backend]] = waiting

    def queue_left(self, backend: Backend, us: int) -> None:
        """An exchange waited so long for a place, whether it got it or not."""
        self._queues[backend].add(us)

    def queue_refused(self, backend: Backend, why: str) -> None:
        """An exchange got no place: `full`, `too_many` of its account, or `late`."""
        name = f'strangler_queue_refused_total{{backend="{backend}",why="{why}"}}'
        self._cells[self._counters.series(name)] += 1

    def breaker(self, backend: Backend, before: State, now: State) -> None:
        """The breaker of a backend is in another state."""
        if before is State.CLOSED:
            self._cells[self._counters.series(f'strangler_breaker_opened_total{{backend="{backend}"}}')] += 1
        for state, change in ((before, -1), (now, 1)):
            if state is not State.CLOSED:
                self._cells[self._counters.series(breaker_series(backend, state))] += change

    def half_open(self, backend: Backend, for_s: int) -> None:
        """For how long the breaker of a backend has been half open; 0: it isn't."""
        self._cells[self._counters.series(half_open_series(backend))] = for_s

    def fell_back(self, decision: Decision) -> None:
        """Legacy answers what new was to answer."""
        name = f'strangler_fallbacks_total{{area="{label(decision.area or NO_AREA)}"}}'
        self._cells[self._counters.series(name)] += 1

    def ejected(self, backend: Backend) -> None:
        """An endpoint is left out because of what it left unanswered."""
        self._cells[self._counters.series(f'strangler_endpoint_ejections_total{{backend="{backend}"}}')] += 1

    def held_off(self, backend: Backend, url: str, before: Standing, now: Standing) -> None:
        """This worker believes something else of an endpoint."""
        for standing, change in ((before, -1), (now, 1)):
            if standing is not Standing.SOUND:
                self._stands(endpoint_series(backend, url, standing), change)

    def _stands(self, name: str, change: int) -> None:
        index = self._standings.get(name)
        if index is None:
            if len(self._standings) >= MOST_STANDINGS:
                self._cells[self._counters.series(OVERFLOW)] += change > 0
                return
            index = self._standings[name] = self._counters.series(name)
        self._cells[index] += change

    def backend_opened(self, backend: Backend) -> None:
        """A connection to a backend was made."""
        self._cells[self._opened[backend]] += 1
        self._cells[self._open[backend]] += 1

    def backend_closed(self, backend: Backend) -> None:
        """A connection to a backend ended."""
        self._cells[self._open[backend]] -= 1

    @property
    def backend_connections(self) -> int:
        """How many are open, of both."""
        cells = self._cells
        return sum(cells[index] for index in self._open.values())

    def reused(self, backend: Backend) -> None:
        """An exchange took a connection from the pool."""
        self._cells[self._reused[backend]] += 1

    def retried(self, backend: Backend) -> None:
        """A request was sent a second time, or to another endpoint."""
        self._cells[self._retries[backend]] += 1

    def sent_to(self, backend: Backend) -> int:
        """How many requests have begun at a backend; never falls, and only differences mean something.

        Every one took a kept connection or got a fresh one, and that is counted anyway. One whose kept connection was closed counts twice;
        retries can't be taken off for it, as most of them follow an attempt that began nowhere.
        """
        cells = self._cells
        return cells[self._reused[backend]] + cells[self._opened[backend]]

    def retry_withheld(self, backend: Backend) -> None:
        """A request wasn't tried at another endpoint, since the backend's retries are used up."""
        self._cells[self._counters.series(f'strangler_retries_withheld_total{{backend="{backend}"}}')] += 1

    def fault(self, fault: Fault, backend: Backend | None) -> None:
        """An exchange, or an attempt of one, broke."""
        index = self._faults.get((fault, backend))
        if index is None:
            index = self._faults[fault, backend] = self._counters.series(
                f'strangler_faults_total{{party="{fault.party}",stage="{fault.stage}",'
                f'kind="{fault.kind}",backend="{backend or _NOBODY}"}}'
            )
        self._cells[index] += 1

    def refused(self, fault: Fault) -> None:
        """The proxy gave an answer of its own."""
        index = self._refused.get(fault.name)
        if index is None:
            index = self._counters.series(f'strangler_refused_total{{reason="{fault.name}"}}')
            self._refused[fault.name] = index
        self._cells[index] += 1

    def leaked(self, backend: Backend, header: str) -> None:
        """An answer named an inner host, in a header of `proxy.core.http.leaks.TOLD_AS` or another."""
        name = f'strangler_inner_hosts_told_total{{backend="{backend}",header="{header}"}}'
        self._cells[self._counters.series(name)] += 1

    def limit_reached(self, limit: Limit) -> None:
        """Something was refused or ended because of a limit."""
        self._cells[self._counters.series(f'strangler_limits_reached_total{{limit="{limit}"}}')] += 1

    def capped(self, area: str | None, cap: str) -> None:
        """A request was beyond a rate: `account` or `total`."""
        self._cells[
            self._counters.series(f'strangler_capped_total{{area="{label(area or NO_AREA)}",cap="{cap}"}}')
        ] += 1

    def defect(self, where: str) -> None:
        """A defect of ours came up in what is done once a tick."""
        self._cells[self._counters.series(f'strangler_defects_total{{where="{where}"}}')] += 1

    def drilled(self, decision: Decision, fault: str) -> None:
        """A drill's fault met a request."""
        name = "strangler_drill_faults_total"
        area = label(decision.area or NO_AREA)
        self._cells[self._counters.series(f'{name}{{area="{area}",backend="{decision.backend}",fault="{fault}"}}')] += 1

    def tunnel_opened(self, decision: Decision | None) -> None:
        """An exchange became a tunnel."""
        self._cells[self._lasting("strangler_tunnels_open", decision)] += 1

    def tunnel_closed(self, decision: Decision | None) -> None:
        """A tunnel ended."""
        self._cells[self._lasting("strangler_tunnels_open", decision)] -= 1

    def stream_opened(self, decision: Decision | None) -> None:
        """An answer turned out to be an event stream."""
        self._cells[self._lasting("strangler_event_streams_open", decision)] += 1

    def stream_closed(self, decision: Decision | None) -> None:
        """An event stream ended."""
        self._cells[self._lasting("strangler_event_streams_open", decision)] -= 1

    def _lasting(self, name: str, decision: Decision | None) -> int:
        assert decision is not None  # it was sent
        return self._counters.series(f'{name}{{area="{label(decision.area or NO_AREA)}",backend="{decision.backend}"}}')

    def exchange(
        self,
        decision: Decision | None,
        status: int,
        duration_us: int,
        received: int,
        sent: int,
        *,
        head_us: int | None = None,
        lasted: bool = False,
    ) -> None:
        """An exchange is over.

        Args:
            decision: None when the request was refused before it was decided.
            status: what the client was told, or 499.
            duration_us: from the request's head to the answer's last byte.
            received: bytes from the client.
            sent: bytes to the client.
            head_us: from the request's head to the answer's; None: none came.
            lasted: it was a tunnel or an event stream; how long people stay tells nothing of how fast a system answers.
        """
        if decision is None:
            area, backend, reason = None, None, None
        else:
            area, backend, reason = decision.area, decision.backend, decision.reason
            if not lasted:
                self._timings[backend].add(duration_us, head_us)
        key = (area, backend, reason, status // 100)
        served = self._served.get(key) or self._learn(area, backend, reason, status // 100)
        cells = self._cells
        cells[served.requests] += 1
        if served.decisions is not None:
            cells[served.decisions] += 1
        self._received_bytes += received
        self._sent_bytes += sent

    def route(self, decision: Decision, status: int, duration_us: int | None) -> None:
        """An exchange of a route is over; only where series by route are wanted.

        Args:
            decision: the exchange's.
            status: what the client was told, or 499.
            duration_us: None: it has none that tells anything.
        """
        route, backend = decision.route_id, decision.backend
        served = route, backend, status // 100
        index = self._routes.get(served)
        if index is None:
            index = self._routes[served] = self._counters.series(
                f'strangler_route_requests_total{{route="{label(route or NO_AREA)}",backend="{backend}",status="{status // 100}xx"}}'
            )
        self._cells[index] += 1
        if duration_us is not None:
            took = self._route_times.get((route, backend))
            if took is None:
                took = self._route_times[route, backend] = self._counters.series(
                    f'strangler_route_time_us_total{{route="{label(route or NO_AREA)}",backend="{backend}"}}'
                )
            self._cells[took] += duration_us

    def spans(self, exported: int, dropped: int) -> None:
        """So many spans more were exported, and dropped."""
        for name, count in (("exported", exported), ("dropped", dropped)):
            self._cells[self._counters.series(f"strangler_spans_{name}_total")] += count

    def _learn(self, area: str | None, backend: Backend | None, reason: str | None, hundreds: int) -> _Served:
        series, of_area = self._counters.series, label(area or NO_AREA)
        requests = series(
            f'strangler_requests_total{{area="{of_area}",backend="{backend or _NOBODY}",status="{hundreds}xx"}}'
        )
        decisions = None
        if reason is not None:
            decisions = series(f'strangler_decisions_total{{area="{of_area}",backend="{backend}",reason="{reason}"}}')
        served = self._served[area, backend, reason, hundreds] = _Served(requests, decisions)
        return served

    def flush(self, *, in_flight: int, log_dropped: int) -> None:
        """Add to the page what is gathered between ticks."""
        self._cells[self._in_flight] = in_flight
        self._cells[self._received] += self._received_bytes
        self._cells[self._sent] += self._sent_bytes
        self._received_bytes = self._sent_bytes = 0
        self._cells[self._log_dropped] += log_dropped - self._log_dropped_told
        self._log_dropped_told = log_dropped
        for backend in Backend:
            self._timings[backend].flush()
            self._connects[backend].flush()
            self._queues[backend].flush()
