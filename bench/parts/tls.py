"""TLS: what it adds to a request on a kept connection, and what a handshake costs."""

from __future__ import annotations

import shutil
from typing import Final

from bench.certificate import certificate
from bench.field import Ground, Start, chosen, scratch
from bench.job import Running
from bench.load import Round, drive, script
from bench.options import Options, Skipped
from bench.origin import origin
from bench.peers.strangler import EVERYTHING, paths, speaks_tls
from bench.section import Section, Table
from bench.spread import cell, median

_ROUNDS: Final = 3
_SECONDS: Final = 2.0


def run(options: Options) -> Section:
    if shutil.which("openssl") is None:
        raise Skipped("openssl, which makes the certificate, is missing; on Debian and Ubuntu: apt install openssl")
    peers = chosen(options)
    if "strangler" in peers and not speaks_tls():
        raise Skipped("routes.yaml has no `listener: {tls: …}` yet")
    count, seconds = options.rounds or _ROUNDS, options.seconds or _SECONDS
    starts: dict[str, Start] = {name: peer.start for name, peer in peers.items()}
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems, certificate(here))
        kept = script(here, paths(EVERYTHING.routes))
        closing = script(here, paths(EVERYTHING.routes), close=True)

        def measure(running: Running, _: str) -> tuple[Round, Round]:
            drive(running, kept, seconds=1, connections=options.connections, scheme="https")
            first, second = (
                drive(running, asks, seconds=seconds, connections=options.connections, scheme="https")
                for asks in (kept, closing)
            )
            return first, second

        measured = ground.rounds(starts, count, measure)
    rows = []
    for name, rounds in measured.items():
        cells: list[str] = []
        for which in (0, 1):
            cpu = [both[which].cpu_us for both in rounds]
            quotient = "-"
            if "nginx" in measured:
                quotient = f"{median(cpu) / median([both[which].cpu_us for both in measured['nginx']]):.2f}"
            cells += [cell(cpu, 1), quotient]
        rows.append([peers[name].title, *cells, cell([both[1].requests_per_s for both in rounds], 0)])
    return Section(
        title="TLS",
        method=(
            "`python -m bench tls`: the same requests over TLS, with an ECDSA P-256 certificate and each proxy's own choice of version and cipher; on kept "
            f"connections, and with a new connection, hence a handshake, for every request. {count} interleaved rounds of {seconds:g} s."
        ),
        tables=[
            Table(
                title="over TLS, one core",
                head=["", "kept, CPU µs/request", "× nginx", "new, CPU µs/request", "× nginx", "handshakes/s"],
                rows=rows,
            )
        ],
    )
