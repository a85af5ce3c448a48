"""For how long an exchange waits for its backend, in ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.traffic.limits import ticks

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.traffic.backends.pool import Pool


class Deadlines:
    """How long one backend is waited for.

    Attributes:
        silence_ticks: for the head or the next byte.
        total_ticks: for the whole exchange; None: any time.
    """

    __slots__ = ("silence_ticks", "total_ticks")

    def __init__(self, timeout_s: float, total_s: float | None) -> None:
        self.silence_ticks = ticks(timeout_s)
        self.total_ticks = None if total_s is None else ticks(total_s)


def deadlines_of(decision: Decision, pool: Pool) -> Deadlines:
    """The route's, its area's, or the backend's own.

    Asked once a tick for what is under way, and not once a request: few routes have their own, and fewer requests live that long.
    """
    route = decision.route
    if route is None or route.waits is None:
        return pool.deadlines
    waits = route.waits[decision.backend]
    return Deadlines(waits.timeout_s, waits.total_s)
