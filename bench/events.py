"""What traffic at a steady rate feels of something that happens to the proxy meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.job import Running
from bench.load import drive, script
from bench.node import Node
from bench.options import Options
from bench.peers.strangler import EVERYTHING, paths, port_of, workers_of
from bench.tables import beside
from bench.waits import Waits, steady

HEAD: Final = (
    *("", "times", "took, s", "p50, ms", "p99, ms", "p99 without, ms"),
    *("× (≤ 2)", "longest, ms (≤ 50)", "longest without, ms", "asked again"),
)
METHOD: Final = (
    "Requests come at a constant rate, half of what the proxy carries or 6,000 a second, whichever is less, and a wait counts from the moment when the request was due. "
    "“Without” is the same load on the same proxy before anything happens. Aims: p99 at most twice as long, and no request over 50 ms. "
    "The loader and the origin have a core of their own, where nothing of the proxy runs; beyond 6,000 they would wait for it, and measure themselves."
)

_AIM_TIMES: Final = 2.0
_AIM_LONGEST_MS: Final = 50.0
_MOST_RATE: Final = 6_000
_SETTLE_S: Final = 1.0
_CALM_S: Final = 5.0
_AFTER_S: Final = 0.25
_WITHIN_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What was felt of one kind of event."""

    rate: int
    took_s: Sequence[float]
    calm: Waits
    during: Waits

    def row(self, name: str) -> list[str]:
        calm_ms, during_ms = self.calm.quantile_ms(0.99), self.during.quantile_ms(0.99)
        return [
            *(name, str(len(self.took_s)), f"{max(self.took_s):.2f}"),
            *(f"{self.during.quantile_ms(0.5):.2f}", f"{during_ms:.2f}", f"{calm_ms:.2f}"),
            beside(during_ms / calm_ms, _AIM_TIMES, 2),
            beside(self.during.quantile_ms(1), _AIM_LONGEST_MS, 1),
            *(f"{self.calm.quantile_ms(1):.1f}", str(self.during.asked_again)),
        ]


def felt(running: Node, options: Options, event: Callable[[Node, int], None], times: int, *, routes: int = 0) -> Felt:
    """Let something happen so often under a steady load.

    Args:
        running: the proxy.
        options: the rate, if it was chosen, and for how long nothing happens at first.
        event: called with the proxy and its number from 0; returns when it is over.
        times: how often.
        routes: how many the proxy has; as many as `EVERYTHING` when not given.
    """
    asks = paths(routes or EVERYTHING.routes)[: EVERYTHING.routes]
    here = running.directory
    port = port_of(running)
    rate = options.rate or _half(running, asks, options)
    spans: list[tuple[float, float]] = []
    with steady(here, port, asks, rate=rate, connections=options.connections) as waits:
        time.sleep(_SETTLE_S)
        calm_s = (time.monotonic(), time.monotonic() + (options.seconds or _CALM_S))
        time.sleep(options.seconds or _CALM_S)
        for number in range(times):
            began_s = time.monotonic()
            event(running, number)
            ended_s = time.monotonic()
            time.sleep(_SETTLE_S)
            spans.append((began_s, ended_s))
    during = waits.within([(began_s, ended_s + _AFTER_S) for began_s, ended_s in spans])
    during.asked_again = waits.asked_again
    return Felt(rate=rate, took_s=[end - begin for begin, end in spans], calm=waits.within([calm_s]), during=during)


def _half(running: Node, asks: Sequence[str], options: Options) -> int:
    """Half of what it carries, as far as the loader can ask for that much."""
    target = Running(port=port_of(running), pids=running.pids, worker=workers_of(running)[0])
    peak = drive(target, script(running.directory, asks), seconds=2, connections=options.connections)
    return min(int(peak.requests_per_s / 2), _MOST_RATE)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look until something is so; what is looked at has no event of its own.

    Raises:
        TimeoutError: it didn't come true in time.
    """
    ends_s = time.monotonic() + _WITHIN_S
    while not condition():
        if time.monotonic() > ends_s:
            raise TimeoutError(f"waited {_WITHIN_S:g} s in vain: {what}")
        time.sleep(0.02)


def state_of(running: Node) -> Path:
    return running.directory / "state"
