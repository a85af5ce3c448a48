"""HAProxy: the account's cookie hashed for the share, pilots from a file, the HTTP log to standard output (a file here)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from bench.job import PILOTS, SHARE, Job, Running
from bench.machine import find, said
from bench.node import LOOPBACK, free_port
from bench.processes import server

_CONFIGURATION: Final = """
global
    nbthread 1
    maxconn 15000
    no strict-limits
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    option forwardfor
    timeout connect 2s
    timeout client 75s
    timeout server 60s
    timeout http-request 60s
    timeout http-keep-alive 300s
    timeout tunnel 1h
frontend shop
    bind {loopback}:{port} backlog 4096{tls}
    http-request set-var(txn.account) req.cook(acct)
    http-request set-var(txn.bucket) var(txn.account),xxh32(0),mod(100)
    unique-id-format %{{+X}}o\\ %ci%cp%rt%pid
    unique-id-header X-Request-ID
    http-request set-header X-Forwarded-Proto {scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    acl pilot var(txn.account) -m str -f {directory}/pilots.txt
    acl ramp var(txn.bucket) -m int lt {share}
    use_backend new if pilot
    use_backend new if ramp
    default_backend legacy
backend legacy
    server one {loopback}:{legacy}
backend new
    server one {loopback}:{new}
"""


def missing() -> str | None:
    return None if find("haproxy") else "apt install haproxy"


def version() -> str:
    return said([str(find("haproxy")), "-v"]).split()[2].partition("-")[0]


@contextlib.contextmanager
def run(job: Job) -> Iterator[Running]:
    port = free_port()
    (job.directory / "pilots.txt").write_text("\n".join(PILOTS) + "\n")
    config = job.directory / "haproxy.cfg"
    tls = ""
    if job.tls is not None:
        both = job.directory / "both.pem"
        both.write_text(job.tls.chain.read_text() + job.tls.key.read_text())
        tls = f" ssl crt {both}"
    config.write_text(
        _CONFIGURATION.format(
            directory=job.directory,
            loopback=LOOPBACK,
            port=port,
            legacy=job.legacy,
            new=job.new,
            share=SHARE,
            scheme="https" if tls else "http",
            tls=tls,
        )
    )
    with server([*job.wrap, str(find("haproxy")), "-db", "-f", str(config)], job.directory, port) as pids:
        yield Running(port=port, pids=pids, worker=pids[-1])
