"""What drills may do, and to whom: a model of them that shares no line with the proxy (docs/game-day.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from soak.expected import History, bucket_bp
from soak.story import SAFE, Arrival, Story, Way

NEVER_SENT: Final = frozenset({"status", "reset", "refused"})
"""Faults that stand in for the system: what meets them reaches it never."""


@dataclass(slots=True, kw_only=True)
class Drilled:
    """One drill of new.

    Attributes:
        id: as the proxy calls it.
        kind: of its fault.
        area, segment: empty: all.
        pilots: the accounts of the segment.
        share_bp: of the accounts in scope.
        since_s, until_s: outside of this time nobody meets it.
        sure_from_s, sure_until_s: within it everybody does.
    """

    id: str
    kind: str
    area: str
    segment: str
    pilots: frozenset[str]
    share_bp: int
    since_s: float
    until_s: float = math.inf
    sure_from_s: float = math.inf
    sure_until_s: float = -math.inf

    def covers(self, story: Story) -> bool:
        """Whether a request belongs to those who meet it, were it on."""
        sent = story.sent
        if not sent.account or self.area not in {"", sent.area} or (self.segment and sent.account not in self.pilots):
            return False
        if self.kind == "slow" and (sent.method not in SAFE or sent.way is Way.WEBSOCKET):
            return False
        return bucket_bp(self.id, sent.account) < self.share_bp

    def may_hit(self, story: Story, history: History) -> bool:
        """Whether a request may have met it: it was on at some moment of it, and new was to answer."""
        sent, seen = story.sent, story.seen
        until_s = math.inf if seen is None else seen.at_s
        if until_s < self.since_s or self.until_s < sent.at_s or not self.covers(story):
            return False
        during = history.during(sent.at_s, until_s)
        return any(one.system(sent.area, sent.account, pinned=sent.pinned) == "new" for one in during)

    def must_have_stopped(self, story: Story, arrival: Arrival) -> bool:
        """Whether a request can't have come to new, where it arrived, without meeting it."""
        return (
            arrival.at_s <= self.sure_until_s
            and self.sure_from_s <= story.sent.began_s
            and self.kind in NEVER_SENT
            and self.covers(story)
        )
