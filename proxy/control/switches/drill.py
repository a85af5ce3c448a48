"""`drill`: begin one, look at it, list those that are on, end them."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Literal, assert_never

import msgspec

from proxy.control.commands import Refused, read_arguments
from proxy.control.history.journal import Journal
from proxy.control.plans.reload import Reloader
from proxy.control.switches.boundedfile import CannotChange
from proxy.control.switches.drillreport import DrillReport
from proxy.control.switches.drills import DrillFile
from proxy.control.switches.drillwatching import DrillWatcher, begun_event
from proxy.control.switches.rehearsing import Rehearsals
from proxy.control.switches.scopes import UnknownName, check_names, names_of
from proxy.core.model import SHARE_TOTAL_BP, Backend
from proxy.core.switches.bounded import LONGEST_S
from proxy.core.switches.drill import BadInjection, FaultKind, Injection, read_injection
from proxy.core.switches.latch import Scope

_USAGE: Final = 2
_UNCONFIRMED: Final = 3
_SHORTEST_S: Final = 1.0
_OBEYED_WITHIN_S: Final = 2.0
_LOOK_S: Final = 0.005


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command's arguments.

    Attributes:
        do: `begin` needs the scope and what follows; `look` an id; `end` an id, or none for all.
        fault: as people write it; None: rehearse a rollback.
    """

    do: Literal["begin", "look", "list", "end"]
    id: str | None = None
    scope: Scope = Scope()
    fault: str | None = None
    share_percent: float | None = None
    without_account: bool = False
    backend: Backend = Backend.NEW
    for_s: float = 0.0
    reason: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `drill --json`; its keys stay.

    Attributes:
        code: the command's exit code.
        drills: those that were begun, ended, looked at, or are on.
        final: what is told of them is in the journal, and won't change.
        rollback: of a rehearsed one what `rollback --json` says.
    """

    code: int
    drills: tuple[DrillReport, ...]
    final: bool = False
    rollback: Any = None


class DrillCommand:
    """Drills."""

    name = "drill"

    def __init__(
        self,
        *,
        drills: DrillFile,
        watcher: DrillWatcher,
        rehearsals: Rehearsals,
        reloader: Reloader,
        journal: Journal,
    ) -> None:
        """Begin nothing yet.

        Args:
            drills: keeps them.
            watcher: knows what came of them.
            rehearsals: throws rollbacks for them.
            reloader: knows which areas and segments there are.
            journal: hears of them before they begin.
        """
        self._drills = drills
        self._watcher = watcher
        self._rehearsals = rehearsals
        self._reloader = reloader
        self._journal = journal

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        """Do what is asked."""
        asked = read_arguments(arguments, Asked, "a drill")
        try:
            match asked.do:
                case "begin":
                    answer = await self._begin(asked, by_uid)
                case "look":
                    answer = self._look(asked.id or "")
                case "list":
                    answer = Answer(code=0, drills=self._watcher.reports())
                case "end":
                    answer = await self._end(asked, by_uid)
                case _:
                    assert_never(asked.do)
        except CannotChange as error:
            raise Refused(str(error)) from error
        return msgspec.to_builtins(answer)

    async def _begin(self, asked: Asked, uid: int) -> Answer:
        fault, share_bp, notes = self._check(asked)
        covered = self._rehearsals.covering(asked.scope)
        if covered:
            why = "there is nothing to rehearse" if asked.fault is None else "nobody would meet the fault"
            raise Refused(f"{', '.join(covered)} covers {asked.scope} already: {why}")
        ground = self._watcher.ground()
        drill = await asyncio.to_thread(
            lambda: self._drills.begin(
                asked.scope,
                fault,
                backend=asked.backend,
                share_bp=share_bp,
                without_account=asked.without_account,
                for_s=asked.for_s,
                reason=asked.reason,
                uid=uid,
                record=lambda drill: self._journal.record(begun_event(drill)),
            )
        )
        self._watcher.watch(drill, ground).notes.extend(notes)
        thrown = None
        if drill.rehearses:
            try:
                thrown = await self._rehearsals.throw(drill)
            except Refused as error:
                await asyncio.to_thread(self._drills.end, drill.id, reason=f"not thrown: {error}", uid=uid)
                raise
        obeyed = await self._wait(drill.id)
        sure = obeyed and (thrown is None or (thrown["confirmed"] and thrown["on_disk"]))
        return Answer(code=0 if sure else _UNCONFIRMED, drills=self._reports(drill.id), rollback=thrown)

    def _check(self, asked: Asked) -> tuple[Injection, int, list[str]]:
        """What is injected, for how many, and what people should know."""
        scope = asked.scope
        if scope.area is None and scope.segment is None:
            raise Refused("name an area or a segment: a drill never covers everything", _USAGE)
        if not asked.reason.strip():
            raise Refused("--reason: say why", _USAGE)
        if not _SHORTEST_S <= asked.for_s <= LONGEST_S:
            raise Refused(f"--for: {_SHORTEST_S:g} s to {LONGEST_S / 60:g} m", _USAGE)
        plan = self._reloader.standing.plan
        if plan is None:
            raise Refused("the plan in force isn't known, so nobody can tell what is in an area")
        names = names_of(plan)
        try:
            check_names(scope, names)
            fault = Injection(FaultKind.ROLLBACK) if asked.fault is None else read_injection(asked.fault)
        except (UnknownName, BadInjection) as error:
            raise Refused(str(error), _USAGE) from error
        retired = scope.area is not None and names.areas.get(scope.area, False)
        if asked.fault is None:
            if retired:
                raise Refused(f"{scope.area} is retired: no rollback covers it", _USAGE)
            return fault, SHARE_TOTAL_BP, []
        share = asked.share_percent
        if share is None or not 0 < share <= 100 or round(share * 100) != share * 100:
            raise Refused("--share: of how many accounts, above 0 to 100 %, with two decimals at most", _USAGE)
        notes = [f"{scope.area} is retired: no rollback takes requests out of this drill, only --end does"]
        return fault, round(share * 100), notes if retired else []

    def _look(self, wanted: str) -> Answer:
        report = self._watcher.report(wanted)
        if report is None:
            raise Refused(f"nothing is known of a drill {wanted} any more; the journal has what came of it")
        return Answer(code=0, drills=(report,), final=self._watcher.reported(wanted))

    async def _end(self, asked: Asked, uid: int) -> Answer:
        reason = asked.reason or "ended by command"
        ended = await asyncio.to_thread(self._drills.end, asked.id, reason=reason, uid=uid)
        obeyed = True
        for drill in ended:
            obeyed = await self._wait(drill.id) and obeyed
        reports = tuple(report for drill in ended for report in self._reports(drill.id))
        return Answer(code=0 if obeyed else _UNCONFIRMED, drills=reports)

    async def _wait(self, drill: str) -> bool:
        """Whether every worker obeys the newest drills; waits for that."""
        deadline_s = time.monotonic() + _OBEYED_WITHIN_S
        while not self._watcher.obeyed(drill):
            if time.monotonic() >= deadline_s:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def _reports(self, drill: str) -> tuple[DrillReport, ...]:
        report = self._watcher.report(drill)
        return () if report is None else (report,)
