"""The two systems as a whole, for `status`: what each has in flight, and who waits for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from proxy.core.plan import BackendSpec

_LOAD: Final = re.compile(
    r'strangler_(backend_in_flight|queue_waiting|queue_refused_total|retries_withheld_total)\{backend="(\w+)"(?:,why="\w+")?\}'
)

Breakers = Mapping[str, Mapping[int, str]]
"""By backend and worker slot the state of breakers that aren't closed."""

HalfOpen = Mapping[str, Mapping[int, int]]
"""By backend and worker slot: for how many whole seconds a breaker has been half open."""


class BackendLine(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two systems.

    Attributes:
        in_flight: exchanges that hold a place, on all workers.
        max_in_flight: None: no limit.
        waiting: requests that wait for a place.
        no_place: requests that got none, since the proxy started.
        no_retry: requests that weren't tried at another endpoint, since the retries were used up.
        breakers: by worker slot `open` or `half_open`; those that are closed aren't here.
        half_open_s: by worker slot, for how many seconds a breaker has been half open.
    """

    name: str
    in_flight: int
    max_in_flight: int | None
    waiting: int
    no_place: int
    no_retry: int
    breakers: dict[str, str]
    half_open_s: dict[str, int] = {}


def backend_lines(
    specs: Iterable[BackendSpec], sums: Mapping[str, int], breakers: Breakers, half_open_s: HalfOpen
) -> tuple[BackendLine, ...]:
    """Each backend, by what the workers counted."""
    found: dict[tuple[str, str], int] = {}
    for name, value in sums.items():
        if (load := _LOAD.fullmatch(name)) is not None:
            found[load[1], load[2]] = found.get((load[1], load[2]), 0) + value
    return tuple(
        BackendLine(
            name=spec.name.value,
            in_flight=found.get(("backend_in_flight", spec.name.value), 0),
            max_in_flight=spec.max_in_flight,
            waiting=found.get(("queue_waiting", spec.name.value), 0),
            no_place=found.get(("queue_refused_total", spec.name.value), 0),
            no_retry=found.get(("retries_withheld_total", spec.name.value), 0),
            breakers={str(slot): state for slot, state in breakers.get(spec.name.value, {}).items()},
            half_open_s={str(slot): seconds for slot, seconds in half_open_s.get(spec.name.value, {}).items()},
        )
        for spec in specs
    )


def unavailable_at(backend: str, breakers: Breakers) -> str | None:
    """What is said of a backend whose breaker isn't closed everywhere; None: it is."""
    states = breakers.get(backend, {})
    if not states:
        return None
    said = ", ".join(f"{state.replace('_', ' ')} on worker {slot}" for slot, state in states.items())
    return f"the breaker of {backend} is {said}"
