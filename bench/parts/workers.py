"""One worker and two: what a second one adds, and whether a request gets dearer by it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from bench.field import Ground, scratch
from bench.job import Job, Running
from bench.load import Round, drive, script
from bench.machine import cores
from bench.options import Options
from bench.origin import origin
from bench.peers import strangler
from bench.peers.strangler import EVERYTHING, paths
from bench.section import Section, Table
from bench.spread import cell, median

_ROUNDS: Final = 3
_SECONDS: Final = 3.0


def _start(job: Job, workers: int) -> AbstractContextManager[Running]:
    return strangler.run(job, workers=workers)


def run(options: Options) -> Section:
    count, seconds = options.rounds or _ROUNDS, options.seconds or _SECONDS
    rounds: dict[int, list[Round]] = {1: [], 2: []}
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems)
        asks = script(here, paths(EVERYTHING.routes))
        for _ in range(count):
            for workers, measured in rounds.items():
                with _start(ground.job(cores(workers)), workers) as running:
                    load = partial(drive, running, asks, connections=options.connections)
                    load(seconds=1)
                    measured.append(load(seconds=seconds))
    rates = {workers: [one.requests_per_s for one in measured] for workers, measured in rounds.items()}
    enough = len(os.sched_getaffinity(0)) > 3
    return Section(
        title="One worker, two workers",
        method=(
            f"`python -m bench workers`: {count} interleaved rounds of {seconds:g} s; as many cores for the proxy as it has workers. "
            + (
                ""
                if enough
                else "This machine has too few cores for it: the second worker shares its core with wrk and the origin, so requests a second "
                "say little here, and what a second worker could add is told by the processor time, which must not rise."
            )
        ),
        tables=[
            Table(
                title="as much as they carry",
                head=["workers", "requests/s", "× one worker", "CPU, µs/request"],
                rows=[
                    [
                        *(str(workers), cell(rates[workers], 0), f"{median(rates[workers]) / median(rates[1]):.2f}"),
                        cell([one.cpu_us for one in measured], 1),
                    ]
                    for workers, measured in rounds.items()
                ],
            )
        ],
    )
