"""What came of a drill so far: watched while it is on, told while it is on and after, and put into the journal once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import msgspec

from proxy.control.plans.publish import WorkerReport
from proxy.control.switches.boundedfile import told
from proxy.control.switches.instruments import noticed
from proxy.control.switches.obeying import lives
from proxy.core.model import Backend
from proxy.core.switches.drill import Drill
from proxy.core.switches.drilltally import DrillTally, read_tally
from proxy.core.switches.latch import Entry, Latch


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A rollback that takes requests out of a drill's scope; times are seconds from the drill's beginning.

    Attributes:
        whole: it covers all of the scope; False: a part.
        at_s: when control saw it.
        confirmed_s: when every worker obeyed it; None: not yet.
    """

    id: str
    by: str
    whole: bool
    at_s: float
    confirmed_s: float | None = None


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `drill --json`; its keys stay. Times are seconds from the drill's beginning.

    Attributes:
        fault: as it was asked for; `rollback`: one is rehearsed.
        share_percent: of the accounts in scope.
        over: whether it is.
        ended_by: who ended it early; None: nobody did.
        hits: requests that met the fault.
        spared: requests that should have, and found no room to wait in.
        first_hit_s, last_hit_s: None: none was.
        noticed: when each of the proxy's instruments noticed, or would have, were the fault real.
        rollback: the first that took the whole scope out, else the first that took a part; None: nobody threw one.
        answered_by_legacy_s: when the first answer of legacy's that a rollback decided was counted; of a rehearsed one.
        last_of_new_s: when the last answer of new's was counted; of a rehearsed one of an area.
        unseen: slots of workers that don't obey the newest drills yet.
        notes: what people should know.
    """

    id: str
    scope: dict[str, str]
    fault: str
    backend: str
    share_percent: float
    without_account: bool
    by: str
    reason: str
    at: str
    until: str
    left_s: float
    over: bool
    ended_by: str | None
    hits: int
    spared: int
    first_hit_s: float | None
    last_hit_s: float | None
    noticed: dict[str, float]
    rollback: Taken | None
    answered_by_legacy_s: float | None
    last_of_new_s: float | None
    unseen: tuple[int, ...]
    notes: tuple[str, ...]


class Watched:
    """One drill, as control sees it.

    Attributes:
        drill: as the file has it now.
        notes: what people should know; may be added to.
    """

    def __init__(self, drill: Drill, *, began_s: float, standing: Latch, counts: Mapping[str, int]) -> None:
        """See nothing yet.

        Args:
            drill: what is watched.
            began_s: when it began, on the monotonic clock.
            standing: the latch before anybody could have answered the drill.
            counts: every series, as it was then.
        """
        self.drill = drill
        self.notes: list[str] = []
        self._began_s = began_s
        self._before = {entry.id for entry in standing.entries}
        self._counts = counts
        self._tallies: dict[str, DrillTally] = {}  # by the worker's start id: one that was killed has hit what it has
        self._noticed: dict[str, float] = {}
        self._taken: dict[bool, tuple[Taken, int]] = {}
        self._legacy_s: float | None = None
        self._new_s: float | None = None
        self._served = self._decided(counts)
        self._unseen: tuple[int, ...] = ()

    def see_workers(self, workers: Iterable[WorkerReport], epoch: int) -> None:
        """Look at what workers say; `epoch` is that of the newest drills."""
        unseen = []
        several = [one for one in workers if lives(one.pid)]
        for worker in several:
            said = worker.confirmed
            if said is None or said.drill_epoch < epoch:
                unseen.append(worker.slot)
            for row in () if said is None else said.drilled:
                tally = read_tally(row)
                if said is not None and tally.id == self.drill.id:
                    self._tallies[said.start_id] = tally
        self._unseen = tuple(unseen)
        now_s = self._since(time.monotonic())
        for whole, (taken, latch_epoch) in self._taken.items():
            obeyed = all(one.confirmed is not None and one.confirmed.epoch >= latch_epoch for one in several)
            if taken.confirmed_s is None and obeyed:
                self._taken[whole] = (msgspec.structs.replace(taken, confirmed_s=now_s), latch_epoch)

    def see_latch(self, latch: Latch) -> None:
        """Look for a rollback that was thrown since the drill began."""
        for entry in latch.entries:
            if entry.id not in self._before and (whole := self._takes(entry)) is not None and whole not in self._taken:
                taken = Taken(id=entry.id, by=entry.by, whole=whole, at_s=self._since(time.monotonic()))
                self._taken[whole] = (taken, latch.epoch)

    def see_counts(self, counts: Mapping[str, int]) -> None:
        """Look at what the instruments make of the numbers."""
        drill, now_s = self.drill, self._since(time.monotonic())
        if drill.rehearses:
            served = self._decided(counts)
            if self._taken and self._legacy_s is None and served[Backend.LEGACY] > self._served[Backend.LEGACY]:
                self._legacy_s = now_s
            if served[Backend.NEW] > self._served[Backend.NEW]:
                self._new_s = now_s
            self._served = served
            return
        for what in noticed(self._counts, counts, backend=drill.backend, area=drill.scope.area):
            self._noticed.setdefault(what, now_s)

    def report(self, left_s: float) -> DrillReport:
        """What is known now."""
        drill = self.drill
        tallies = list(self._tallies.values())
        firsts = [one.first_s for one in tallies if one.hits]
        first = {what: self._since(at_s) for one in reversed(tallies) for what, at_s in one.noticed.items()}
        for one in tallies:
            for what, at_s in one.noticed.items():
                first[what] = min(first[what], self._since(at_s))
        taken = self._taken.get(True) or self._taken.get(False)
        of_area = drill.scope.segment is None and drill.scope.region is None
        return DrillReport(
            id=drill.id,
            scope=told(drill.scope),
            fault=str(drill.fault),
            backend=drill.backend.value,
            share_percent=drill.share_bp / 100,
            without_account=drill.without_account,
            by=drill.by,
            reason=drill.reason,
            at=drill.at,
            until=drill.until,
            left_s=round(max(left_s, 0.0), 1),
            over=left_s <= 0,
            ended_by=drill.ended_by,
            hits=sum(one.hits for one in tallies),
            spared=sum(one.spared for one in tallies),
            first_hit_s=self._since(min(firsts)) if firsts else None,
            last_hit_s=self._since(max(one.last_s for one in tallies)) if firsts else None,
            noticed={**first, **self._noticed},
            rollback=None if taken is None else taken[0],
            answered_by_legacy_s=self._legacy_s,
            last_of_new_s=self._new_s if of_area and drill.rehearses else None,
            unseen=self._unseen,
            notes=tuple(self.notes),
        )

    @property
    def obeyed(self) -> bool:
        """Whether every worker obeyed the newest drills, when they were seen last."""
        return not self._unseen

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _takes(self, entry: Entry) -> bool | None:
        """Whether a rollback covers all of the scope; False: a part of it, None: nothing."""
        mine, its = told(self.drill.scope), told(entry.scope)
        if any(mine[key] != its[key] for key in mine.keys() & its.keys()):
            return None
        return self.drill.scope.within(entry.scope)

    def _decided(self, counts: Mapping[str, int]) -> dict[Backend, int]:
        """Requests in the drill's area that a rollback sent to legacy, and that new answered; without an area, of all."""
        area = self.drill.scope.area
        start = "strangler_decisions_total{" + ("" if area is None else f'area="{area}",')
        served = dict.fromkeys(Backend, 0)
        for name, value in counts.items():
            if name.startswith(start):
                if 'reason="rolled_back"' in name:
                    served[Backend.LEGACY] += value
                elif 'backend="new"' in name:
                    served[Backend.NEW] += value
        return served

    def _since(self, at_s: float) -> float:
        return round(at_s - self._began_s, 3)
