"""The steady load from outside: started beside the origin, and what it measured."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.machine import load_cores

_END_S: Final = 30.0
_FOR_EVER_S: Final = 3_600.0


@dataclass(slots=True, kw_only=True)
class Waits:
    """How long answers took.

    Attributes:
        pairs: when each request was due (monotonic clock), and how long its answer took, both in seconds.
        asked_again: requests whose connection had ended before their answer began.
    """

    pairs: list[tuple[float, float]] = field(default_factory=list)
    asked_again: int = 0

    def quantile_ms(self, share: float) -> float:
        """The wait that this share of the requests didn't exceed; 1 gives the longest."""
        ordered = sorted(wait_s for _, wait_s in self.pairs)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1_000

    def within(self, spans: Sequence[tuple[float, float]]) -> Waits:
        """Only the requests that were due, or still waited, in one of these spans of time."""
        return Waits(
            pairs=[
                (due_s, wait_s)
                for due_s, wait_s in self.pairs
                if any(begin_s <= due_s + wait_s and due_s <= end_s for begin_s, end_s in spans)
            ]
        )


@contextlib.contextmanager
def steady(directory: Path, port: int, paths: Sequence[str], *, rate: int, connections: int) -> Iterator[Waits]:
    """Ask at a constant rate while the block runs; what is given is filled when the block ends.

    Raises:
        RuntimeError: a request failed, so the figures would mean nothing.
    """
    with _loading(directory, port, paths, rate, connections, _FOR_EVER_S) as (program, waits):
        yield waits
        assert program.stdin is not None
        program.stdin.close()


def asked(directory: Path, port: int, paths: Sequence[str], *, rate: int, connections: int, seconds: float) -> Waits:
    """Ask at a constant rate for so long.

    Raises:
        RuntimeError: a request failed.
    """
    with _loading(directory, port, paths, rate, connections, seconds) as (program, waits):
        program.wait(seconds + _END_S)
    return waits


@contextlib.contextmanager
def _loading(
    directory: Path, port: int, paths: Sequence[str], rate: int, connections: int, seconds: float
) -> Iterator[tuple[subprocess.Popen[str], Waits]]:
    kept = directory / "waits"
    kept.unlink(missing_ok=True)
    order = {"port": port, "rate": rate, "connections": connections, "seconds": seconds, "waits": str(kept)}
    program = subprocess.Popen(
        [*load_cores(), sys.executable, "-m", "bench.steady", json.dumps({**order, "paths": paths})],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    waits = Waits()
    try:
        yield program, waits
        program.wait(_END_S)
        assert program.stdout is not None
        said = program.stdout.read()
    finally:
        program.kill()
        program.wait()
        for pipe in (program.stdin, program.stdout):
            if pipe is not None:
                pipe.close()
    told = json.loads(said or "{}")
    waits.asked_again = told.pop("asked again", 0)
    if program.returncode or told:
        raise RuntimeError(f"requests failed at a steady rate: {told}, exit code {program.returncode}")
    numbers = array("d", kept.read_bytes())
    waits.pairs.extend(zip(numbers[::2], numbers[1::2], strict=True))
