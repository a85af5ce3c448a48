"""A backend known by a name, as people see it: where it moves, requests follow; without control, and without DNS, they go on, and so do probes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from soak.nameserver import SERVFAIL, Nameserver
from tests.app.node import Node, node
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs two loopback addresses; on macOS: ifconfig lo0 alias 127.0.0.2"
)


class Shop:
    """The new system, at every loopback address, known by a name that only a name server of the test's knows.

    Attributes:
        unready: addresses whose probes fail.
        probed: addresses that were probed, in turn.
    """

    def __init__(self, *addresses: str) -> None:
        self.dns = Nameserver()
        self.dns.records["shop.test"] = list(addresses)
        self.unready: set[str] = set()
        self.probed: list[str] = []
        shop = self

        class Here(BaseHTTPRequestHandler):
            """Answers with the address it was reached at."""

            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def do_GET(self) -> None:
                here = self.connection.getsockname()[0]
                if self.path == "/readyz":
                    shop.probed.append(here)
                self.send_response(503 if self.path == "/readyz" and here in shop.unready else 200)
                self.send_header("Content-Length", str(len(here)))
                self.end_headers()
                self.wfile.write(here.encode())

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("0.0.0.0", 0), Here)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://shop.test:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.dns.close()

    def lines(self, running: Node) -> dict[str, dict[str, Any]]:
        """What `status` says of each of its addresses."""
        return {one["address"]: one for one in running.status()["endpoints"] if one["url"] == self.url}


@contextmanager
def shop_at(root: Path, *addresses: str, more: str = "") -> Iterator[tuple[Node, Shop]]:
    """A node that knows new by its name, asks the test's name server for it, and lets legacy answer reads of `help` when it can't be reached."""
    shop = Shop(*addresses)
    try:
        with node(root) as (running, _, new):
            text = running.config.contents["routes.yaml"]
            for before, after in (
                (f'new: {{url: "{new.url}"}}', f'new: {{url: "{shop.url}"{more}}}'),
                ("help:\n", "help:\n    fallback: safe\n"),
            ):
                assert before in text
                text = text.replace(before, after)
            running.config.edit("routes.yaml", f'{text}dns: {{servers: "{shop.dns.address}", shortest: 50ms}}\n')
            running.reloaded(2)
            yield running, shop
    finally:
        shop.close()


PROBED = ", health: /readyz, endpoints: {probe_every: 50ms, unhealthy_after: 1, healthy_after: 1, slow_start: off}"


def test_requests_follow_a_name_and_outlive_dns_and_control(tmp_path: Path) -> None:
    with shop_at(tmp_path, "127.0.0.1") as (running, shop):
        until(lambda: running.get("/help/") == "127.0.0.1", "requests go there")
        shop.dns.records["shop.test"] = ["127.0.0.2"]
        until(lambda: running.get("/help/") == "127.0.0.2", "requests follow")

        shop.dns.rcode = SERVFAIL
        until(lambda: running.metric("strangler_name_stale") == 1, "DNS is gone")
        told = running.command("status")
        assert (
            f"new {shop.url}: its host can't be looked up (DNS answers SERVFAIL); its last addresses are kept" in told
        )
        control = running.control_pid()
        os.kill(control, signal.SIGKILL)
        assert {running.get("/help/") for _ in range(20)} == {"127.0.0.2"}
        until(lambda: running.control_pid() not in {0, control} and running.readyz(), "another control")
        until(lambda: running.metric("strangler_name_stale") == 1, "it has asked")
        assert [(at, one["stale"]) for at, one in shop.lines(running).items()] == [
            ("127.0.0.2", "DNS answers SERVFAIL")  # it knows what its predecessor told
        ]
        assert running.get("/help/") == "127.0.0.2"


def test_probes_ask_the_addresses_that_requests_go_to_and_no_trouble_with_dns_sends_reads_to_legacy(
    tmp_path: Path,
) -> None:
    with shop_at(tmp_path, "127.0.0.1", more=PROBED) as (running, shop):

        def probed_again(what: str) -> None:
            before = len(shop.probed)
            until(lambda: len(shop.probed) > before + 2, what)
            one = shop.lines(running)["127.0.0.1"]
            assert (one["probes"], one["why"], one["held_off"]) == ("healthy", "", {})
            assert {running.get("/help/") for _ in range(20)} == {"127.0.0.1"}

        until(lambda: running.get("/help/") == "127.0.0.1", "the worker knows the address")
        probed_again("a name that the system doesn't know is probed")
        shop.dns.rcode = SERVFAIL
        until(lambda: running.metric("strangler_name_stale") == 1, "DNS is gone")
        probed_again("probes go on without DNS")
        control = running.control_pid()
        os.kill(control, signal.SIGKILL)
        until(lambda: running.control_pid() not in {0, control} and running.readyz(), "another control")
        probed_again("the next control probes what its predecessor knew")
        assert running.metric("strangler_fallbacks_total") == 0


def test_of_two_addresses_the_one_whose_probes_fail_is_left_alone_and_the_other_serves(tmp_path: Path) -> None:
    with shop_at(tmp_path, "127.0.0.1", "127.0.0.2", more=PROBED) as (running, shop):
        until(lambda: {running.get("/help/") for _ in range(20)} == {"127.0.0.1", "127.0.0.2"}, "both serve")

        def standing() -> dict[str, tuple[str, dict[str, str]]]:
            return {at: (one["probes"], one["held_off"]) for at, one in shop.lines(running).items()}

        shop.unready = {"127.0.0.2"}
        until(
            lambda: standing() == {"127.0.0.1": ("healthy", {}), "127.0.0.2": ("unhealthy", {"0": "unhealthy"})},
            "one is out",
        )
        assert {running.get("/help/") for _ in range(20)} == {"127.0.0.1"}
        assert f"new {shop.url} 127.0.0.2 failed its last probe: it answers 503" in running.command("status")
        shop.unready = {"127.0.0.1", "127.0.0.2"}
        until(lambda: running.get("/help/") == "legacy", "none is left: a safe read falls back")
        shop.unready = set()
        until(lambda: {running.get("/help/") for _ in range(20)} == {"127.0.0.1", "127.0.0.2"}, "both are back")
