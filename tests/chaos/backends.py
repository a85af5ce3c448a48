"""What backends do wrong, one row each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.core.care.reaching import EndpointCare
from proxy.core.plan import BackendTls
from tests.certificates import Authority
from tests.chaos.row import Row, Seen, options_of
from tests.chaos.scripted import Behaviour, Scripted, hold, sends, trickles, well
from tests.chaos.stage import ANEW, BEFORE, GET, GOES_ON, POST, PUT, read, stage
from tests.traffic.test_tls_backends import SecureBackend
from tests.traffic.wire import Wire, a_plan, eventually, full_backlog

LONG: Final = EndpointCare(faults=2, first_s=3600.0, longest_s=3600.0)
_FAULTS: Final = 'strangler_faults_total{{party="legacy",stage="{}",kind="{}",backend="legacy"}}'


def counted(stage_: str, kind: str) -> str:
    return _FAULTS.format(stage_, kind)


def misbehaving(behave: Behaviour, request: bytes = GET) -> Callable[[Row, Path], Seen]:
    """One endpoint that does something wrong once."""

    def scene(row: Row, directory: Path) -> Seen:
        with stage(row, directory) as on:
            endpoint = on.endpoint(behave)
            on.start()
            client = on.client()
            client.send(request)
            told = read(client)
            endpoint.behave = well
            return on.seen(told, client)

    return scene


def _refused(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint()
        endpoint.refuse()
        on.start()
        client = on.client()
        client.send(GET)
        told = read(client)
        endpoint.listen_again()
        return on.seen(told, client)


def _black_holed(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        with full_backlog() as url:
            on.start(url)
            client = on.client()
            client.send(GET)
            told = read(client)
        port = int(url.rpartition(":")[2])
        later = on.endpoint()
        later.refuse()
        later.raw.port = port
        later.listen_again()
        return on.seen(told, client)


def _stale(request: bytes, end: Callable[[Wire], None]) -> Callable[[Row, Path], Seen]:
    def scene(row: Row, directory: Path) -> Seen:
        with stage(row, directory) as on:
            endpoint = on.endpoint()
            on.start()
            client = on.client()
            client.send(BEFORE)
            assert read(client) == "200"

            def once(wire: Wire) -> None:
                endpoint.behave = well
                end(wire)

            endpoint.behave = once
            client.send(request)
            return on.seen(read(client), client)

    return scene


def _surplus(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        on.endpoint(
            sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        )
        on.start()
        client = on.client()
        client.send(GET)
        told = read(client)
        connection = on.endpoints[0].connections[0].sock
        eventually(lambda: connection.fileno() < 0, "the connection that said too much is ended")
        return on.seen(told, client)


def _one_of_two(spoil: Callable[[Scripted], None], request: bytes = POST) -> Callable[[Row, Path], Seen]:
    def scene(row: Row, directory: Path) -> Seen:
        with stage(row, directory) as on:
            first, _ = on.endpoint(), on.endpoint()
            spoil(first)
            on.start(care=LONG)
            client = on.client()
            for _ in range(2):
                client.send(request)
                assert read(client) == "200"
            return on.seen("200", client)

    return scene


def _one_cut(request: bytes, second: Behaviour = well) -> Callable[[Row, Path], Seen]:
    def scene(row: Row, directory: Path) -> Seen:
        with stage(row, directory) as on:
            both = on.endpoint(Wire.reset), on.endpoint(second)
            on.start(care=LONG)
            client = on.client()
            client.send(request)
            told = read(client)
            for one in both:
                one.behave = well
            return on.seen(told, client)

    return scene


def _one_black_holed(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on, full_backlog() as url:
        second = on.endpoint()
        on.start(url, second.url, care=LONG)
        client = on.client()
        for _ in range(2):
            client.send(POST)
            assert read(client) == "200"
        return on.seen("200", client)


def _one_hung(row: Row, directory: Path) -> Seen:
    """Hung as a stopped process is: the kernel takes connections and bytes, nobody answers."""
    with stage(row, directory) as on:
        first, _ = on.endpoint(hold), on.endpoint()
        node = on.start(care=LONG)
        told = []
        client = on.client()
        for _ in range(3):
            client.send(GET)
            told.append(read(client))
            node.prefer(first.url)
        return on.seen(", ".join(dict.fromkeys(told)), client)


def _flapping(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        first, _ = on.endpoint(), on.endpoint()
        node = on.start(care=EndpointCare(first_s=0.0, longest_s=0.0, slow_start_s=0.0))
        endpoint = next(one for one in node.traffic._endpoints.values() if one.url == first.url)
        client = on.client()
        told = set()
        for _ in range(5):
            first.refuse()
            first.cut_all()
            eventually(lambda: not node.do(lambda: len(endpoint._idle)), "its connections are gone")
            node.prefer(first.url)
            client.send(POST)
            told.add(read(client))
            first.listen_again()
            node.prefer(first.url)
            client.send(BEFORE)
            told.add(read(client))
        assert len(on.told.lines) <= 2, "told once in ten seconds, with its return"
        return on.seen(", ".join(sorted(told)), client)


def _all_down(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        both = on.endpoint(), on.endpoint()
        for one in both:
            one.refuse()
        on.start(care=LONG)
        client = on.client()
        client.send(GET)
        told = read(client)
        both[1].listen_again()
        return on.seen(told, client)


def _no_such_name(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint()
        node = on.start("http://gone.invalid:80")
        client = on.client()
        client.send(GET)
        told = read(client)
        node.swap(a_plan(endpoint.url, endpoint.url))  # the name can't be brought back: the plan names another
        return on.seen(told, client)


def _certificate(*, until: dt.datetime | None, name: str) -> Callable[[Row, Path], Seen]:
    def scene(row: Row, directory: Path) -> Seen:
        (directory / "files").mkdir()
        authority = Authority(directory / "files")
        bad = authority.serving(authority.sign(name, until=until, since=until and until - dt.timedelta(days=9)))
        with stage(row, directory) as on:
            secure = SecureBackend(bad)
            on.endpoint(raw=secure)
            options = options_of(row.within)["legacy_options"] | {"tls": BackendTls(ca=authority.ca)}
            on.start(secure.url, path_of=authority.path_of, legacy_options=options)
            client = on.client()
            client.send(GET)
            told = read(client)
            secure.context = authority.serving(authority.sign("localhost"))
            return on.seen(told, client)

    return scene


def _plain_text_where_tls_belongs(row: Row, directory: Path) -> Seen:
    (directory / "files").mkdir()
    authority = Authority(directory / "files")
    with stage(row, directory) as on:
        endpoint = on.endpoint()
        endpoint.interrupts = sends(b"HTTP/1.1 400 Bad Request\r\n\r\n", then=Wire.leave)
        options = options_of(row.within)["legacy_options"] | {"tls": BackendTls(ca=authority.ca)}
        url = endpoint.url.replace("http://127.0.0.1", "https://localhost")
        node = on.start(url, path_of=authority.path_of, legacy_options=options)
        client = on.client()
        client.send(GET)
        told = read(client)
        endpoint.interrupts = None
        node.swap(a_plan(endpoint.url, endpoint.url))
        return on.seen(told, client)


HALF_HEAD = b"HTTP/1.1 200 OK\r\nContent-Le"
TEN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# fmt: off
ROWS: Final = (
    Row(id="refused", fault="a backend refuses connections", client="502", backends="nothing", log="502 legacy-connect-unreachable",
        says="can't be reached (connection refused); requests that only it may answer get 502", metric=counted("connect", "unreachable"), recovers=GOES_ON, scene=_refused),
    Row(id="black-holed", fault="packets to a backend vanish", client="504", within="`connect` (2 s)", backends="nothing", log="504 legacy-connect-timeout",
        says="can't be reached (no connection within", metric=counted("connect", "timeout"), recovers=GOES_ON, scene=_black_holed),
    Row(id="slow-head", fault="a backend takes a request and says nothing", client="504", within="`timeout` (20 s)", backends="1 whole", log="504 legacy-head-timeout",
        metric=counted("head", "timeout"), recovers=GOES_ON, scene=misbehaving(hold)),
    Row(id="slow-body", fault="a backend falls silent within its answer", client="200, cut", within="`timeout` (20 s)", backends="1 whole", log="200 legacy-body-timeout",
        metric=counted("body", "timeout"), recovers=ANEW, scene=misbehaving(sends(TEN, b"half"))),
    Row(id="trickled-body", fault="a backend gives a byte of its answer now and then", client="200, cut", within="`min_rate` (240 B/s) over `timeout` (20 s)", backends="1 whole",
        log="200 legacy-body-timeout", says="the answer comes more slowly than min_rate allows", metric=counted("body", "timeout"), recovers=ANEW, scene=misbehaving(trickles(b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"))),
    Row(id="endless-body", fault="a backend never ends its answer", client="200, cut", within="`total` (off)", backends="1 whole",
        log="200 legacy-body-timeout", metric=counted("body", "timeout"), recovers=ANEW, scene=misbehaving(trickles(b"1\r\nx\r\n", CHUNKED))),
    Row(id="reset-before-head", fault="a backend resets a fresh connection before it answers", client="502", backends="1 whole", log="502 legacy-head-cut",
        metric=counted("head", "cut"), recovers=GOES_ON, scene=misbehaving(Wire.reset)),
    Row(id="reset-in-head", fault="a backend resets within its answer's head", client="502", backends="1 whole", log="502 legacy-head-cut",
        metric=counted("head", "cut"), recovers=GOES_ON, scene=misbehaving(sends(HALF_HEAD, then=Wire.reset))),
    Row(id="closed-in-head", fault="a backend closes within its answer's head", client="502", backends="1 whole", log="502 legacy-head-cut",
        metric=counted("head", "cut"), recovers=GOES_ON, scene=misbehaving(sends(HALF_HEAD, then=Wire.leave))),
    Row(id="reset-after-head", fault="a backend resets within its answer's body", client="200, cut", backends="1 whole", log="200 legacy-body-cut",
        metric=counted("body", "cut"), recovers=ANEW, scene=misbehaving(sends(TEN, b"half", then=Wire.reset))),
    Row(id="truncated", fault="a backend announces more than it sends", client="200, cut", backends="1 whole", log="200 legacy-body-cut",
        metric=counted("body", "cut"), recovers=ANEW, scene=misbehaving(sends(TEN, b"half", then=Wire.leave))),
    Row(id="truncated-chunks", fault="a backend closes between chunks", client="200, cut", backends="1 whole", log="200 legacy-body-cut",
        metric=counted("body", "cut"), recovers=ANEW, scene=misbehaving(sends(CHUNKED, b"2\r\nok\r\n", then=Wire.leave))),
    Row(id="surplus", fault="a backend sends more than it announces", client="200", backends="1 whole", log="200", recovers=GOES_ON, scene=_surplus),
    Row(id="two-lengths", fault="a backend announces two lengths", client="502", backends="1 whole", log="502 legacy-head-malformed",
        says="repeated Content-Length", metric=counted("head", "malformed"), recovers=GOES_ON, scene=misbehaving(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"))),
    Row(id="garbage", fault="a backend answers garbage", client="502", backends="1 whole", log="502 legacy-head-malformed",
        says="malformed status line", metric=counted("head", "malformed"), recovers=GOES_ON, scene=misbehaving(sends(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))),
    Row(id="garbage-chunks", fault="a backend sends a chunk that is none", client="200, cut", backends="1 whole", log="200 legacy-body-malformed",
        says="malformed chunk size", metric=counted("body", "malformed"), recovers=ANEW, scene=misbehaving(sends(CHUNKED, b"2\r\nok\r\nxyz\r\n"))),
    Row(id="huge-head", fault="a backend's head has no end", client="502", within="`limits.answer_head` (64 KiB)", backends="1 whole", log="502 legacy-head-too_large",
        says="the answer's head is too long", metric=counted("head", "too_large"), recovers=GOES_ON, scene=misbehaving(sends(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 2000))),
    Row(id="interim-flood", fault="a backend sends interim answers without end", client="502", within="`limits.interim_answers` (16)", backends="1 whole",
        log="502 legacy-head-too_large", says="too many interim answers", metric=counted("head", "too_large"), recovers=GOES_ON, scene=misbehaving(sends(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9))),
    Row(id="stale-get", fault="a kept connection turns out to be closed: GET", client="200", backends="2 whole", log="200",
        metric='strangler_retries_total{backend="legacy"}', recovers=GOES_ON, scene=_stale(GET, Wire.reset)),
    Row(id="stale-put", fault="the same: PUT", client="200", backends="2 whole", log="200",
        metric='strangler_retries_total{backend="legacy"}', recovers=GOES_ON, scene=_stale(PUT, Wire.leave)),
    Row(id="stale-post", fault="the same: POST, which is never sent twice", client="502", backends="1 whole", log="502 legacy-head-cut",
        metric=counted("head", "cut"), recovers=GOES_ON, scene=_stale(POST, Wire.leave)),
    Row(id="one-refused", fault="one of two endpoints refuses", client="200", backends="first: nothing; second: 2 whole", log="200",
        says="can't be reached (connection refused); its other endpoints are asked first", metric='why="unreachable"', recovers=GOES_ON, scene=_one_of_two(Scripted.refuse)),
    Row(id="one-black-holed", fault="packets to one of two endpoints vanish", client="200", within="`connect` (2 s)", backends="2 whole", log="200",
        says="can't be reached (no connection within", metric='why="unreachable"', recovers=GOES_ON, scene=_one_black_holed),
    Row(id="one-cut", fault="one of two endpoints resets a fresh connection before it answers: GET", client="200", backends="first: 1 whole; second: 1 whole", log="200",
        metric=counted("head", "cut"), recovers=GOES_ON, scene=_one_cut(GET)),
    Row(id="one-cut-post", fault="the same: POST, which is never sent twice", client="502", backends="first: 1 whole; second: nothing", log="502 legacy-head-cut",
        metric=counted("head", "cut"), recovers=GOES_ON, scene=_one_cut(POST)),
    Row(id="all-cut", fault="both endpoints reset fresh connections: GET, sent on once", client="502", backends="first: 1 whole; second: 1 whole", log="502 legacy-head-cut",
        metric=counted("head", "cut"), recovers=GOES_ON, scene=_one_cut(GET, second=Wire.reset)),
    Row(id="one-hung", fault="one of two endpoints takes requests and says nothing, `endpoints.faults` in a row", client="504, 200", within="`timeout` (20 s)",
        backends="first: 2 whole; second: 1 whole", log="504 legacy-head-timeout, 200", says="leaves requests unanswered",
        metric='strangler_endpoint_ejections_total{backend="legacy"}', recovers=GOES_ON, scene=_one_hung),
    Row(id="flapping", fault="one of two endpoints comes and goes", client="200", backends="first: nothing; second: 5 whole", log="200",
        says="can't be reached (connection refused)", metric='strangler_retries_total{backend="legacy"}', recovers=GOES_ON, scene=_flapping),
    Row(id="all-down", fault="all endpoints refuse", client="502", backends="first: nothing; second: nothing", log="502 legacy-connect-unreachable",
        says="can't be reached (connection refused)", metric=counted("connect", "unreachable"), recovers=GOES_ON, scene=_all_down),
    Row(id="dns-gone", fault="a backend's name can't be resolved", client="502", backends="nothing", log="502 legacy-connect-unreachable",
        says="gone.invalid:80 can't be reached", metric=counted("connect", "unreachable"), recovers=GOES_ON, scene=_no_such_name),
    Row(id="tls-expired", fault="a backend's certificate has expired", client="502", backends="nothing", log="502 legacy-connect-untrusted",
        says="its certificate isn't trusted: certificate has expired", metric=counted("connect", "untrusted"), recovers=GOES_ON,
        scene=_certificate(until=dt.datetime(2020, 1, 1, tzinfo=dt.UTC), name="localhost")),
    Row(id="tls-other-name", fault="a backend's certificate is for another host", client="502", backends="nothing", log="502 legacy-connect-untrusted",
        says="its certificate isn't trusted: hostname mismatch", metric=counted("connect", "untrusted"), recovers=GOES_ON, scene=_certificate(until=None, name="other.example")),
    Row(id="tls-none", fault="a backend speaks plain text where TLS belongs", client="502", backends="nothing", log="502 legacy-connect-handshake",
        says="TLS failed", metric=counted("connect", "handshake"), recovers=GOES_ON, scene=_plain_text_where_tls_belongs),
)
# fmt: on
