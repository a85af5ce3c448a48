"""Whether legacy may answer what new was to answer, when new can't be reached at all: only where an area says `fallback: safe`.

Only reads without a body, and no WebSocket: what may change data must not be done by a system that wasn't meant to. A read is
answered by a system that may lack what was written to the other, which is why areas have to ask for it.

*At all* means that no endpoint takes a connection, that none is healthy, or that the breaker is open. A full queue is no
reason: new answers, only not everybody, and its load would fall on legacy just when both have the most to do. Nor is anything that
comes once a byte of the request went to new: a cut, a silence, a status.

And only while legacy has a place that nobody waits for: new's outage mustn't become legacy's, whose own requests have nobody else to
answer them. Whether it has one is asked where the request would take it (`proxy.traffic.exchanges.falling`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.http.framing import NO_BODY
from proxy.core.model import Backend, Fallback

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision

READS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})


def falls_back(decision: Decision) -> bool:
    """Whether legacy answers a request that was decided for new, if new can't be reached at all."""
    route = decision.route
    if decision.backend is not Backend.NEW or route is None:
        return False
    area = route.area
    if area.fallback is not Fallback.SAFE or area.retired:
        return False
    head = decision.head
    return head.method in READS and head.body == NO_BODY and b"upgrade" not in head.connection
