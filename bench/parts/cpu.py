"""CPU per proxied request, and requests a second, as much as each proxy carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bench.drawing import Bar, bars
from bench.field import PEERS, Ground, chosen, must_do_the_job, scratch
from bench.job import Running
from bench.load import Round, drive, script
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import EVERYTHING, paths
from bench.section import Section, Table
from bench.spread import cell, median
from bench.tables import beside

AIM: Final = 1.5
MUST: Final = {"nginx": 2.0, "envoy": 0.7}
"""How many times a proxy's CPU ours may use at most."""

_ROUNDS: Final = 7
_SECONDS: Final = 3.0
_WARM_UP_S: Final = 1.0


def run(options: Options) -> Section:
    peers = chosen(options)
    count, seconds = options.rounds or _ROUNDS, options.seconds or _SECONDS
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems)
        asked = script(here, paths(EVERYTHING.routes))
        for peer in peers.values():
            with peer.start(ground.job()) as running:
                must_do_the_job(running, "/area-1/4711")

        def measure(running: Running, _: str) -> Round:
            drive(running, asked, seconds=_WARM_UP_S, connections=options.connections)
            return drive(running, asked, seconds=seconds, connections=options.connections)

        measured = ground.rounds({name: peer.start for name, peer in peers.items()}, count, measure)
    return _section(measured, count, seconds, options.connections)


def _section(measured: Mapping[str, Sequence[Round]], count: int, seconds: float, connections: int) -> Section:
    cpu = {name: [one.cpu_us for one in rounds] for name, rounds in measured.items()}
    rate = {name: [one.requests_per_s for one in rounds] for name, rounds in measured.items()}
    rows = [
        [
            PEERS[name].title,
            cell(cpu[name], 1),
            *(_times(cpu, name, other) for other in MUST),
            cell(rate[name], 0),
        ]
        for name in measured
    ]
    return Section(
        title="CPU per request",
        method=(
            f"`python -m bench cpu`: {connections} keep-alive connections of wrk, 1 KiB answers, a browser's headers, four cookies, two of them signed: "
            f"ours verifies both, peers ignore them. {EVERYTHING.routes:,} paths, each with somebody else's cookies. {count} interleaved rounds of {seconds:g} s after {_WARM_UP_S:g} s to warm up, every proxy "
            "started afresh in each; medians, with the least and the most. CPU is user and system time of all of a proxy's processes. "
            f"Must be kept: at most {MUST['nginx']:g} × nginx and {MUST['envoy']:g} × Envoy; aimed at: {AIM:g} × nginx."
        ),
        tables=[
            Table(
                title="as much as each carries, one core",
                head=["", "CPU, µs/request", "× nginx", "× Envoy", "requests/s"],
                rows=rows,
            )
        ],
        charts={
            "cpu.svg": bars(
                "CPU per proxied request: the median of the rounds, and their spread",
                [Bar(label=PEERS[name].title, rounds=cpu[name], ours=name == "strangler") for name in measured],
                unit="µs",
            )
        },
    )


def _times(cpu: Mapping[str, Sequence[float]], name: str, other: str) -> str:
    """The median of the rounds' own quotients: what slows the machine down for a round slows both."""
    if other not in cpu:
        return "-"
    times = median([mine / its for mine, its in zip(cpu[name], cpu[other], strict=True)])
    return beside(times, MUST[other], 2) if name == "strangler" else f"{times:.2f}"
