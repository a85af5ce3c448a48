"""What clients do wrong, one row each."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from proxy.core.care.reaching import QueueCare
from proxy.core.model import Backend
from proxy.core.plan import Listener, ListenerTls
from tests.certificates import Authority
from tests.chaos.row import AN_HOUR_S, Row, Seen, options_of
from tests.chaos.scripted import OK, hold, sends, well
from tests.chaos.stage import ANEW, BEFORE, GET, GOES_ON, POST, read, stage
from tests.traffic.wire import Wire, eventually, full_backlog

_FAULTS: Final = 'strangler_faults_total{{party="client",stage="{}",kind="{}",backend="legacy"}}'
_LIMIT: Final = 'strangler_limits_reached_total{{limit="{}"}}'
_GONE: Final = "— (it has left)"
_GRANTED: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
_ASKS_FOR_A_TUNNEL: Final = b"GET /x HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
_BIG: Final = 32 << 20  # more than kernel buffers on loopback and the proxy hold together


def counted(stage_: str, kind: str) -> str:
    return _FAULTS.format(stage_, kind)


def sending(*pieces: bytes) -> Callable[[Row, Path], Seen]:
    """A client that sends something wrong, and reads what it is told."""

    def scene(row: Row, directory: Path) -> Seen:
        with stage(row, directory) as on:
            on.endpoint()
            on.start()
            client = on.client()
            client.send(*pieces)
            return on.seen(read(client), client)

    return scene


def _leaves_in_its_head(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        on.endpoint()
        on.start()
        client = on.client()
        client.send(b"GET /x HTTP/1.1\r\nHo")
        client.leave()
        return on.seen(_GONE)


def _leaves_in_its_body(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint()
        on.start()
        client = on.client()
        client.send(b"POST /x HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        eventually(lambda: endpoint.reading == 1, "it arrives")
        client.leave()
        return on.seen(_GONE)


def _leaves_unanswered(request: bytes, end: Callable[[Wire], None]) -> Callable[[Row, Path], Seen]:
    def scene(row: Row, directory: Path) -> Seen:
        with stage(row, directory) as on:
            done: list[str] = []

            def waits(wire: Wire) -> None:
                if request == GET:
                    done.append(wire.ends())
                else:
                    eventually(lambda: on.node.do(lambda: len(on.node.traffic.orphans)) == 1, "the client is missed")
                    wire.send(OK)
                    endpoint.behave = well

            endpoint = on.endpoint(waits)
            on.start()
            client = on.client()
            client.send(request)
            eventually(lambda: len(endpoint.arrived), "it arrives")
            end(client)
            if request == GET:
                eventually(lambda: done, "it is cancelled")
                endpoint.behave = well
            return on.seen(_GONE)

    return scene


def _leaves_in_the_answer(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then=hold))
        on.start()
        client = on.client()
        client.send(GET)
        client.until(b"half")
        client.leave()
        endpoint.behave = well
        return on.seen(_GONE)


def _never_reads(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(sends(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _BIG, bytes(_BIG)))
        node = on.start()
        client = on.client(receive_bytes=4096)
        client.send(GET)
        eventually(lambda: endpoint.arrived, "it is asked")
        eventually(lambda: node.do(lambda: node.traffic.in_flight) == 0, "it is given up")
        endpoint.behave = well
        return on.seen(read(client))


def _never_asks(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        on.endpoint()
        on.start()
        client = on.client()
        return on.seen(read(client), client)


def _floods(row: Row, directory: Path) -> Seen:
    """Connections of one address, two more than it may have."""
    with stage(row, directory) as on:
        on.endpoint()
        node = on.start()
        crowd = [on.client() for _ in range(2)]
        for one in crowd:
            one.send(BEFORE)
            assert read(one) == "200"
        extra = on.client()
        extra.send(GET)
        told = read(extra)
        for one in (*crowd, extra):
            one.leave()
        eventually(lambda: node.do(lambda: len(node.traffic._clients)) == 0, "they have left")
        return on.seen(told)


def _crowds(row: Row, directory: Path) -> Seen:
    """More connections than all places: those that are idle make room, newcomers wait and are served."""
    with stage(row, directory) as on:
        on.endpoint()
        on.start()
        crowd = [on.client() for _ in range(4)]
        for one in crowd:
            one.send(BEFORE)
            assert read(one) == "200"
        newcomer = on.client()
        newcomer.send(GET)
        return on.seen(read(newcomer), newcomer)


def _uploads(wire: Wire) -> None:
    """Send, until nobody takes it any more."""
    with contextlib.suppress(OSError):
        wire.send(b"PUT /x HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % _BIG, bytes(_BIG))


def _all_hold_the_most(row: Row, directory: Path) -> Seen:
    """Every place is taken by an upload without end that its backend doesn't take; one more client comes.

    That what these hold stays below what is computed from the limits is shown by tests/app/test_footprint.py, in a process of its own.
    """
    with stage(row, directory) as on, ExitStack() as uploads:
        full = threading.Event()
        uploads.callback(full.set)

        def takes_nothing(wire: Wire) -> None:
            full.wait(20)
            wire.leave()

        endpoint = on.endpoint()
        endpoint.interrupts = takes_nothing
        node = on.start()
        crowd = [on.client() for _ in range(4)]
        for one in crowd:
            threading.Thread(target=_uploads, args=(one,), daemon=True).start()
        eventually(lambda: node.do(lambda: node.traffic.in_flight) == 4, "all places are taken")
        newcomer = on.client()
        newcomer.send(BEFORE)
        told = {read(one) for one in crowd}
        for one in crowd:
            one.reset()
        endpoint.interrupts = None
        full.set()
        assert read(newcomer) == "200", "it waited for a place"
        return on.seen(", ".join(told), newcomer)


def _leaves_waiting(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(hold)
        patient = options_of(row.within)["legacy_options"]
        node = on.start(legacy_options=patient | {"max_in_flight": 1, "queue": QueueCare(wait_s=AN_HOUR_S)})
        first, client = on.client(), on.client()
        first.send(BEFORE)
        eventually(lambda: endpoint.arrived, "one is in flight")
        client.send(GET)
        eventually(lambda: node.do(lambda: node.traffic._loads[Backend.LEGACY].waiting) == 1, "the other waits")
        client.leave()
        eventually(lambda: node.do(lambda: node.traffic._loads[Backend.LEGACY].waiting) == 0, "it is missed")
        endpoint.behave = well
        endpoint.cut_all()
        assert read(first) == "502"
        return on.seen(_GONE)


def _leaves_connecting(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        with full_backlog() as url:
            node = on.start(url)
            client = on.client()
            client.send(GET)
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 1, "it is under way")
            client.leave()
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 0, "it is missed")
        later = on.endpoint()
        later.refuse()
        later.raw.port = int(url.rpartition(":")[2])
        later.listen_again()
        return on.seen(_GONE)


def _leaves_in_its_handshake(row: Row, directory: Path) -> Seen:
    (directory / "files").mkdir()
    authority = Authority(directory / "files")
    with stage(row, directory) as on:
        on.endpoint()
        on.trusting = authority.trusting()
        tls = ListenerTls(certificates=(authority.pair("shop.test"),))
        node = on.start(listener=Listener(tls=tls), path_of=authority.path_of)
        client = node.client()
        client.send(b"\x16\x03\x01\x02\x00\x01")
        eventually(lambda: node.do(lambda: node.traffic.doors.greeting) == 1, "its handshake has begun")
        client.leave()
        eventually(lambda: node.do(lambda: node.traffic.doors.greeting) == 0, "it is missed")
        return on.seen(_GONE)


def _leaves_its_tunnel(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        ended: list[str] = []
        endpoint = on.endpoint(sends(_GRANTED, then=lambda wire: ended.append(wire.ends())))
        on.start()
        client = on.client()
        client.send(_ASKS_FOR_A_TUNNEL)
        assert client.head().startswith(b"HTTP/1.1 101 ")
        client.leave()
        eventually(lambda: ended, "the backend is told")
        endpoint.behave = well
        return on.seen(f"101 {_GONE}")


def _idle_tunnel(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(sends(_GRANTED))
        on.start()
        client = on.client()
        client.send(_ASKS_FOR_A_TUNNEL)
        assert client.head().startswith(b"HTTP/1.1 101 ")
        told = f"101, {client.ends()}"
        endpoint.behave = well
        return on.seen(told)


def _defends_the_log(row: Row, directory: Path) -> Seen:
    """A client that tries to write a line of its own into the access log."""
    with stage(row, directory) as on:
        on.endpoint()
        on.start()
        client = on.client()
        client.send(b'GET /x","status":999,"y":" HTTP/1.1\r\nHost: shop\r\n\r\n')
        told = read(client)
        seen = on.seen(told, client)
        assert [json.loads(json.dumps(line))["status"] for line in on.lines_before_recovery()] == [200]
        return seen


def _half_closes(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        endpoint = on.endpoint(hold)
        on.start()
        client = on.client()
        client.send(GET)
        eventually(lambda: endpoint.arrived, "it arrives")
        client.sock.shutdown(socket.SHUT_WR)
        told = read(client)
        endpoint.behave = well
        return on.seen(told)


# fmt: off
ROWS: Final = (
    Row(id="gone-in-head", fault="a client leaves within its request's head", client=_GONE, backends="nothing", log="",
        recovers=ANEW, scene=_leaves_in_its_head),
    Row(id="gone-in-body", fault="a client leaves within its request's body", client=_GONE, backends="1 cut", log="499 client-head-left",
        metric=counted("head", "left"), recovers=ANEW, scene=_leaves_in_its_body),
    Row(id="gone-safe", fault="a client leaves before its GET is answered; it is cancelled at the backend", client=_GONE, backends="1 whole", log="499 client-head-left",
        metric=counted("head", "left"), recovers=ANEW, scene=_leaves_unanswered(GET, Wire.leave)),
    Row(id="gone-safe-reset", fault="the same, by a reset", client=_GONE, backends="1 whole", log="499 client-head-left",
        metric=counted("head", "left"), recovers=ANEW, scene=_leaves_unanswered(GET, Wire.reset)),
    Row(id="gone-unsafe", fault="a client leaves before its POST is answered; it runs to its end", client=_GONE, backends="1 whole", log="499 client-head-left",
        metric=counted("head", "left"), recovers=ANEW, scene=_leaves_unanswered(POST, Wire.leave)),
    Row(id="gone-in-handshake", fault="a client leaves within its TLS handshake", client=_GONE, backends="nothing", log="",
        metric='strangler_faults_total{party="client",stage="connect",kind="left",backend="none"}', recovers=ANEW, scene=_leaves_in_its_handshake),
    Row(id="gone-waiting", fault="a client leaves while its request waits for a place", client=_GONE, backends="nothing", log="499 client-request-left",
        metric=counted("request", "left"), recovers=ANEW, scene=_leaves_waiting),
    Row(id="gone-connecting", fault="a client leaves while a connection to the backend is made for it", client=_GONE, backends="nothing", log="499 client-head-left",
        metric=counted("head", "left"), recovers=ANEW, scene=_leaves_connecting),
    Row(id="gone-in-tunnel", fault="a client leaves its WebSocket; the backend's side is ended", client=f"101 {_GONE}", backends="1 whole", log="101",
        recovers=ANEW, scene=_leaves_its_tunnel),
    Row(id="gone-in-answer", fault="a client leaves within its answer", client=_GONE, backends="1 whole", log="499 client-body-left",
        metric=counted("body", "left"), recovers=ANEW, scene=_leaves_in_the_answer),
    Row(id="half-closed", fault="a client says that it sends no more before its GET is answered", client="closed", backends="1 whole", log="499 client-head-left",
        metric=counted("head", "left"), recovers=ANEW, scene=_half_closes),
    Row(id="client-slow-head", fault="a client doesn't end its request's head", client="408", within="`limits.head_timeout` (60 s)", backends="nothing", log="408 client-head-timeout",
        metric=_LIMIT.format("head_timeout"), recovers=ANEW, scene=sending(b"GET /x HTTP/1.1\r\nHost: sh")),
    Row(id="client-slow-body", fault="a client doesn't end its request's body", client="408", within="`limits.body_timeout` (60 s)", backends="1 cut", log="408 client-body-timeout",
        metric=_LIMIT.format("body_timeout"), recovers=ANEW, scene=sending(b"POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nhalf")),
    Row(id="client-never-reads", fault="a client takes nothing of its answer", client="200, cut", within="`limits.stall` (60 s)", backends="1 whole", log="200 client-body-timeout",
        metric=_LIMIT.format("stall"), recovers=ANEW, scene=_never_reads),
    Row(id="client-idle", fault="a client connects and asks nothing", client="closed", within="`limits.idle` (75 s)", backends="nothing", log="",
        recovers=ANEW, scene=_never_asks),
    Row(id="tunnel-idle", fault="nobody says anything in a WebSocket", client="101, closed", within="`limits.tunnel_idle` (1 h)", backends="1 whole", log="101 proxy-body-timeout",
        metric=_LIMIT.format("tunnel_idle"), recovers=ANEW, scene=_idle_tunnel),
    Row(id="client-garbage", fault="a client speaks no HTTP", client="400", backends="nothing", log="400 client-head-malformed", metric='kind="malformed"',
        recovers=ANEW, scene=sending(b"\x16\x03\x01\x02\x00\x01")),
    Row(id="smuggling", fault="a client sends a request that two readers would understand differently", client="400", backends="nothing", log="400 client-head-malformed",
        metric='kind="malformed"', recovers=ANEW, scene=sending(b"POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    Row(id="client-huge-head", fault="a client's head has no end", client="431", within="`limits.head` (64 KiB)", backends="nothing", log="431 client-head-too_large",
        metric=_LIMIT.format("head"), recovers=ANEW, scene=sending(b"GET /x HTTP/1.1\r\nHost: shop\r\nX: ", b"a" * 2000)),
    Row(id="client-huge-body", fault="a client announces more than it may send", client="413", within="`limits.body` (off)", backends="nothing", log="413 client-body-too_large",
        metric=_LIMIT.format("body"), recovers=GOES_ON, scene=sending(POST)),
    Row(id="flood-one", fault="one address opens connection after connection", client="429", within="`limits.connections_per_client` (off)", backends="nothing", log="429 client-connect-busy",
        says="connections of limits.connections_per_client", metric=_LIMIT.format("connections_per_client"), recovers=ANEW, scene=_floods),
    Row(id="flood-all", fault="more clients than places; the longest idle make room", client="200", within="`limits.connections` (half of the descriptors)", backends="1 whole", log="200",
        says="as many as limits.connections allows here", metric=_LIMIT.format("connections"), recovers=GOES_ON, scene=_crowds),
    Row(id="uploads-all", fault="as many clients as there may be upload what a backend doesn't take; one more waits", client="504", within="`timeout` (20 s); how many, `limits.connections`", backends="nothing",
        log="504 legacy-request-timeout", says="as many as limits.connections allows here", metric=_LIMIT.format("connections"), recovers=GOES_ON, scene=_all_hold_the_most),
    Row(id="forged-line", fault="a client writes a line of the access log into its path", client="200", backends="1 whole", log="200", recovers=GOES_ON, scene=_defends_the_log),
)
# fmt: on
