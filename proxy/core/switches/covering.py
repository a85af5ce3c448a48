"""Whether a rollback covers a request. No edit lifts one: the plan it was thrown under goes on being asked.

An entry covers a request that the plan it was thrown under, or the running one, puts into its scope. What can't be
judged counts as matching: a segment that is gone, a region or account that can't be read, a plan that is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Final

from proxy.core.deciding.facts import Facts
from proxy.core.deciding.placing import place
from proxy.core.http.badmessage import BadMessage
from proxy.core.model import Standing
from proxy.core.switches.latch import OPEN, Entry, Latch, Scope

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.generation import Generation


class Under(Enum):
    """What an entry is judged by, where it isn't a generation of its own."""

    RUNNING = "the running plan alone: it is the one it was thrown under, or none was known"
    LOST = "the plan it was thrown under can't be read: every scope matches"


class LiveEntry:
    """An entry, with what its scope is judged by besides the running generation."""

    __slots__ = ("entry", "under")

    def __init__(self, entry: Entry, under: Generation | Under) -> None:
        self.entry = entry
        self.under = under


class LiveLatch:
    """The latch as requests see it: replaced whole, by one assignment."""

    __slots__ = ("entries", "epoch")

    def __init__(self, epoch: int, entries: Iterable[LiveEntry]) -> None:
        self.epoch = epoch
        self.entries = tuple(entries)


def lower_latch(latch: Latch, under: Callable[[str], Generation | Under]) -> LiveLatch:
    """The latch ready to be asked.

    Args:
        latch: what is in force.
        under: gives what an entry is judged by, from the name of the plan it was thrown under.
    """
    return LiveLatch(
        latch.epoch,
        (LiveEntry(one, Under.RUNNING if one.plan is None else under(one.plan)) for one in latch.entries),
    )


NOTHING_ROLLED_BACK: Final = lower_latch(OPEN, lambda plan: Under.RUNNING)
"""No rollback is in force."""


def covering(decision: Decision, latch: LiveLatch, peer: str | None) -> Entry | None:
    """The first entry that covers a request.

    Args:
        decision: the request, placed by the running generation.
        latch: what is in force.
        peer: the client's address, to judge its trust by an older plan; None: it is trusted as it is now.

    Retired areas lie outside the latch; one that was retired after the rollback was thrown is covered all the same.
    """
    retired = decision.route is not None and decision.route.area.retired
    for live in latch.entries:
        scope = live.entry.scope
        if not retired and holds(scope, decision):
            return live.entry
        match live.under:
            case Under.RUNNING:
                continue
            case Under.LOST:
                if not retired:
                    return live.entry
            case generation:
                if generation is not decision.generation and _held_then(scope, decision, generation, peer):
                    return live.entry
    return None


def _held_then(scope: Scope, decision: Decision, generation: Generation, peer: str | None) -> bool:
    facts = Facts()
    trusted = decision.peer_trusted if peer is None else generation.trusts(peer)
    try:
        route = place(facts, generation, decision.head, peer_trusted=trusted)
    except BadMessage:
        return True  # that plan could not have told the area: it can't be judged
    return not (route is not None and route.area.retired) and holds(scope, facts)


def holds(scope: Scope, facts: Facts) -> bool:
    """Whether a request lies in a scope, by the generation that placed it; what can't be judged does."""
    unread = facts.standing is Standing.INVALID
    if scope.area is not None and scope.area != facts.area:
        return False
    if scope.region is not None and not unread and scope.region != facts.region:
        return False
    if scope.segment is None:
        return True
    segment = facts.generation.segments.get(scope.segment)
    return segment is None or unread or facts.in_segment(scope.segment)
