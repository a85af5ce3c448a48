"""nginx, as a team that migrates with nginx writes it: `split_clients` for the share, a map for the pilots.

Its access log names the backend and is buffered, in nginx's favour: ours is written in batches too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from bench.job import PILOTS, SHARE, Job, Running
from bench.machine import find, said
from bench.node import LOOPBACK, free_port
from bench.processes import server

_CONFIGURATION: Final = """
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 15000; }}
http {{
    log_format main '$msec $request_id $request_method $uri $status $backend $body_bytes_sent $request_time';
    access_log {directory}/access.log main buffer=64k flush=1s;
    keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
    uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    map $cookie_acct $pilot {{ default ""; {pilots} }}
    split_clients "orders$cookie_acct" $ramp {{ {share}% new; * legacy; }}
    map "$pilot" $backend {{ 1 new; default $ramp; }}
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream legacy {{ server {loopback}:{legacy}; keepalive 64; keepalive_requests 100000000; }}
    upstream new {{ server {loopback}:{new}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen {loopback}:{port} backlog=4096{tls};
        location / {{
            proxy_pass http://$backend;
            proxy_http_version 1.1;{buffering}
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Request-ID $request_id;
        }}
    }}
}}
"""
_UNBUFFERED: Final = "\n            proxy_request_buffering off; proxy_buffering off;"


def missing() -> str | None:
    return None if find("nginx") else "apt install nginx"


def version() -> str:
    return said([str(find("nginx")), "-v"]).rpartition("/")[2]


@contextlib.contextmanager
def run(job: Job, *, buffering: bool = True) -> Iterator[Running]:
    """Serve; `buffering` is nginx's default: answers and uploads are taken in (to disk, when large) before they pass on."""
    port = free_port()
    config = job.directory / "nginx.conf"
    config.write_text(
        _CONFIGURATION.format(
            directory=job.directory,
            loopback=LOOPBACK,
            port=port,
            legacy=job.legacy,
            new=job.new,
            share=SHARE,
            pilots=" ".join(f"{pilot} 1;" for pilot in PILOTS),
            buffering="" if buffering else _UNBUFFERED,
            tls=f" ssl; ssl_certificate {job.tls.chain}; ssl_certificate_key {job.tls.key}" if job.tls else "",
        )
    )
    command = [*job.wrap, str(find("nginx")), "-p", str(job.directory), "-c", str(config), "-e", "error.log"]
    with server(command, job.directory, port) as pids:
        yield Running(port=port, pids=pids, worker=pids[-1])
