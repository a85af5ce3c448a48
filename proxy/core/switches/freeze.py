"""Freezes: for a bounded time no request may change data of an area, so that its data can be moved.

Everything here is values; who writes the file is `proxy.control.switches.freezes`, who follows it in a worker is
`proxy.supervise.freezewatch`. The file's form is a promise (docs/cutting-over-a-segment.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.core.switches.bounded import Bounded, Several
from proxy.core.switches.covering import holds

if TYPE_CHECKING:
    from proxy.core.deciding.facts import Facts

MOST: Final = 16
"""Freezes at the same time: each worker publishes what is in flight under each."""

READING: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""The methods that pass. TRACE is safe too (RFC 9110 §9.2.1), but nobody moves a business with it."""


class Freeze(Bounded, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One freeze; its scope is an area, or a segment in it."""


class Freezes(Several[Freeze], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All freezes of one epoch."""


NOTHING_FROZEN: Final = Freezes()


class LiveFreeze:
    """A freeze as requests meet it.

    Attributes:
        freeze: what it is.
        ends_s: on the monotonic clock of this process.
    """

    __slots__ = ("ends_s", "freeze")

    def __init__(self, freeze: Freeze, ends_s: float) -> None:
        self.freeze = freeze
        self.ends_s = ends_s

    def retry_after_s(self, now_s: float) -> int:
        """What a client is told to wait: whole seconds, 1 at least."""
        return max(1, math.ceil(self.ends_s - now_s))


def writes(method: bytes) -> bool:
    """Whether a request of this method is one that a freeze holds up."""
    return method not in READING


def freezing(facts: Facts, freezes: Iterable[LiveFreeze]) -> LiveFreeze | None:
    """The freeze in whose scope a request lies, the one that lasts longest; its method isn't looked at.

    As with a rollback, what can't be judged counts as in scope. Unlike one, nothing lies outside: not what is
    retired or fixed by its route, and neither system is spared.
    """
    found = [live for live in freezes if holds(live.freeze.scope, facts)]
    return max(found, key=lambda live: live.ends_s, default=None)
