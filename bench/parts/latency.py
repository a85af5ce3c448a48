"""How long answers take at a constant rate, at half of what the slowest full proxy carries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from bench.drawing import Bar, bars
from bench.field import PEERS, Ground, Peer, Start, chosen, scratch
from bench.job import Job, Running
from bench.load import drive, script
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import EVERYTHING, paths
from bench.section import Section, Table
from bench.spread import cell, median
from bench.tables import beside
from bench.waits import Waits, asked

_ROUNDS: Final = 7
_SECONDS: Final = 2.5
_PEAK_S: Final = 2.0
_WARM_UP_S: Final = 0.5
_AIM_TIMES_NGINX: Final = 3.0
_DIRECT: Final = "direct"


@contextlib.contextmanager
def direct(job: Job) -> Iterator[Running]:
    """No proxy at all: what origin and loader take by themselves."""
    yield Running(port=job.new, pids=(), worker=0)


def run(options: Options) -> Section:
    peers = chosen(options)
    count, seconds = options.rounds or _ROUNDS, options.seconds or _SECONDS
    asks = paths(EVERYTHING.routes)
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems)
        rates = {_DIRECT: 0, **_rates(ground, peers, options)}
        rates[_DIRECT] = max(rates.values())

        def measure(running: Running, name: str) -> Waits:
            ask = partial(asked, here, running.port, asks, rate=rates[name], connections=options.connections)
            ask(seconds=_WARM_UP_S)
            return ask(seconds=seconds)

        starts: dict[str, Start] = {_DIRECT: direct, **{name: peer.start for name, peer in peers.items()}}
        measured = ground.rounds(starts, count, measure)
    return _section(measured, rates, count, seconds, options.connections)


def _rates(ground: Ground, peers: Mapping[str, Peer], options: Options) -> dict[str, int]:
    """Requests a second: the same for all, but for a proxy that would carry less than twice as many; half of its own there."""
    asks = script(ground.here, paths(EVERYTHING.routes))
    peaks = {}
    for name, peer in peers.items():
        with peer.start(ground.job()) as running:
            drive(running, asks, seconds=1, connections=options.connections)
            peaks[name] = drive(running, asks, seconds=_PEAK_S, connections=options.connections).requests_per_s
    full = [peaks[name] for name, peer in peers.items() if peer.full] or list(peaks.values())
    rate = options.rate or int(min(full) / 2)
    return {name: min(rate, int(peak / 2)) if not peers[name].full else rate for name, peak in peaks.items()}


def _section(
    measured: Mapping[str, Sequence[Waits]], rates: Mapping[str, int], count: int, seconds: float, connections: int
) -> Section:
    p50, p99 = (
        {name: [one.quantile_ms(share) for one in rounds] for name, rounds in measured.items()} for share in (0.5, 0.99)
    )
    titles = {_DIRECT: "no proxy", **{name: peer.title for name, peer in PEERS.items()}}
    aim_ms = _AIM_TIMES_NGINX * median(p99["nginx"]) if "nginx" in p99 else float("inf")

    def times(name: str) -> str:
        if "nginx" not in p99:
            return "-"
        quotient = median(p99[name]) / median(p99["nginx"])
        return beside(quotient, _AIM_TIMES_NGINX, 2) if name == "strangler" else f"{quotient:.2f}"

    rows = [
        [
            *(titles[name], f"{rates[name]:,}", cell(p50[name], 2), cell(p99[name], 2), times(name)),
            cell([one.quantile_ms(1) for one in rounds], 1),
        ]
        for name, rounds in measured.items()
    ]
    return Section(
        title="Latency at half load",
        method=(
            "`python -m bench latency`: requests come at a constant rate, half of what the slowest full proxy carries, whether or not "
            f"the answers keep up, on {connections} connections; a wait counts from the moment when the request was due. "
            f"{count} interleaved rounds of {seconds:g} s; medians of the rounds' quantiles, with the least and the most. "
            "The row without a proxy is what origin and loader, which share a core, take by themselves. Where the rate is lower, it is half of that "
            f"proxy's own peak. Aim: p99 at most {_AIM_TIMES_NGINX:g} × nginx."
        ),
        tables=[
            Table(
                title="a constant rate, one core",
                head=["", "requests/s", "median, ms", "p99, ms", "p99 × nginx", "longest, ms"],
                rows=rows,
            )
        ],
        charts={
            "latency.svg": bars(
                f"99 of 100 answers came within; dashed: {_AIM_TIMES_NGINX:g} × nginx",
                [Bar(label=titles[name], rounds=p99[name], ours=name == "strangler") for name in measured],
                unit="ms",
                digits=2,
                aim=aim_ms if "nginx" in p99 else None,
            )
        },
    )
