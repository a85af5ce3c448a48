"""Watches the drills that are on, ends what is over, and puts what came of each into the journal: once, whoever is killed."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from msgspec import to_builtins
from msgspec.structs import replace

from proxy.control.commands import Refused
from proxy.control.history.event import Action, Event
from proxy.control.history.journal import Journal
from proxy.control.plans.publish import Publisher
from proxy.control.switches.boundedfile import CannotChange, told
from proxy.control.switches.drillreport import DrillReport, Watched
from proxy.control.switches.drills import DrillFile
from proxy.control.switches.latchfile import LatchStore
from proxy.control.switches.rehearsing import Rehearsals
from proxy.control.telling.telemetry import Telemetry
from proxy.core.switches.drill import Drill
from proxy.core.switches.latch import OPEN, Latch

_LOOK_S: Final = 0.02
_IDLE_S: Final = 0.2  # whoever begins one looks at once
_COUNTS_EVERY: Final = 10  # looks: sums every page
_TOLD_WITHIN_S: Final = 0.1  # of its end a worker tells what came of it
_LAST_WORD_S: Final = 1.0  # the longest that one which doesn't is waited for
_RETRY_S: Final = 1.0
_KEPT: Final = 20
_SECOND: Final = len("2027-01-12T09:00:00")  # of a time in ISO 8601

_log = logging.getLogger("control")


class Ground(NamedTuple):
    """How things stood before a drill.

    Attributes:
        at_s: when, on the monotonic clock.
        latch: what was rolled back.
        counts: every series.
    """

    at_s: float
    latch: Latch
    counts: Mapping[str, int]


class DrillWatcher:
    """Knows what came of every drill of this control's life."""

    def __init__(
        self,
        *,
        drills: DrillFile,
        publisher: Publisher,
        store: LatchStore,
        telemetry: Telemetry,
        journal: Journal,
        rehearsals: Rehearsals,
    ) -> None:
        """Watch nothing yet: call `run`.

        Args:
            drills: what is on.
            publisher: sees the workers' pages.
            store: the latch.
            telemetry: sums what was counted.
            journal: where reports end up.
            rehearsals: releases rehearsed rollbacks.
        """
        self._drills = drills
        self._publisher = publisher
        self._store = store
        self._telemetry = telemetry
        self._journal = journal
        self._rehearsals = rehearsals
        self._watched: dict[str, Watched] = {}
        self._done: set[str] = set()
        self._retry_at_s: dict[str, float] = {}

    def ground(self) -> Ground:
        """How things stand: asked before a drill is written, as workers obey it before whoever wrote it gets another turn."""
        return Ground(time.monotonic(), self._latch(), dict(self._telemetry.sums()))

    def watch(self, drill: Drill, ground: Ground) -> Watched:
        """Begin to watch one."""
        watched = Watched(drill, began_s=ground.at_s, standing=ground.latch, counts=ground.counts)
        self._watched[drill.id] = watched
        for name in list(self._watched)[:-_KEPT]:
            if name in self._done:
                del self._watched[name]
        return watched

    def report(self, wanted: str) -> DrillReport | None:
        """What came of one; None: this control knows of none of that id."""
        watched = self._watched.get(wanted)
        return None if watched is None else watched.report(self._drills.left_s(watched.drill))

    def reported(self, wanted: str) -> bool:
        """Whether its report is final, and in the journal."""
        return wanted in self._done

    def reports(self) -> tuple[DrillReport, ...]:
        """What came of those that are on."""
        ids = [one.id for one, _ in self._drills.lasting()]
        return tuple(one for one in (self.report(name) for name in ids) if one is not None)

    def obeyed(self, wanted: str) -> bool:
        """Whether every worker obeys the newest drills."""
        self.look(counting=False)
        watched = self._watched.get(wanted)
        return watched is None or watched.obeyed

    async def run(self) -> None:
        """Watch until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_S if self._drills.several.entries else _IDLE_S)
            looks += 1
            if self._drills.several.entries:
                self.look(counting=looks % _COUNTS_EVERY == 0)
                for drill in self._drills.several.entries:
                    if self._drills.left_s(drill) <= 0 and time.monotonic() >= self._retry_at_s.get(drill.id, 0.0):
                        await self._end(drill)

    def look(self, *, counting: bool) -> None:
        """One look at everything."""
        entries = self._drills.several.entries
        workers, latch = self._publisher.workers(), self._latch()
        counts = self._telemetry.sums() if counting else None
        for drill in entries:
            watched = self._watched.get(drill.id) or self.watch(drill, self._former_ground(drill))
            watched.drill = drill
            watched.see_latch(latch)
            if counts is not None and self._drills.left_s(drill) > 0:
                watched.see_counts(counts)
        lasting = {drill.id for drill in entries}
        for name, watched in self._watched.items():
            # One may be done with, and forgotten, before every worker has obeyed its end.
            if name in lasting or not watched.obeyed:
                watched.see_workers(workers, self._drills.several.epoch)

    def _former_ground(self, drill: Drill) -> Ground:
        """How things stood when a former control began it, as far as can be known: what was thrown since is an answer to it."""
        now = self.ground()
        entries = tuple(one for one in now.latch.entries if one.at[:_SECOND] < drill.at[:_SECOND])
        return Ground(_began_s(drill), replace(now.latch, entries=entries), now.counts)

    def _latch(self) -> Latch:
        """What is in force, from memory: a disk that hangs must hold up nothing here."""
        held = self._store.held()
        return OPEN if held is None else held.latch

    # -- inside ----------------------------------------------------------------------------------------------------------

    async def _end(self, drill: Drill) -> None:
        """It is over: hear the workers' last word, release what was rehearsed, write it down, forget it."""
        watched = self._watched.get(drill.id)
        if watched is None:
            return  # a command has only just written it
        try:
            if drill.rehearses:
                watched.notes += await self._rehearsals.end(drill)
            elif -self._drills.left_s(drill) < (_TOLD_WITHIN_S if watched.obeyed else _LAST_WORD_S):
                return
            if drill.id not in self._done:
                self._journal.record(over_event(drill, watched.report(0.0)))
                self._done.add(drill.id)
            await asyncio.to_thread(self._drills.forget, drill)
        except (CannotChange, Refused) as error:
            self._retry_at_s[drill.id] = time.monotonic() + _RETRY_S
            if str(error) not in watched.notes:
                watched.notes.append(str(error))
                _log.warning("drill %s is over, but not done with: %s; trying again", drill.id, error)
        else:
            self._retry_at_s.pop(drill.id, None)


def _began_s(drill: Drill) -> float:
    """When one that a former control began did, on the monotonic clock."""
    return time.monotonic() - (time.time() - dt.datetime.fromisoformat(drill.at).timestamp())


def begun_event(drill: Drill) -> Event:
    """A drill is about to begin."""
    after: dict[str, Any] = {"id": drill.id, "fault": str(drill.fault), "until": drill.until}
    if not drill.rehearses:
        after |= {"backend": drill.backend.value, "share_percent": drill.share_bp / 100}
        after |= {"without_account": True} if drill.without_account else {}
    return Event(
        action=Action.DRILL,
        by=drill.by,
        uid=drill.uid,
        reason=drill.reason,
        scope=told(drill.scope),
        after=after,
        id=f"{drill.at}-{drill.id}",
    )


def over_event(drill: Drill, report: DrillReport) -> Event:
    """A drill is over. Its id is the same whoever records it, so that it stays one event."""
    early = drill.ended_by is not None
    kept = ("id", "fault", "hits", "spared", "first_hit_s", "last_hit_s", "noticed", "rollback")
    rehearsed = ("id", "rollback", "answered_by_legacy_s", "last_of_new_s")
    plain = to_builtins(report)
    return Event(
        action=Action.DRILLED,
        by=drill.ended_by or "the clock",
        reason=drill.ended_reason if early else "its time is over",
        scope=told(drill.scope),
        after={key: plain[key] for key in (rehearsed if drill.rehearses else kept)},
        id=f"{drill.at}-{drill.id}-over",
    )
