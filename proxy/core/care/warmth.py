"""*Legacy warm*: how much of the traffic that it would get back legacy is shown to carry.

What it has carried lately is the only thing that shows what it carries: machines that were taken away, caches that went cold and
pools that were made smaller tell nobody. So the figure is that of the last day against what a rollback of everything would bring,
made smaller by what is known to be missing now, and by `max_in_flight`. It says what is shown, not what is possible: legacy may carry
more than anybody asked of it. It knows nothing of how heavy a request is, nor of the data that only new has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

KEPT_H: Final = 24
"""A day: whoever took the old system's machines away yesterday must not be told of the day before."""

_A_MINUTE_S: Final = 60.0  # who answers less than once in it shows nothing of how long an answer takes


class Seen(NamedTuple):
    """What is known of traffic and of legacy. Rates are requests a second."""

    legacy_per_s: float
    returning_per_s: float  # of new, without retired areas
    most_per_s: float  # that legacy carried in the hours that are kept
    endpoints: int
    healthy: int
    workers: int
    tripped: int  # workers whose breaker of legacy isn't closed
    in_flight: int
    max_in_flight: int | None


class Warmth(NamedTuple):
    """What follows."""

    percent: int | None  # None: there is no traffic to judge by
    would_get_per_s: float
    would_have_in_flight: int | None  # None: legacy answers next to nothing now, so nobody knows how long it takes


def warmth(seen: Seen) -> Warmth:
    """The figure: 100 is that all of it is shown, which is not that all of it is safe."""
    would_get = seen.legacy_per_s + seen.returning_per_s
    # By Little's law what is in flight grows as the rate does, as long as nothing slows down.
    telling = seen.legacy_per_s * _A_MINUTE_S >= 1
    would_have = round(seen.in_flight * would_get / seen.legacy_per_s) if telling else None
    if would_get <= 0:
        return Warmth(None, would_get, would_have)
    shown = max(seen.most_per_s, seen.legacy_per_s) / would_get
    if seen.max_in_flight is not None and would_have:
        shown = min(shown, seen.max_in_flight / would_have)
    shown = min(shown, 1.0)
    if seen.endpoints:
        shown *= seen.healthy / seen.endpoints
    if seen.workers:
        shown *= 1 - min(seen.tripped, seen.workers) / seen.workers
    return Warmth(int(100 * shown), would_get, would_have)


class Peaks:
    """The highest rate of each of the last hours.

    Args:
        hours: by the hour since 1970 what is remembered.
    """

    def __init__(self, hours: Mapping[int, float]) -> None:
        self._hours = dict(hours)

    def note(self, hour: int, per_s: float) -> bool:
        """Take note of a rate; whether it is worth remembering: a higher one by a twentieth, or an hour's first."""
        kept = {then: most for then, most in self._hours.items() if hour - KEPT_H < then <= hour}
        before = kept.get(hour)
        if before is None or per_s > before:
            kept[hour] = per_s
        self._hours = kept  # whole: a command may be reading them in a thread
        return before is None or per_s > before * 1.05

    def most(self, hour: int) -> float:
        """The highest of the hours that are kept."""
        return max((most for then, most in self._hours.items() if hour - KEPT_H < then <= hour), default=0.0)

    @property
    def hours(self) -> Mapping[int, float]:
        """What is to be remembered."""
        return self._hours
