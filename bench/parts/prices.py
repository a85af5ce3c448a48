"""What each feature costs: ours with everything on, and with one thing after the other taken out."""

from __future__ import annotations

from typing import Final

from bench.drawing import Bar, bars
from bench.field import Ground, Start, scratch
from bench.job import Running
from bench.load import Round, drive, script
from bench.options import Options
from bench.origin import origin
from bench.peers.strangler import EVERYTHING, Setup, paths, variant
from bench.section import Section, Table
from bench.spread import cell, median

_ROUNDS: Final = 3
_SECONDS: Final = 2.0
_ALL: Final = "everything on, accounts"
_VISITORS: Final = "visitors in place of accounts"
_SETUPS: Final = {
    _ALL: EVERYTHING,
    _VISITORS: EVERYTHING,
    "10 routes in place of 1,000": Setup(routes=10),
    "a list of 1,000,000 accounts": Setup(accounts=1_000_000),
    "without the segment": Setup(clauses=("share",)),
    "without the share": Setup(clauses=("segment",)),
    "without pins": Setup(pins=False),
    "without signed cookies": Setup(pins=False, visitors=False),
    "without flags (`to: new`)": Setup(flags=False),
    "without flags and account": Setup(flags=False, identity=False, visitors=False, pins=False),
    "without keeping cookies apart": Setup(isolation=False, visitors=False, pins=False),
    "without the access log": Setup(access_log=False),
    "routing only": Setup(
        routes=10, flags=False, identity=False, visitors=False, pins=False, isolation=False, access_log=False
    ),
}


def run(options: Options) -> Section:
    count, seconds = options.rounds or _ROUNDS, options.seconds or _SECONDS
    starts: dict[str, Start] = {name: variant(setup) for name, setup in _SETUPS.items()}
    with scratch() as here, origin(here / "origin") as systems:

        def measure(running: Running, name: str) -> Round:
            paths_asked = paths(_SETUPS[name].routes) * (EVERYTHING.routes // _SETUPS[name].routes)
            asks = script(here, paths_asked, accounts=name != _VISITORS)
            drive(running, asks, seconds=1, connections=options.connections)
            return drive(running, asks, seconds=seconds, connections=options.connections)

        measured = Ground(here, systems).rounds(starts, count, measure)
    cpu = {name: [one.cpu_us for one in rounds] for name, rounds in measured.items()}
    rows = [
        [
            name,
            cell(rounds, 1),
            f"{median([mine - whole for mine, whole in zip(rounds, cpu[_ALL], strict=True)]):+.1f}",
        ]
        for name, rounds in cpu.items()
    ]
    return Section(
        title="What each feature costs",
        method=(
            f"`python -m bench prices`: as above, {count} interleaved rounds of {seconds:g} s. The difference is the median of the rounds' own differences to "
            "everything on. Metrics, limits, timeouts, forwarding headers and request ids can't be switched off, so they are in every row. "
            "Two signed cookies come with every request, a visitor's id and a pin. With an account only the pin is verified; visitors in place of "
            "accounts have both verified, as in the parts above, and no segment is looked up for them. What keeps cookies apart keeps ours from backends, too: that row is without any signed ones."
        ),
        tables=[Table(title="CPU of ours, one core", head=["", "CPU, µs/request", "difference, µs"], rows=rows)],
        charts={
            "prices.svg": bars(
                "CPU per request by what is on",
                [Bar(label=name.replace("`", ""), rounds=rounds, ours=name == _ALL) for name, rounds in cpu.items()],
                unit="µs",
            )
        },
    )
