"""The rollbacks in force, as `status`, `/readyz`, metrics and `explain` tell them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from proxy.control.switches.keeper import Keeper
from proxy.control.switches.latchfile import LatchStore
from proxy.core.generation import Generation
from proxy.core.layout import StateDir
from proxy.core.switches.covering import LiveLatch, Under, lower_latch
from proxy.core.switches.latch import SIGHTED, UNREADABLE, Entry, Latch, Scope


class RollbackLine(msgspec.Struct, frozen=True, kw_only=True):
    """One rollback.

    Attributes:
        scope: the keys that narrow it; none: everything.
        plan_lost: the plan it was thrown under can't be read, so it covers everything.
    """

    id: str
    scope: dict[str, str]
    by: str
    reason: str
    at: str
    plan: str | None
    plan_lost: bool


class LatchLine(msgspec.Struct, frozen=True, kw_only=True):
    """The latch.

    Attributes:
        epoch: the latest; workers show theirs.
        rollback_file: STATE/ROLLBACK is there.
        unreadable: why latch.json can't be read, which rolls back everything; empty: it can.
        on_disk: it outlives a restart of everything.
        trouble: why not.
    """

    epoch: int
    rollbacks: tuple[RollbackLine, ...]
    rollback_file: bool
    unreadable: str
    on_disk: bool
    trouble: str


class Rollbacks:
    """Reads the latch; changes nothing."""

    def __init__(self, state: StateDir, store: LatchStore, keeper: Keeper) -> None:
        self._state = state
        self._store = store
        self._keeper = keeper
        self._judges: dict[str, Generation | Under] = {}

    def latch(self) -> Latch:
        """What is in force, with stand-ins for what rolls back everything without being an entry yet."""
        latch = self._store.present()
        more: list[Entry] = []
        if latch.find(Scope()) is None and (self._store.is_thrown_by_file() or self._store.sightings()):
            more.append(SIGHTED)
        if self._keeper.unreadable:
            more.append(UNREADABLE)
        return replace(latch, entries=(*latch.entries, *more)) if more else latch

    def line(self) -> LatchLine:
        """For people and scripts."""
        latch = self.latch()
        held = self._store.held()
        return LatchLine(
            epoch=latch.epoch,
            rollbacks=tuple(self._line(entry) for entry in latch.entries),
            rollback_file=self._store.is_thrown_by_file(),
            unreadable=self._keeper.unreadable,
            on_disk=held is None or held.saved >= held.latch.epoch,
            trouble=self._keeper.trouble,
        )

    def live(self, build: Callable[[str], Generation], running: Generation) -> LiveLatch:
        """The latch as a worker sees it.

        Args:
            build: makes the generation of a plan; may raise OSError or ValueError.
            running: the generation that serves.
        """
        latch = self.latch()
        wanted = {entry.plan for entry in latch.entries if entry.plan is not None}
        self._judges = {plan: judge for plan, judge in self._judges.items() if plan in wanted}

        def under(plan: str) -> Generation | Under:
            if plan == running.plan:
                return running
            if plan not in self._judges:
                try:
                    self._judges[plan] = build(plan)
                except (OSError, ValueError):
                    return Under.LOST
            return self._judges[plan]

        return lower_latch(latch, under)

    def _line(self, entry: Entry) -> RollbackLine:
        return RollbackLine(
            id=entry.id,
            scope=msgspec.to_builtins(entry.scope),
            by=entry.by,
            reason=entry.reason,
            at=entry.at,
            plan=entry.plan,
            plan_lost=entry.plan is not None and not self._state.plan(entry.plan).exists(),
        )
