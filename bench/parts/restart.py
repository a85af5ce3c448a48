"""What traffic feels while the workers are replaced (SIGUSR2)."""

from __future__ import annotations

import os
import signal
from typing import Final

from bench.events import HEAD, METHOD, felt, wait_for
from bench.field import Ground, scratch
from bench.machine import proxy_core
from bench.node import Node
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import serving, workers_of
from bench.section import Section, Table

_TIMES: Final = 3


def run(options: Options) -> Section:
    times = options.rounds or _TIMES
    with (
        scratch() as here,
        origin(here / "origin") as systems,
        serving(Ground(here, systems).job(proxy_core())) as running,
    ):
        found = felt(running, options, _replace, times)
    return Section(
        title="While a worker is replaced",
        method=(
            "`python -m bench restart`: SIGUSR2 to the supervisor, from the signal until the former worker is gone; former and successor share the core. "
            f"{METHOD} A kept connection that ends before an answer begins is opened again and asked again, as every client does."
        ),
        tables=[Table(title="traffic meanwhile", head=HEAD, rows=[found.row(f"{found.rate:,} requests/s")])],
    )


def _replace(running: Node, _: int) -> None:
    former = set(workers_of(running))
    os.kill(running.process.pid, signal.SIGUSR2)
    wait_for(lambda: bool(now := set(workers_of(running))) and not now & former, "another worker")
