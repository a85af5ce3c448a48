"""WebSocket messages through each proxy: how many a second, and the processor time of one there and back."""

from __future__ import annotations

from typing import Final

from bench.backends import MESSAGE_BYTES, backends
from bench.drawing import Bar, bars
from bench.field import PEERS, Ground, Start, chosen, scratch
from bench.job import Running
from bench.load import Round
from bench.messages import exchanged
from bench.node import cpu_s
from bench.options import Options
from bench.parts.latency import direct
from bench.section import Section, Table
from bench.spread import cell, median

_ROUNDS: Final = 3
_SECONDS: Final = 2.0
_NO_PROXY: Final = "no proxy"


def run(options: Options) -> Section:
    count, seconds = options.rounds or _ROUNDS, options.seconds or _SECONDS
    peers = chosen(options, [name for name in PEERS if name != "naive"])  # which speaks no WebSocket
    starts: dict[str, Start] = {_NO_PROXY: direct, **{name: peer.start for name, peer in peers.items()}}
    with scratch() as here, backends(here / "backends") as systems:

        def measure(running: Running, _: str) -> Round:
            before_s = cpu_s(running.pids)
            messages = exchanged(running.port, seconds=seconds, connections=options.connections)
            return Round(
                requests_per_s=messages / seconds,
                cpu_us=(cpu_s(running.pids) - before_s) / max(1, messages) * 1_000_000,
            )

        measured = Ground(here, systems).rounds(starts, count, measure)
    titles = {_NO_PROXY: _NO_PROXY, **{name: peer.title for name, peer in peers.items()}}
    cpu = {name: [one.cpu_us for one in rounds] for name, rounds in measured.items() if name != _NO_PROXY}
    rows = []
    for name, rounds in measured.items():
        rate = cell([one.requests_per_s for one in rounds], 0)
        if name == _NO_PROXY:
            rows.append([titles[name], "-", "-", rate])
            continue
        times = f"{median(cpu[name]) / median(cpu['nginx']):.2f}" if "nginx" in cpu else "-"
        rows.append([titles[name], cell(cpu[name], 1), times, rate])
    return Section(
        title="WebSockets",
        method=(
            f"`python -m bench websocket`: {options.connections} WebSockets, each sending a message of {MESSAGE_BYTES} bytes when the former came back; "
            f"{count} interleaved rounds of {seconds:g} s. Load and backend share one core and are written in Python: the row without a proxy is the most that "
            "they exchange, so messages a second are bounded by it. Starlette with httpx speaks no WebSocket."
        ),
        tables=[
            Table(
                title="a message there and back, one core",
                head=["", "CPU, µs/message", "× nginx", "messages/s"],
                rows=rows,
            )
        ],
        charts={
            "websocket.svg": bars(
                "CPU per WebSocket message, there and back",
                [Bar(label=titles[name], rounds=rounds, ours=name == "strangler") for name, rounds in cpu.items()],
                unit="µs",
            )
        },
    )
