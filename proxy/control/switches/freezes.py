"""The freezes in force: thrown, ended, and told of (`proxy.control.switches.boundedfile`)."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from proxy.control.history.event import Action, Event
from proxy.control.history.journal import name_of
from proxy.control.plans.publish import Publisher, WorkerReport
from proxy.control.switches.boundedfile import BoundedFile, CannotChange, ends, told
from proxy.core.layout import StateDir
from proxy.core.override import override
from proxy.core.switches.freeze import MOST, NOTHING_FROZEN, Freeze, Freezes, LiveFreeze
from proxy.core.switches.latch import Scope


class UnderFreeze(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker says of one freeze.

    Attributes:
        seen: it obeys the newest freezes, or nobody runs there.
        writes: requests in flight that may still change data in the scope.
        tunnels: open WebSockets in the scope.
    """

    slot: int
    pid: int
    seen: bool
    writes: int = 0
    tunnels: int = 0


class FreezeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A freeze in force.

    Attributes:
        scope: the keys that narrow it.
        left_s: how long it still lasts.
        writes: requests in flight that may still change data in the scope, on all workers.
        tunnels: open WebSockets in the scope.
        unseen: slots of workers that don't obey the newest freezes yet.
    """

    id: str
    scope: dict[str, str]
    by: str
    reason: str
    until: str
    left_s: float
    writes: int
    tunnels: int
    unseen: tuple[int, ...]


class Freezer(BoundedFile[Freezes]):
    """Keeps the freezes. Methods may be called from any thread."""

    def __init__(self, *, state: StateDir, boot: str, publisher: Publisher, record: Callable[[Event], object]) -> None:
        """Keep nothing yet: call `start`.

        Args:
            state: where the file stands.
            boot: tells this run of the machine from others.
            publisher: sees the workers' pages.
            record: puts an event into the journal.
        """
        super().__init__(
            path=state.freezes,
            nothing=NOTHING_FROZEN,
            boot=boot,
            publisher=publisher,
            epoch_of=lambda said: said.freeze_epoch,
            what="frozen",
        )
        self._record = record

    def live(self) -> tuple[LiveFreeze, ...]:
        """Those in force, as requests meet them."""
        now_s = time.monotonic()
        return tuple(LiveFreeze(one, now_s + left_s) for one, left_s in self.lasting())

    def lines(self) -> tuple[FreezeLine, ...]:
        """Those in force, for people and scripts."""
        return tuple(self._line(one, left_s) for one, left_s in self.lasting())

    def throw(self, scope: Scope, *, for_s: float, reason: str, uid: int) -> Freeze:
        """Freeze a scope, or give a freeze of that scope another end.

        Raises:
            CannotChange: there are too many, or the disk can't be written.
        """
        clock = self._clock()
        with self._lock:
            lasting = self._several.lasting(clock)
            former = lasting.find(scope)
            if former is None and len(lasting.entries) >= MOST:
                raise CannotChange(f"{MOST} freezes are in force already; end one first")
            name = f"z{1 + max(lasting.epoch, self._newest())}" if former is None else former.id
            freeze = Freeze(id=name, scope=scope, by=name_of(uid), reason=reason, **ends(clock, for_s))
            self._write(lasting.adding(freeze))
        after = {"id": freeze.id, "until": freeze.until}
        before = None if former is None else {"id": former.id, "until": former.until}
        self._record(
            Event(action=Action.FREEZE, by="", uid=uid, reason=reason, scope=told(scope), before=before, after=after)
        )
        return freeze

    def end(self, scope: Scope, *, reason: str, uid: int) -> Freeze:
        """End the freeze of exactly a scope.

        Raises:
            CannotChange: there is none, or the disk can't be written.
        """
        with self._lock:
            lasting = self._several.lasting(self._clock())
            freeze = lasting.find(scope)
            if freeze is None:
                standing = "; ".join(str(one.scope) for one in lasting.entries) or "nothing"
                raise CannotChange(f"{scope} is not frozen; in force: {standing}")
            self._write(lasting.ending(scope))
        self._record(_thaw(freeze, by="", uid=uid, reason=reason))
        return freeze

    def under(self, freeze: str | None) -> list[UnderFreeze]:
        """What each worker says of a freeze; None: only whether it obeys the newest ones."""
        freezes = self._several
        at = next((at for at, one in enumerate(freezes.entries) if one.id == freeze), None)
        return [_under(worker, freezes.epoch, at) for worker in self._publisher.workers()]

    def _line(self, freeze: Freeze, left_s: float) -> FreezeLine:
        workers = self.under(freeze.id)
        return FreezeLine(
            id=freeze.id,
            scope=told(freeze.scope),
            by=freeze.by,
            reason=freeze.reason,
            until=freeze.until,
            left_s=round(left_s, 1),
            writes=sum(one.writes for one in workers),
            tunnels=sum(one.tunnels for one in workers),
            unseen=tuple(one.slot for one in workers if not one.seen),
        )

    @override
    def _ended(self, one: Freeze) -> None:
        self._record(_thaw(one, by="the clock", uid=None, reason="its time is over"))


def _under(worker: WorkerReport, epoch: int, at: int | None) -> UnderFreeze:
    said = worker.confirmed
    if not worker.pid:
        return UnderFreeze(slot=worker.slot, pid=0, seen=True)
    if said is None or said.freeze_epoch != epoch:
        return UnderFreeze(slot=worker.slot, pid=worker.pid, seen=False)
    writes, tunnels = (
        counts[at] if at is not None and at < len(counts) else 0 for counts in (said.writes, said.tunnels)
    )
    return UnderFreeze(slot=worker.slot, pid=worker.pid, seen=True, writes=writes, tunnels=tunnels)


def _thaw(freeze: Freeze, *, by: str, uid: int | None, reason: str) -> Event:
    before = {"id": freeze.id, "until": freeze.until}
    return Event(action=Action.THAW, by=by, uid=uid, reason=reason, scope=told(freeze.scope), before=before)
