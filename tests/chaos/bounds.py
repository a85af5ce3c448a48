"""What is refused, or answered otherwise, before a fault becomes a worse one: queues, breakers, budgets, caps, fallbacks; one row each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from proxy.core.limits import Rate
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, Identity, Route, Source
from tests.chaos.row import Row, Seen
from tests.chaos.scripted import hold, well
from tests.chaos.stage import BEFORE, GET, GOES_ON, read, stage
from tests.traffic.wire import Wire, eventually

_COOKIE: Final = Identity(account=(Source(source="cookie", name="acct", place="-"),))


def _full(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(hold)
        node = on.start()
        first, second = on.client(), on.client()
        first.send(BEFORE)
        eventually(lambda: endpoint.connections, "one is in flight")
        second.send(GET)
        told = read(second)
        endpoint.cut_all()
        eventually(lambda: node.do(lambda: node.traffic.in_flight) == 0, "it is over")
        endpoint.behave = well
        return on.seen(told, second)


def _waits(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(hold)
        node = on.start()
        first, second = on.client(), on.client()
        first.send(BEFORE)
        eventually(lambda: endpoint.connections, "one is in flight")
        second.send(GET)
        eventually(lambda: node.do(lambda: node.traffic._loads[Backend.LEGACY].waiting) == 1, "the other waits")
        endpoint.behave = well
        endpoint.cut_all()
        told = read(second)
        eventually(lambda: node.count("strangler_queue_wait_us_count{"), "its wait is counted")
        return on.seen(told, second)


def _tripped(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(Wire.reset)
        node = on.start()
        client = on.client()
        for _ in range(2):
            client.send(BEFORE)
            assert read(client) == "502"
        client.send(GET)
        told = read(client)
        endpoint.behave = well
        eventually(
            lambda: node.count('strangler_breaker_open{backend="legacy",state="half_open"}'), "some are let through"
        )
        return on.seen(told, client)


def _withheld(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        both = on.endpoint(), on.endpoint()
        for one in both:
            one.refuse()
        on.start()
        client = on.client()
        client.send(GET)
        told = read(client)
        for one in both:
            one.listen_again()
        return on.seen(told, client)


def _capped(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        on.endpoint()
        on.start(identity=_COOKIE, account_rate=Rate(1 / 3600, 1))
        client = on.client()
        told = []
        for request in (BEFORE, GET):
            client.send(request.replace(b"Host: shop\r\n", b"Host: shop\r\nCookie: acct=acme\r\n"))
            told.append(read(client))
        return on.seen(told[-1], client)


def _capped_in_total(row: Row, directory: Path) -> Seen:
    area = Area(name="busy", place="-", flag="busy", total_rate=Rate(1 / 3600, 1))
    route = Route(id="busy/1", area="busy", place="-", path="/busy/**", to=Backend.LEGACY)
    with stage(row, directory) as on:
        on.endpoint()
        on.start(areas=(area,), routes=(route,))
        first, second = on.client(), on.client()
        told = []
        for client in (first, second):
            client.send(GET.replace(b"/x", b"/busy/x"))
            told.append(read(client))
        return on.seen(", ".join(told), second)


def _falls_back(row: Row, directory: Path) -> Seen:
    area = Area(name="safe", place="-", flag="safe", fallback=Fallback.SAFE)
    route = Route(id="safe/1", area="safe", place="-", path="/safe/**", to=Backend.NEW)
    with stage(row, directory) as on:
        on.endpoint()
        on.start(areas=(area,), routes=(route,))
        client = on.client()
        client.send(GET.replace(b"/x", b"/safe/x"))
        return on.seen(read(client), client)


# fmt: off
ROWS: Final = (
    Row(id="waiting", fault="a backend has as much in flight as it may, until one is answered", client="200", within="`queue.wait` (1 s)", backends="1 whole", log="200",
        metric="strangler_queue_wait_us", recovers=GOES_ON, scene=_waits),
    Row(id="backend-full", fault="a backend has as much in flight as it may", client="503", within="`queue.wait` (1 s)", backends="nothing", log="503 legacy-connect-busy",
        metric="strangler_queue_refused_total", recovers=GOES_ON, scene=_full),
    Row(id="queue-full", fault="as much in flight, and as many waiting", client="503", within="`queue.most` (1,024)", backends="nothing", log="503 legacy-connect-busy",
        metric="strangler_queue_refused_total", recovers=GOES_ON, scene=_full),
    Row(id="tripped", fault="a backend leaves request after request unanswered: its breaker is open", client="503", within="`breaker`: 20 requests in 10 s, half of them unanswered", backends="nothing",
        log="503 legacy-connect-tripped", says="its breaker is open", metric="strangler_breaker_opened_total", recovers=GOES_ON, scene=_tripped),
    Row(id="retries-withheld", fault="retries are used up", client="502", within="`retries`: a fifth of the requests, and 10 a second", backends="first: nothing; second: nothing", log="502 legacy-connect-unreachable",
        says="its retries are used up", metric="strangler_retries_withheld_total", recovers=GOES_ON, scene=_withheld),
    Row(id="capped", fault="an account asks more than it may", client="429", within="`rate.account` (off)", backends="nothing", log="429 client-request-capped",
        says="beyond rate.account", metric="strangler_capped_total", recovers=GOES_ON, scene=_capped),
    Row(id="capped-total", fault="all together ask more of an area than they may", client="200, 429", within="`rate.total` (off)", backends="1 whole", log="200, 429 proxy-request-capped",
        says="beyond rate.total of busy", metric='strangler_capped_total{area="busy",cap="total"}', recovers=GOES_ON, scene=_capped_in_total),
    Row(id="fallback", fault="new refuses connections; the area says `fallback: safe`", client="200", backends="1 whole", log="200",
        says="can't be reached (connection refused)", metric="strangler_fallbacks_total", recovers=GOES_ON, scene=_falls_back),
)
# fmt: on
