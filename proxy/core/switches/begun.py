"""Whether a rollback covers what has begun long ago and lasts: a tunnel, an event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.deciding.decision import Decision
from proxy.core.deciding.placing import place
from proxy.core.http.badmessage import BadMessage
from proxy.core.switches.covering import LiveLatch, covering

if TYPE_CHECKING:
    from proxy.core.generation import Generation
    from proxy.core.switches.latch import Entry


def covers_begun(decision: Decision, running: Generation, latch: LiveLatch, peer: str) -> Entry | None:
    """The first entry that covers what a decision made earlier has begun.

    It is placed anew by the running generation, as its next request would be: its own may have been taken apart
    since. If that puts it into another area, the one whose name it bears in logs and metrics counts too, for that is
    what somebody who rolls back sees.

    Args:
        decision: as it was made when it began.
        running: the generation in force.
        latch: what is in force.
        peer: the client's address.
    """
    if decision.generation is running:
        return covering(decision, latch, peer)
    now = Decision()
    try:
        now.route = place(now, running, decision.head, peer_trusted=running.trusts(peer))
    except BadMessage:
        return latch.entries[0].entry if latch.entries else None  # can't be judged: counts as covered
    found = covering(now, latch, peer)
    if found is None and now.area != decision.area:
        now.area = decision.area
        found = covering(now, latch, peer)
    return found
