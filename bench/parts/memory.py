"""What a worker holds at rest, by the size of the configuration, beside the peers."""

from __future__ import annotations

import time
from typing import Final

from bench.field import Ground, Start, chosen, scratch
from bench.job import Running
from bench.load import drive, script
from bench.memory import MIB, private_bytes
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import Setup, paths, variant
from bench.section import Section, Table
from bench.tables import beside

_AIM_MB: Final = 45.0
_QUIET_S: Final = 1.0
_SIZES: Final = {
    "strangler, 10 routes": Setup(routes=10),
    "strangler, 10 000 routes, 1 000 000 accounts": Setup(routes=10_000, accounts=1_000_000),
}


def run(options: Options) -> Section:
    peers = chosen(options)
    starts: dict[str, tuple[str, Start]] = {peer.title: (name, peer.start) for name, peer in peers.items()}
    if "strangler" in peers:
        starts |= {title: ("strangler", variant(setup)) for title, setup in _SIZES.items()}
    rows = []
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems)
        asks = script(here, paths(_SIZES["strangler, 10 routes"].routes))
        for title, (name, start) in starts.items():
            with start(ground.job()) as running:
                fresh, after = _at_rest(running), 0.0
                drive(running, asks, seconds=options.seconds or 2, connections=options.connections)
                time.sleep(_QUIET_S)
                after = _at_rest(running)
                whole = private_bytes(running.pids) / MIB
            rows.append(
                [
                    title,
                    *(beside(mib, _AIM_MB, 1) if name == "strangler" else f"{mib:.1f}" for mib in (fresh, after)),
                    f"{whole:.1f}",
                ]
            )
    return Section(
        title="Memory at rest",
        method=(
            "`python -m bench memory`: private memory (pages that no other process maps) of the process that carries the traffic, after its start and again "
            f"{_QUIET_S:g} s after a load of {options.connections} connections; and of all processes of the proxy. Aim: at most {_AIM_MB:g} MiB a worker."
        ),
        tables=[
            Table(
                title="private memory",
                head=["", "worker, fresh, MiB", "worker, after load, MiB", "all processes, MiB"],
                rows=rows,
            )
        ],
    )


def _at_rest(running: Running) -> float:
    return private_bytes([running.worker]) / MIB
