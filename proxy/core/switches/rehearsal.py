"""What the proxy's own instruments would have made of a drill's faults, had they been real.

The real ones act on everybody: an endpoint that is left out, or a breaker that opens, changes where requests go that no
drill may touch. So injected faults stay hidden from them, and a copy of the same state machines is told instead: of every
injected fault, and of every real answer in between, as these would have counted too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxy.core.care.breaker import Breaker, State
from proxy.core.care.endpointhealth import EndpointHealth, Standing
from proxy.core.care.reaching import BreakerCare, EndpointCare

EJECTED: Final = "ejected"
UNREACHABLE: Final = "unreachable"
BREAKER: Final = "breaker"

_OUT: Final = Standing.EJECTED
_DRAW: Final = 0.5  # how long a breaker stays open doesn't matter here


class Rehearsal:
    """One backend, as one worker would have judged it. Times are seconds of any clock that doesn't go back.

    Attributes:
        noticed: what was noticed, and when first.
    """

    __slots__ = ("_breaker", "_ended", "_endpoints", "noticed")

    def __init__(self, care: EndpointCare, breaker: BreakerCare, urls: Iterable[str]) -> None:
        self._endpoints = {url: EndpointHealth(care) for url in urls}
        self._breaker = Breaker(breaker)
        self._ended = 0
        self.noticed: dict[str, float] = {}

    def unanswered(self, url: str, now_s: float) -> None:
        """A request was left unanswered by an endpoint, or seemed to be."""
        health = self._endpoints.get(url)
        if health is not None:
            out = sum(one.believed(now_s) >= _OUT for one in self._endpoints.values() if one is not health)
            if health.faulted(now_s, out=out, of=len(self._endpoints)):
                self.noticed.setdefault(EJECTED, now_s)
        self.failed(now_s)

    def unreachable(self, now_s: float) -> None:
        """No endpoint took the connection, or seemed to."""
        for health in self._endpoints.values():
            health.unreachable(now_s)
        self.noticed.setdefault(UNREACHABLE, now_s)
        self.failed(now_s)

    def answered(self, url: str, status: int, now_s: float) -> None:
        """An endpoint answered, with whatever status; some breakers look at that."""
        health = self._endpoints.get(url)
        if health is not None:
            health.answered(now_s)
        if status in self._breaker.care.statuses:
            self.failed(now_s)
        else:
            self._breaker.tick(now_s, self._ended)
            self._ended += 1

    def failed(self, now_s: float) -> None:
        """An exchange failed for good."""
        self._breaker.tick(now_s, self._ended)
        self._breaker.failed(now_s, self._ended, _DRAW)
        self._ended += 1
        if self._breaker.state is State.OPEN:
            self.noticed.setdefault(BREAKER, now_s)
