"""Rate caps on traffic: who made too many requests is told 429, with the time after which one more will be taken.

Whom a cap holds. An account that is *verified* has one bucket, wherever its requests come from. One that is only *claimed* (a plain
cookie, a path, a host) has one for each address that claims it: whoever takes another's name eats nothing of what that other may do.
The price: who makes up names, or has many addresses, isn't held by it; an area's `total` holds everybody, and `connections_per_client` an
address. A request without an account, or with one that can't be read, has no bucket: behind a company's address or a balancer
stand many such, who would all pay for one.

A request is charged once, when it is decided and before anything is lent to it, whichever system is to answer: a cap protects legacy under a
rollback as well. What is refused is charged to nobody, so who goes on knocking isn't kept out for longer.

Memory: a bucket is one number under a 64-bit hash of whose it is (SipHash under a key of the process, so that nobody can aim at
another's). `limits.rated_accounts` bounds them; the one that was used longest ago goes first, and most likely it was full again. Claimed ones
go before verified ones: names cost nothing to make up, and whoever makes up any number of them mustn't push out what holds the others.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.core.care.rates import Pace, in_force, nanoseconds
from proxy.core.limits import Limit
from proxy.core.model import Grade
from proxy.core.telling.faults import Fault, Kind, Party, Stage
from proxy.traffic.clients.crowd import site_of

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.generation import Generation
    from proxy.core.plan import Area
    from proxy.traffic.telling.telemetry import Telemetry

_BY_ACCOUNT: Final = Fault(Party.CLIENT, Stage.REQUEST, Kind.CAPPED)
_BY_TOTAL: Final = Fault(Party.PROXY, Stage.REQUEST, Kind.CAPPED)
_NS: Final = 1_000_000_000
_SAID_EVERY_S: Final = 60.0
_SITES_KEPT: Final = 4096

_log = logging.getLogger("rate")


class Excess(NamedTuple):
    """A request is beyond a cap."""

    fault: Fault
    retry_after_s: int


class Caps:
    """What one worker remembers of who asked; outlives its wirings."""

    __slots__ = (
        "_sites",
        "claimed",
        "said_again_s",
        "share_of_node",
        "telemetry",
        "totals_full_at_ns",
        "unsaid",
        "verified",
    )

    def __init__(self, telemetry: Telemetry, share_of_node: int) -> None:
        self.telemetry = telemetry
        self.share_of_node = share_of_node
        # When each bucket is full again; the one that was used longest ago first.
        self.verified: OrderedDict[int, int] = OrderedDict()
        self.claimed: OrderedDict[int, int] = OrderedDict()
        self.totals_full_at_ns: dict[str, int] = {}
        self._sites: dict[bytes, str] = {}
        self.said_again_s = 0.0
        self.unsaid = 0

    def of(self, generation: Generation) -> Capping | None:
        """The caps of a generation; None: it has none, and nobody is counted."""
        self.totals_full_at_ns = {
            name: full for name, full in self.totals_full_at_ns.items() if name in generation.areas
        }
        caps = {name: self._cap(generation, area) for name, area in generation.areas.items()}
        beyond = self._cap(generation, None)
        if beyond is None and not any(caps.values()):
            self.verified.clear()
            self.claimed.clear()
            return None
        return Capping(self, caps, beyond, generation.settings.limits.rated_accounts)

    def _cap(self, generation: Generation, area: Area | None) -> _Cap | None:
        account, total = in_force(generation.settings, area)
        if account is None and total is None:
            return None
        own = area is not None and area.account_rate is not None
        return _Cap(
            area.name if area is not None and own else None,
            None if account is None else Pace(account, self.share_of_node),
            None if total is None else Pace(total, self.share_of_node),
        )

    def site(self, address: bytes) -> str:
        """What counts as one client; asked again for each request of a claimed account."""
        known = self._sites.get(address)
        if known is None:
            if len(self._sites) >= _SITES_KEPT:
                self._sites.clear()
            known = self._sites[address] = site_of(address) if address else ""
        return known

    def remember(self, buckets: OrderedDict[int, int], whose: int, full_at_ns: int, most: int) -> None:
        """Note when a bucket will be full again, in `verified` or `claimed`; of both together `most` are remembered."""
        buckets[whose] = full_at_ns
        buckets.move_to_end(whose)
        beyond = len(self.verified) + len(self.claimed) - most
        if beyond > 0:
            self.telemetry.limit_reached(Limit.RATED_ACCOUNTS)
            for _ in range(beyond):
                (self.claimed or self.verified).popitem(last=False)


class _Cap:
    """What holds for one area; `scope` None: accounts share their buckets with all areas that say nothing."""

    __slots__ = ("account", "scope", "total")

    def __init__(self, scope: str | None, account: Pace | None, total: Pace | None) -> None:
        self.scope = scope
        self.account = account
        self.total = total


class Capping:
    """The caps of one generation."""

    __slots__ = ("_beyond", "_by_area", "_caps", "_most")

    def __init__(self, caps: Caps, by_area: dict[str, _Cap | None], beyond: _Cap | None, most: int) -> None:
        self._caps = caps
        self._by_area = by_area
        self._beyond = beyond
        self._most = most

    def excess(self, decision: Decision, address: bytes, now_s: float) -> Excess | None:
        """Charge a request to the caps that hold for it; None: none is exceeded.

        Args:
            decision: of the request.
            address: its client's.
            now_s: monotonic.
        """
        area = decision.area
        cap = self._beyond if area is None else self._by_area[area]
        if cap is None:
            return None
        caps = self._caps
        now_ns = nanoseconds(now_s)
        account, pace, whose, full, buckets = decision.account, cap.account, 0, 0, caps.verified
        if pace is not None and account is not None:
            claimed = decision.grade is not Grade.VERIFIED
            whose = hash((cap.scope, account, caps.site(address) if claimed else None))
            if claimed:
                buckets = caps.claimed
            full = buckets.get(whose, 0)
            if pace.wait_ns(full, now_ns):
                buckets[whose], wait_ns = pace.owed(full, now_ns)
                return self._refused(area, "account", _BY_ACCOUNT, wait_ns, now_s)
        total = cap.total
        if total is not None and area is not None:
            total_full = caps.totals_full_at_ns.get(area, 0)
            if total.wait_ns(total_full, now_ns):
                caps.totals_full_at_ns[area], wait_ns = total.owed(total_full, now_ns)
                return self._refused(area, "total", _BY_TOTAL, wait_ns, now_s)
            caps.totals_full_at_ns[area] = total.taken(total_full, now_ns)
        if pace is not None and account is not None:
            caps.remember(buckets, whose, pace.taken(full, now_ns), self._most)
        return None

    def _refused(self, area: str | None, cap: str, fault: Fault, wait_ns: int, now_s: float) -> Excess:
        caps = self._caps
        caps.telemetry.capped(area, cap)
        caps.unsaid += 1
        if now_s >= caps.said_again_s:
            where = "rate.account" if area is None else f"rate.{cap} of {area}"
            _log.warning("requests come beyond %s; answered with 429 since this was said last: %d", where, caps.unsaid)
            caps.said_again_s = now_s + _SAID_EVERY_S
            caps.unsaid = 0
        return Excess(fault, -(-wait_ns // _NS))
