"""nginx, as the origin that answers at C speed, and as the rival set up for the same job."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from bench.node import LOOPBACK, descendants

ORIGIN = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
    uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    server {{
        listen {loopback}:{port} backlog=1024;
        location / {{ default_type text/html; return 200 "{body}"; }}
    }}
}}
"""

# What a team that migrates with nginx writes: a split by account, kept-alive connections, forwarding headers,
# an access log that names the backend (buffered, in nginx's favour: ours is written in batches too).
RIVAL = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    log_format main '$msec $request_id $request_method $uri $status $backend $body_bytes_sent $request_time';
    access_log {directory}/access.log main buffer=64k flush=1s;
    keepalive_requests 100000000; keepalive_timeout 300s;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
    uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    map $cookie_acct $pilot {{ default ""; acct-1 1; acct-2 1; acct-3 1; }}
    split_clients "orders$cookie_acct" $ramp {{ 25% new; * legacy; }}
    map "$pilot" $backend {{ 1 new; default $ramp; }}
    upstream legacy {{ server {loopback}:{origin}; keepalive 64; keepalive_requests 100000000; }}
    upstream new {{ server {loopback}:{origin}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen {loopback}:{port} backlog=1024;
        location / {{
            proxy_pass http://$backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Request-ID $request_id;
        }}
    }}
}}
"""


def find_nginx() -> str | None:
    """nginx on PATH, or where Debian puts it."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def nginx(directory: Path, template: str, *, wrap: Sequence[str], port: int, **names: object) -> Iterator[list[int]]:
    """Run nginx with a configuration; gives its processes' ids.

    Raises:
        RuntimeError: it did not start.
    """
    command = find_nginx()
    assert command is not None
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nginx.conf"
    config.write_text(template.format(directory=directory, loopback=LOOPBACK, port=port, **names))
    process = subprocess.Popen(
        [*wrap, command, "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline_s = time.monotonic() + 10
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://{LOOPBACK}:{port}/", trust_env=False)
                break
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError("nginx did not start:\n" + (directory / "error.log").read_text())
            time.sleep(0.05)
        yield descendants(process.pid)
    finally:
        process.terminate()
        process.wait(10)
