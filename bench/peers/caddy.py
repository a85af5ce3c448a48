"""Caddy, on one core: a map for the pilots, and for the share four endpoints chosen by the hash of the cookies.

Without a plugin Caddy has no percentage: three addresses of legacy beside one of new are a quarter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from bench.job import LEGACY_HOSTS, PILOTS, Job, Running
from bench.machine import find, said
from bench.node import LOOPBACK, free_port
from bench.processes import server

_CONFIGURATION: Final = """
{{
    admin off
    auto_https off
}}
{scheme}://{loopback}:{port} {{
    bind {loopback}{tls}
    log {{
        output file {directory}/access.log
    }}
    map {{http.request.cookie.acct}} {{pilot}} {{
        {pilots}
        default 0
    }}
    @pilot vars {{pilot}} 1
    request_header X-Request-ID {{http.request.uuid}}
    handle @pilot {{
        reverse_proxy {loopback}:{new} {{
            transport http {{
                keepalive_idle_conns_per_host 64
            }}
        }}
    }}
    handle {{
        reverse_proxy {ramp} {{
            lb_policy header Cookie
            transport http {{
                keepalive_idle_conns_per_host 64
            }}
        }}
    }}
}}
"""


def missing() -> str | None:
    return None if find("caddy") else "apt install caddy"


def version() -> str:
    return said([str(find("caddy")), "version"]).split()[0].removeprefix("v")


@contextlib.contextmanager
def run(job: Job) -> Iterator[Running]:
    port = free_port()
    config = job.directory / "Caddyfile"
    config.write_text(
        _CONFIGURATION.format(
            directory=job.directory,
            loopback=LOOPBACK,
            port=port,
            new=job.new,
            ramp=" ".join([f"{LOOPBACK}:{job.new}", *(f"{host}:{job.legacy}" for host in LEGACY_HOSTS)]),
            pilots="\n        ".join(f"{pilot} 1" for pilot in PILOTS),
            scheme="https" if job.tls else "http",
            tls=f"\n    tls {job.tls.chain} {job.tls.key}" if job.tls else "",
        )
    )
    command = [*job.wrap, str(find("caddy")), "run", "--adapter", "caddyfile", "--config", str(config)]
    environment = {"GOMAXPROCS": "1", "HOME": str(job.directory)}
    with server(command, job.directory, port, environment=environment) as pids:
        yield Running(port=port, pids=pids, worker=pids[-1])
