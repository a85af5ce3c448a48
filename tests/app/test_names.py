"""A backend known by a name, as people see it: where it moves, requests follow; without control, and without DNS, they go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.app.node import node
from tests.nameserver import SERVFAIL, Nameserver
from tests.waiting import until


class Here(BaseHTTPRequestHandler):
    """Answers with the address it was reached at."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.connection.getsockname()[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs two loopback addresses; on macOS: ifconfig lo0 alias 127.0.0.2"
)
def test_requests_follow_a_name_and_outlive_dns_and_control(tmp_path: Path) -> None:
    dns = Nameserver()
    dns.records["shop.test"] = ["127.0.0.1"]
    server = ThreadingHTTPServer(("0.0.0.0", 0), Here)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = f"http://shop.test:{server.server_port}"
    try:
        with node(tmp_path) as (running, _, new):
            text = running.config.contents["routes.yaml"].replace(
                f'new: {{url: "{new.url}"}}', f'new: {{url: "{url}"}}'
            )
            running.config.edit("routes.yaml", f'{text}dns: {{servers: "{dns.address}", shortest: 50ms}}\n')
            running.reloaded(2)

            def line() -> tuple[str, str]:
                found = next(one for one in running.status()["endpoints"] if one["url"] == url)
                return found["address"], found["stale"]

            until(lambda: running.get("/help/") == "127.0.0.1", "requests go there")
            dns.records["shop.test"] = ["127.0.0.2"]
            until(lambda: running.get("/help/") == "127.0.0.2", "requests follow")

            dns.rcode = SERVFAIL
            until(lambda: running.metric("strangler_name_stale") == 1, "DNS is gone")
            told = running.command("status")
            assert f"new {url}: its host can't be looked up (DNS answers SERVFAIL); its last addresses are kept" in told
            control = running.control_pid()
            os.kill(control, signal.SIGKILL)
            assert {running.get("/help/") for _ in range(20)} == {"127.0.0.2"}
            until(lambda: running.control_pid() not in {0, control} and running.readyz(), "another control")
            until(lambda: running.metric("strangler_name_stale") == 1, "it has asked")
            assert line() == ("127.0.0.2", "DNS answers SERVFAIL")  # it knows what its predecessor told
            assert running.get("/help/") == "127.0.0.2"
    finally:
        server.shutdown()
        server.server_close()
        dns.close()
