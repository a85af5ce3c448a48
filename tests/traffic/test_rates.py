"""Rate caps as clients meet them."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from proxy.core.limits import Limits, Rate
from proxy.core.plan import Area, Identity, Listener, Route, Source
from tests.traffic.test_frozen import freeze
from tests.traffic.wire import OK, Node, Wire, a_plan, eventually, full_backlog

Start = Callable[..., Node]

COOKIE = Source(source="cookie", name="acct", place="-")
HEADER = Source(source="header", name="X-Account-Id", place="-")
VERIFIED = Identity(trusted_from=("127.0.0.1/32",), account=(HEADER,))
CLAIMED = Identity(account=(COOKIE,))
AN_HOUR = Rate(1 / 3600, 2)  # two at once, and then nothing for as long as any test lasts


def get(path: str = "/", account: str | None = None, *, verified: bool = False) -> bytes:
    who = "" if account is None else f"X-Account-Id: {account}\r\n" if verified else f"Cookie: acct={account}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n{who}\r\n".encode()


class _Obliging(socketserver.StreamRequestHandler):
    """Answers every request that has no body."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            if line == b"\r\n":
                self.wfile.write(OK)


@pytest.fixture
def backend() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Obliging) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def passes(client: Wire, request: bytes) -> bool:
    """Whether a request is answered by the backend, and not told that there were too many."""
    client.send(request)
    status, head, _ = client.answer()
    if status == 429:
        assert int(re.findall(rb"\r\nRetry-After: (\d+)\r\n", head)[0]) >= 1
    return {200: True, 429: False}[status]


def capped(node: Node, area: str, cap: str) -> int:
    return node.count(f'strangler_capped_total{{area="{area}",cap="{cap}"}}')


def test_an_account_that_asks_too_much_is_told_when_to_come_again_and_others_are_served(
    start: Start, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(legacy=backend, new=backend, identity=VERIFIED, account_rate=AN_HOUR)
    with node.client() as client, node.client() as another:
        assert passes(client, get(account="acme", verified=True))
        assert passes(another, get("/new/", account="acme", verified=True))  # wherever it asks, and from where
        client.send(get(account="acme", verified=True))
        status, head, body = client.answer()
        assert status == 429
        assert b"\r\nX-Strangler-Error: client-request-capped\r\n" in head
        assert re.search(rb"\r\nRetry-After: (3599|3600)\r\n", head)
        assert b"more requests came" in body
        assert passes(client, get(account="umbrella", verified=True))
        assert all(passes(client, get()) for _ in range(5))  # nobody: has no budget of its own
        assert not passes(another, get("/new/", account="acme", verified=True))
    assert (capped(node, "-", "account"), capped(node, "moved", "account")) == (1, 1)
    refused = [line for line in map(json.loads, node.log_lines(10)) if line["status"] == 429]
    assert [(line["fault"], line["backend"]) for line in refused] == [
        ("client-request-capped", "legacy"),
        ("client-request-capped", "new"),
    ]
    assert len([text for text in caplog.messages if "beyond rate.account" in text]) == 1


def test_what_is_refused_reaches_no_backend_and_takes_no_place_there(start: Start, backend: str) -> None:
    node = start(
        legacy=backend,
        new=backend,
        identity=VERIFIED,
        account_rate=Rate(1 / 3600, 1),
        legacy_options={"max_in_flight": 1},
    )
    with node.client() as client:
        assert passes(client, get(account="acme", verified=True))
        assert not passes(client, get(account="acme", verified=True))
        assert passes(client, get())
    assert node.traffic._loads[node.traffic.wiring.outlets["legacy"].backend].in_flight == 0  # type: ignore[index]  # a StrEnum
    assert node.count("strangler_backend_connections_opened_total") == 1


def test_who_only_claims_an_account_eats_nothing_of_it(start: Start, backend: str) -> None:
    node = start(
        legacy=backend,
        new=backend,
        identity=CLAIMED,
        account_rate=AN_HOUR,
        listener=Listener(proxy_protocol_from=("127.0.0.1/32",)),
    )
    with node.client() as thief, node.client() as owner, node.client() as again:
        thief.send(b"PROXY TCP4 203.0.113.66 192.0.2.1 4711 80\r\n")
        assert [passes(thief, get(account="acme")) for _ in range(4)] == [True, True, False, False]
        owner.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n")
        assert [passes(owner, get(account="acme")) for _ in range(3)] == [True, True, False]
        again.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 4712 80\r\n")
        assert not passes(again, get(account="acme"))


AREAS = (
    Area(name="reports", place="-", flag="reports", account_rate=Rate(1 / 3600, 1), total_rate=Rate(1 / 3600, 2)),
    Area(name="status", place="-", flag="status", account_rate=Rate(0)),
)
ROUTES = tuple(Route(id=f"{one.name}/1", area=one.name, place="-", path=f"/{one.name}/**") for one in AREAS)


def test_an_area_has_its_own_caps_in_place_of_the_files_and_one_for_all_together(start: Start, backend: str) -> None:
    node = start(legacy=backend, new=backend, identity=CLAIMED, account_rate=AN_HOUR, areas=AREAS, routes=ROUTES)
    with node.client() as client:
        assert [passes(client, get("/reports/1", account="acme")) for _ in range(2)] == [True, False]
        assert [passes(client, get("/", account="acme")) for _ in range(3)] == [True, True, False]
        assert all(passes(client, get("/status/", account="acme")) for _ in range(5))
        assert passes(client, get("/reports/1"))  # counts for the total alone
        client.send(get("/reports/1", account="umbrella"))
        assert b"proxy-request-capped" in client.answer()[1]
    assert (capped(node, "reports", "account"), capped(node, "reports", "total")) == (1, 1)


def test_what_an_account_was_refused_costs_the_area_nothing(start: Start, backend: str) -> None:
    node = start(legacy=backend, new=backend, identity=CLAIMED, areas=AREAS, routes=ROUTES)
    with node.client() as client:
        assert [passes(client, get("/reports/", account="acme")) for _ in range(5)] == [True, *[False] * 4]
        assert passes(client, get("/reports/", account="umbrella"))
        assert not passes(client, get("/reports/", account="wayne"))  # the total's two are gone
        node.swap(a_plan(backend, backend, identity=CLAIMED, areas=(AREAS[0],), routes=ROUTES[:1]))
        assert not passes(client, get("/reports/", account="wayne"))  # a reload gives nothing back
        loose = Area(name="reports", place="-", flag="reports", account_rate=AREAS[0].account_rate)
        node.swap(a_plan(backend, backend, identity=CLAIMED, areas=(loose,), routes=ROUTES[:1]), 3)
        assert passes(client, get("/reports/", account="wayne"))  # and it was refused for nothing


def test_a_cap_that_is_raised_holds_at_once_also_for_who_had_used_up_the_former(start: Start, backend: str) -> None:
    node = start(legacy=backend, new=backend, identity=CLAIMED, areas=AREAS, routes=ROUTES)
    with node.client() as client:
        assert [passes(client, get("/reports/", account="acme")) for _ in range(2)] == [True, False]
        assert passes(client, get("/reports/"))  # the total's two are gone as well
        raised = Area(name="reports", place="-", flag="reports", account_rate=Rate(2000, 1), total_rate=Rate(2000, 2))
        node.swap(a_plan(backend, backend, identity=CLAIMED, areas=(raised,), routes=ROUTES[:1]))
        eventually(lambda: passes(client, get("/reports/", account="acme")), "not an hour later")


def test_a_worker_has_its_part_and_without_caps_nobody_is_counted(start: Start, backend: str) -> None:
    node = start(legacy=backend, new=backend, identity=VERIFIED, account_rate=Rate(1 / 3600, 3), share=2)
    with node.client() as client:
        assert [passes(client, get(account="acme", verified=True)) for _ in range(3)] == [True, True, False]
        node.swap(a_plan(backend, backend, identity=VERIFIED))
        assert node.traffic.wiring.caps is None
        assert passes(client, get(account="acme", verified=True))


def test_a_bounded_number_of_accounts_is_remembered_and_who_was_idle_longest_is_forgotten(
    start: Start, backend: str
) -> None:
    node = start(
        legacy=backend, new=backend, identity=CLAIMED, account_rate=Rate(1 / 3600, 1), limits=Limits(rated_accounts=3)
    )
    with node.client() as client:
        for account in ("a", "b", "c"):
            assert passes(client, get(account=account))
        assert not passes(client, get(account="a"))
        assert passes(client, get(account="d"))
        assert passes(client, get(account="a"))  # forgotten
        assert not passes(client, get(account="c"))
        assert not passes(client, get(account="d"))
    assert len(node.traffic._caps.claimed) == 3
    assert node.count('strangler_limits_reached_total{limit="rated_accounts"}') == 2


def test_accounts_that_are_made_up_push_out_no_verified_one(start: Start, backend: str) -> None:
    both = Identity(trusted_from=("127.0.0.1/32",), account=(HEADER, COOKIE))
    once = Rate(1 / 3600, 1)
    node = start(legacy=backend, new=backend, identity=both, account_rate=once, limits=Limits(rated_accounts=3))
    with node.client() as client:
        for account in ("acme", "umbrella"):
            assert passes(client, get(account=account, verified=True))
        for number in range(9):
            assert passes(client, get(account=f"made-up-{number}"))
        assert not passes(client, get(account="made-up-8")), "the last is remembered, as there is room for one"
        assert passes(client, get(account="initech", verified=True))  # takes its place
        assert passes(client, get(account="made-up-8"))
        for account in ("acme", "umbrella", "initech"):
            assert not passes(client, get(account=account, verified=True))
        assert passes(client, get(account="hooli", verified=True))  # of verified ones the longest idle goes
        assert passes(client, get(account="acme", verified=True))
    caps = node.traffic._caps
    assert (len(caps.verified), len(caps.claimed)) == (3, 0)


def test_a_request_that_is_decided_anew_is_charged_once(start: Start, backend: str) -> None:
    with full_backlog() as nowhere:
        node = start(
            legacy=backend,
            new=(nowhere, backend),
            identity=CLAIMED,
            account_rate=AN_HOUR,
            new_options={"connect_s": 0.3},
        )
        node.prefer(nowhere)
        with node.client() as client:
            client.send(get("/new/", account="acme"))
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 1, "it waits for a connection")
            freeze(node, "another")
            assert client.answer()[0] == 200
            node.prefer(backend)
            assert passes(client, get("/new/", account="acme"))  # the second of two
            assert not passes(client, get("/new/", account="acme"))
