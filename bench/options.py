"""What whoever starts the benchmark may choose, and how a part says that it can't run here."""

from __future__ import annotations

from dataclasses import dataclass


class Skipped(Exception):
    """A part or a proxy can't be measured here; the text says why, and what to install."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of one run.

    Attributes:
        rounds: how often each proxy is measured; each part has its own default.
        seconds: of load, each proxy, each round; each part has its own default.
        connections: kept alive, where a part doesn't say otherwise.
        only: names of the proxies that are measured; none means all that the part knows.
        rate: requests a second where load comes at a constant rate; else half of what the slowest full proxy carries.
        write: whether the part's section of bench/RESULTS.md and its charts are replaced.
    """

    rounds: int | None = None
    seconds: float | None = None
    connections: int = 32
    only: tuple[str, ...] = ()
    rate: int | None = None
    write: bool = False
