"""Rate caps: how many requests an account may make, or an area may get, in a time.

A token bucket, kept as GCRA keeps it: one number for each bucket, the moment at which it will be full again. Nothing has to be
refilled, and a bucket that is full needs no memory at all.

Whole nanoseconds, rounded so that never more passes than was written: sums of floats would drift by a request now and then.

Sources: ITU-T I.371 (the generic cell rate algorithm, virtual scheduling); nginx `limit_req`; RFC 6585 §4 (429).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.limits import Rate
    from proxy.core.plan import Area, Settings

_NS: Final = 1_000_000_000


class Pace:
    """A rate as one worker holds it.

    Args:
        rate: of the node; above 0.
        share_of_node: how many workers share it. A part of a burst is rounded up, so that each has one at least.
    """

    __slots__ = ("_ahead_ns", "_interval_ns")

    def __init__(self, rate: Rate, share_of_node: int = 1) -> None:
        self._interval_ns = -int(-_NS * share_of_node // rate.per_s)
        self._ahead_ns = (-(-rate.burst // share_of_node) - 1) * self._interval_ns

    def wait_ns(self, full_at_ns: int, now_ns: int) -> int:
        """How long until a bucket gives one; 0: it gives one now."""
        early_ns = full_at_ns - now_ns - self._ahead_ns
        return max(early_ns, 0)

    def owed(self, full_at_ns: int, now_ns: int) -> tuple[int, int]:
        """Of a bucket that gives none: when it will be full again, and how long until it gives one.

        It can't be emptier than empty: what was taken at a slower pace, before a reload, is not waited for at that pace.
        """
        full_at_ns = min(full_at_ns, now_ns + self._ahead_ns + self._interval_ns)
        return full_at_ns, self.wait_ns(full_at_ns, now_ns)

    def taken(self, full_at_ns: int, now_ns: int) -> int:
        """When a bucket will be full again once one is taken from it."""
        return max(full_at_ns, now_ns) + self._interval_ns


def nanoseconds(seconds: float) -> int:
    """A moment as paces count it."""
    return int(seconds * _NS)


def in_force(settings: Settings, area: Area | None) -> tuple[Rate | None, Rate | None]:
    """What caps a request: for its account, and for all of its area together.

    Args:
        settings: say what holds where an area says nothing.
        area: None: it belongs to none.
    """
    account = settings.account_rate
    total = None
    if area is not None:
        total = area.total_rate
        if area.account_rate is not None:
            account = area.account_rate
    return account if account is not None and account.per_s else None, total
