"""What the journal is made of: values only.

An event has an id from the moment it is recorded; whoever isn't sure whether it arrived may write it once more.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Any, Final

import msgspec

EVERY_AREA: Final = "*"
"""Stands for each area; none can be called so."""


@unique
class Action(StrEnum):
    """What was done; a closed set."""

    START = "start"  # control began to serve
    STOP = "stop"  # it ended in order
    RELOAD = "reload"  # files were edited, and their plan was posted
    ROLLBACK = "rollback"
    RELEASE = "release"
    CANARY = "canary"
    FREEZE = "freeze"
    THAW = "thaw"  # a freeze ended, by itself or early
    DRILL = "drill"  # a fault, or a rollback, on purpose, for a time
    DRILLED = "drilled"  # that is over; `after` has what came of it
    WORKER = "worker"  # another process carries a share of the traffic
    REFUSED = "refused"  # a change that was asked for, or a file that was edited, is not in force


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done.

    Attributes:
        by: who, by name; `file edit` for an edit that was found.
        uid: of the socket's peer, or of the owner of an edited file; None: not known.
        reason: in the words of whoever did it; for REFUSED, why not.
        scope: what it is about: `area`, `segment`, `region`, `worker`, `files`, `areas`…; empty: everything.
        before: how it was, JSON-able.
        after: how it is.
        generation: the generation that workers must serve for this to be in force.
        epoch: the epoch of the latch that they must have seen.
        plan: the plan's name.
        at_s: when, seconds since 1970; 0: when it is recorded.
        id: makes it one event however often it is written; empty: chosen when it is recorded.
    """

    action: Action
    by: str
    uid: int | None = None
    reason: str = ""
    scope: dict[str, Any] = {}
    before: Any = None
    after: Any = None
    generation: int | None = None
    epoch: int | None = None
    plan: str | None = None
    at_s: float = 0.0
    id: str = ""

    def areas(self) -> tuple[str, ...]:
        """The areas it touches; `*`: each."""
        if (area := self.scope.get("area")) is not None:
            return (str(area),)
        if self.action in {Action.ROLLBACK, Action.RELEASE}:
            return (EVERY_AREA,)
        return tuple(str(one) for one in self.scope.get("areas", ()))


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A worker has what an event says."""

    event: str
    worker: int
    at_s: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands in the journal.

    Attributes:
        seq: its place; 0: not on the disk yet.
        workers: when each worker had it, seconds since 1970.
    """

    seq: int
    event: Event
    workers: dict[int, float]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; everything that is given must hold.

    Attributes:
        since_s: not before this.
        actions: any of these.
        area: those that touch it; a rollback of everything touches every area.
        after_seq: only what was written later than this place.
        limit: the last so many.
    """

    since_s: float | None = None
    actions: tuple[Action, ...] = ()
    area: str | None = None
    after_seq: int = 0
    limit: int | None = None

    def wants(self, event: Event) -> bool:
        """The same question about an event that isn't in the database."""
        return (
            (self.since_s is None or event.at_s >= self.since_s)
            and (not self.actions or event.action in self.actions)
            and (self.area is None or bool({self.area, EVERY_AREA} & set(event.areas())))
        )
