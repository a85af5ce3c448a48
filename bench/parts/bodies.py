"""What a body of 1 MiB costs, down and up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from bench.backends import backends
from bench.drawing import Bar, bars
from bench.field import PEERS, Ground, Start, chosen, scratch
from bench.job import Running
from bench.load import Round, drive, script
from bench.options import Options
from bench.origin import origin
from bench.peers import nginx
from bench.section import Section, Table
from bench.spread import cell, median
from bench.tables import beside

_BODY_BYTES: Final = 2**20
_ROUNDS: Final = 3
_SECONDS: Final = 2.0
_CONNECTIONS: Final = 8
_AIM: Final = 1.3
_STREAMED: Final = "nginx, unbuffered"


def run(options: Options) -> Section:
    peers = chosen(options)
    starts: dict[str, Start] = {}
    for name, peer in peers.items():
        starts[name] = peer.start
        if name == "nginx":
            starts[_STREAMED] = partial(nginx.run, buffering=False)
    count, seconds = options.rounds or _ROUNDS, options.seconds or _SECONDS
    with scratch() as here:
        accounts = 100

        def measure(running: Running, _: str, *, method: str, path: str) -> Round:
            sent = _BODY_BYTES if method == "POST" else 0
            asks = script(here, [path] * accounts, method=method, body_bytes=sent)
            return drive(running, asks, seconds=seconds, connections=_CONNECTIONS)

        with origin(here / "origin", file_bytes=_BODY_BYTES) as systems:
            down = Ground(here, systems).rounds(starts, count, partial(measure, method="GET", path="/files/large"))
        (here / "up").mkdir()
        with backends(here / "sink") as systems:
            up = Ground(here / "up", systems).rounds(starts, count, partial(measure, method="POST", path="/up"))
    return _section(down, up, count, seconds)


def _section(
    down: Mapping[str, Sequence[Round]], up: Mapping[str, Sequence[Round]], count: int, seconds: float
) -> Section:
    titles = {_STREAMED: _STREAMED, **{name: peer.title for name, peer in PEERS.items()}}
    both = [{name: [one.cpu_us / 1_000 for one in rounds] for name, rounds in way.items()} for way in (down, up)]

    def cells(cpu_ms: Mapping[str, Sequence[float]], name: str) -> list[str]:
        compared = [median(cpu_ms[other]) for other in ("nginx", _STREAMED) if other in cpu_ms]
        if not compared:
            return [cell(cpu_ms[name], 2), "-"]
        times = median(cpu_ms[name]) / min(compared)
        return [cell(cpu_ms[name], 2), beside(times, _AIM, 2) if name == "strangler" else f"{times:.2f}"]

    rows = [[titles[name], *cells(both[0], name), *cells(both[1], name)] for name in down]
    return Section(
        title="Bodies of 1 MiB",
        method=(
            f"`python -m bench bodies`: {_CONNECTIONS} connections, {count} interleaved rounds of {seconds:g} s for each way; a file that nginx sends, and "
            "an upload that the backend takes in whole before it answers. nginx takes bodies in before it passes them on (to disk, when they are "
            f"large) unless it is told not to: both are shown, and the quotient is to the cheaper. Aim: at most {_AIM:g} times that."
        ),
        tables=[
            Table(
                title="processor time of the proxy, one core",
                head=["", "down, CPU ms/MiB", "× nginx", "up, CPU ms/MiB", "× nginx"],
                rows=rows,
            )
        ],
        charts={
            f"bodies-{way}.svg": bars(
                f"CPU per MiB {way}",
                [Bar(label=titles[name], rounds=rounds, ours=name == "strangler") for name, rounds in cpu_ms.items()],
                unit="ms",
                digits=2,
            )
            for way, cpu_ms in zip(("down", "up"), both, strict=True)
        },
    )
