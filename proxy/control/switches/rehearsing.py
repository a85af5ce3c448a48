"""Rehearsed rollbacks: real entries of the latch, thrown and released as any, for a bounded time.

Found again by scope and reason, so that a control that was killed between any two steps leaves nothing behind that its
successor couldn't end. What somebody else throws over the same scope meanwhile is real, and stays.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from proxy.control.commands import Refused
from proxy.control.history.event import Action, Filter
from proxy.control.history.journal import Journal
from proxy.control.history.journalfile import JournalUnusable
from proxy.control.switches.boundedfile import told
from proxy.control.switches.latchcommands import LatchCommands
from proxy.control.switches.latchfile import LatchStore
from proxy.core.switches.drill import Drill
from proxy.core.switches.latch import Entry, Scope

_LOOKED_BACK = 200


class Rehearsals:
    """Throws and releases for drills."""

    def __init__(self, latch: LatchCommands, store: LatchStore, journal: Journal) -> None:
        self._latch = latch
        self._store = store
        self._journal = journal

    async def throw(self, drill: Drill) -> Any:
        """Throw its rollback; gives what `rollback` gives.

        Raises:
            Refused: it isn't thrown.
        """
        return await self._latch.throw({"scope": told(drill.scope), "reason": reason_of(drill)}, drill.uid)

    async def end(self, drill: Drill) -> list[str]:
        """Release its rollback; gives what people should know.

        Raises:
            Refused: not now; ask again.
        """
        entry = self._entry(drill)
        if entry is None:
            return ["its rollback had been released before it was over"]
        wider = [
            one.id for one in self._store.present().entries if one.id != entry.id and drill.scope.within(one.scope)
        ]
        if wider:
            raise Refused(f"{entry.id} can't be released while {', '.join(wider)} stands")
        kept: list[str] = []

        def unless() -> str:
            kept.extend(self._thrown_by_others(drill, entry))
            return "; ".join(kept)

        reason = f"drill {drill.id} is over: " + (drill.ended_reason or "its time is")
        try:
            await self._latch.release_rehearsed(drill.scope, reason=reason, by_uid=drill.uid, unless=unless)
        except Refused:
            if not kept:
                raise
        return kept

    def covering(self, scope: Scope) -> list[str]:
        """The rollbacks that cover all of a scope."""
        return [one.id for one in self._store.present().entries if scope.within(one.scope)]

    def _entry(self, drill: Drill) -> Entry | None:
        found = self._store.present().find(drill.scope)
        return found if found is not None and found.reason == reason_of(drill) else None

    def _thrown_by_others(self, drill: Drill, entry: Entry) -> list[str]:
        """Who threw the same scope since: the latch keeps one entry for both, the journal knows better."""
        try:
            lines = self._journal.entries(Filter(actions=(Action.ROLLBACK,), limit=_LOOKED_BACK))
        except JournalUnusable as error:
            raise Refused(f"{entry.id} stays, as nobody can tell whether somebody needs it: {error}") from error
        same = [line.event for line in lines if line.event.scope == told(drill.scope)]
        mine = [at for at, event in enumerate(same) if event.reason == reason_of(drill)]
        since_s = dt.datetime.fromisoformat(drill.at).timestamp()
        later = same[mine[-1] + 1 :] if mine else [event for event in same if event.at_s >= since_s]
        return [f"{entry.id} stays: {event.by} threw it again, for real: {event.reason}" for event in later]


def reason_of(drill: Drill) -> str:
    """What the latch and the journal give as the reason of its rollback."""
    return f"drill {drill.id}: {drill.reason}"
