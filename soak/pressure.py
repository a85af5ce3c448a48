"""Who asked too much, or came when all places were taken: counted from what clients and backends saw, not from what the proxy says.

Both are conditions that must hold for a refusal; each worker has its part of every cap, and which one was asked isn't known here.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from soak.story import End, Story

CAPPED_FAULT: Final = "client-request-capped"
BUSY_FAULT: Final = "new-connect-busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What routes.yaml says, for the node, and how many workers share it.

    Attributes:
        capped: the area whose accounts are capped, at `per_s` with `burst`.
        places: exchanges under way at new.
        wait_s: the longest wait for one of them.
        timeout_s: how long new may hold a place of somebody who has left.
    """

    workers: int
    capped: str
    per_s: int
    burst: int
    places: int
    wait_s: float
    timeout_s: float


class Pressure:
    """All stories, as far as they count for caps and places."""

    def __init__(self, bounds: Bounds, stories: Iterable[Story]) -> None:
        self.bounds = bounds
        self._asked: dict[str, list[Story]] = defaultdict(list)
        held: list[tuple[float, float]] = []
        for story in stories:
            if story.sent.area == bounds.capped and (story.seen is None or story.seen.own != CAPPED_FAULT):
                self._asked[story.sent.account].append(story)
            if (span := self._held(story)) is not None:
                held.append(span)
        held.sort()
        self._since_s = [since_s for since_s, _ in held]
        self._until_s = [until_s for _, until_s in held]
        self._longest_s = max((until_s - since_s for since_s, until_s in held), default=0.0)

    def may_be_capped(self, story: Story) -> bool:
        """Whether its account had asked so much that one worker's part of its cap was used up."""
        bounds, sent, seen = self.bounds, story.sent, story.seen
        if seen is None or sent.area != bounds.capped or not sent.account:
            return False
        part = -(-bounds.burst // bounds.workers)
        full_in_s = part / (bounds.per_s / bounds.workers)
        others = [one for one in self._asked[sent.account] if one is not story and one.sent.at_s <= seen.at_s]
        recent = sum(one.seen is None or one.seen.at_s >= sent.at_s - full_in_s for one in others)
        return recent >= part

    def unheld(self, account: str) -> str:
        """What is wrong with what an account had of a flood in which no worker was replaced; empty: nothing."""
        bounds, had = self.bounds, [one for one in self._asked[account] if one.arrivals]
        if not had:
            return f"{account} had nothing at all"
        lasted_s = max(one.arrivals[-1].at_s for one in had) - min(one.sent.at_s for one in had)
        most = bounds.burst + bounds.workers + bounds.per_s * lasted_s  # a part's rounding: one for each worker
        return f"{account} had {len(had)} in {lasted_s:.2f} s, of {most:.0f}" if len(had) > most else ""

    def may_be_full(self, since_s: float, until_s: float) -> bool:
        """Whether so many may have been under way at one moment of a time that one worker had no place left."""
        first = bisect_left(self._since_s, since_s - self._longest_s)
        last = bisect_right(self._since_s, until_s)
        changes = []
        for at in range(first, last):
            if self._until_s[at] >= since_s:
                changes += [(max(self._since_s[at], since_s), -1), (self._until_s[at], 1)]
        held, most = 0, 0
        for _, change in sorted(changes):  # at one moment, who comes goes before who leaves
            held -= change
            most = max(most, held)
        return most >= -(-self.bounds.places // self.bounds.workers)

    def _held(self, story: Story) -> tuple[float, float] | None:
        """When it may have held a place at new."""
        sent, seen = story.sent, story.seen
        if seen is None:
            return sent.at_s, math.inf
        if seen.own == BUSY_FAULT:
            return None
        unknown = seen.end in {End.LEFT, End.NONE, End.CUT}
        there = any(one.backend == "new" for one in story.arrivals)
        if not (there or unknown or seen.own.startswith("new-")):
            return None
        return sent.at_s, seen.at_s + (self.bounds.timeout_s if unknown else 0.0)
