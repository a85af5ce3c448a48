"""The freezes in force: thrown, ended, brought to the disk, and told of when their time is over.

Workers follow the file by themselves, and end each freeze by their own clocks; control only keeps the file true. It is the
file's only writer (the state directory belongs to one proxy), and writes it as the latch is written: beside its
place, to the disk, then by rename.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from proxy.config.regular import open_regular
from proxy.control.durable import write_file
from proxy.control.event import Action, Event
from proxy.control.journal import name_of
from proxy.control.publish import Publisher, WorkerReport
from proxy.core.freeze import (
    MOST,
    NOTHING_FROZEN,
    Clock,
    Freeze,
    Freezes,
    FreezesUnreadable,
    LiveFreeze,
    decode_freezes,
    encode_freezes,
    with_freeze,
    without_freeze,
)
from proxy.core.latch import Scope
from proxy.core.layout import StateDir

_LOOK_S: Final = 0.1

_log = logging.getLogger("control")


class CannotFreeze(Exception):
    """Nothing has changed. The text says why."""


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


class Freezer:
    """Keeps the freezes. Methods may be called from any thread."""

    def __init__(self, *, state: StateDir, boot: str, publisher: Publisher, record: Callable[[Event], object]) -> None:
        """Keep nothing yet: call `start`.

        Args:
            state: where the file stands.
            boot: tells this run of the machine from others.
            publisher: sees the workers' pages.
            record: puts an event into the journal.
        """
        self._state = state
        self._boot = boot
        self._publisher = publisher
        self._record = record
        self._lock = threading.Lock()
        self._freezes = NOTHING_FROZEN
        self._trouble = ""

    def start(self) -> None:
        """Take over what a former control left."""
        with self._lock:
            found = self._read()
            self._freezes = msgspec.structs.replace(found, epoch=max(found.epoch, self._newest()))
        for one in found.lasting(self._clock()).entries:
            _log.warning("frozen: %s, by %s at %s until %s: %s", one.scope, one.by, one.at, one.until, one.reason)

    async def run(self) -> None:
        """Keep the file true until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._freezes.entries:
                await asyncio.to_thread(self._look)

    @property
    def freezes(self) -> Freezes:
        """Those that are kept, some of which may be over."""
        return self._freezes

    def lasting(self) -> tuple[tuple[Freeze, float], ...]:
        """Those in force, each with the seconds that it still lasts."""
        clock = self._clock()
        return tuple((one, one.left_s(clock)) for one in self._freezes.lasting(clock).entries)

    def live(self) -> tuple[LiveFreeze, ...]:
        """Those in force, as requests meet them."""
        now_s = time.monotonic()
        return tuple(LiveFreeze(one, now_s + left_s) for one, left_s in self.lasting())

    def lines(self) -> tuple[FreezeLine, ...]:
        """Those in force, for people and scripts."""
        return tuple(self._line(one, left_s) for one, left_s in self.lasting())

    def throw(self, scope: Scope, *, for_s: float, reason: str, uid: int) -> tuple[Freeze, int]:
        """Freeze a scope, or give a freeze of that scope another end; gives it and its epoch.

        Raises:
            CannotFreeze: there are too many, or the disk can't be written.
        """
        clock = self._clock()
        with self._lock:
            lasting = self._freezes.lasting(clock)
            former = lasting.find(scope)
            if former is None and len(lasting.entries) >= MOST:
                raise CannotFreeze(f"{MOST} freezes are in force already; end one first")
            epoch = 1 + max(lasting.epoch, self._newest())
            freeze = Freeze(
                id=f"z{epoch}" if former is None else former.id,
                scope=scope,
                by=name_of(uid),
                reason=reason,
                at=_iso(clock.unix_s),
                until=_iso(clock.unix_s + for_s),
                until_s=clock.monotonic_s + for_s,
                boot=clock.boot,
            )
            made = msgspec.structs.replace(with_freeze(lasting, freeze), epoch=epoch)
            self._write(made)
        told = {"id": freeze.id, "until": freeze.until}
        before = None if former is None else {"id": former.id, "until": former.until}
        self._record(
            Event(action=Action.FREEZE, by="", uid=uid, reason=reason, scope=_told(scope), before=before, after=told)
        )
        return freeze, epoch

    def end(self, scope: Scope, *, reason: str, uid: int) -> tuple[Freeze, int]:
        """End the freeze of exactly a scope; gives it and the epoch without it.

        Raises:
            CannotFreeze: there is none, or the disk can't be written.
        """
        with self._lock:
            lasting = self._freezes.lasting(self._clock())
            freeze = lasting.find(scope)
            if freeze is None:
                standing = "; ".join(str(one.scope) for one in lasting.entries) or "nothing"
                raise CannotFreeze(f"{scope} is not frozen; in force: {standing}")
            epoch = 1 + max(lasting.epoch, self._newest())
            self._write(msgspec.structs.replace(without_freeze(lasting, scope), epoch=epoch))
        self._record(_thaw(freeze, by="", uid=uid, reason=reason))
        return freeze, epoch

    def under(self, freeze: str | None) -> list[UnderFreeze]:
        """What each worker says of a freeze; None: only whether it obeys the newest ones."""
        freezes = self._freezes
        at = next((at for at, one in enumerate(freezes.entries) if one.id == freeze), None)
        return [_under(worker, freezes.epoch, at) for worker in self._publisher.workers()]

    def _line(self, freeze: Freeze, left_s: float) -> FreezeLine:
        workers = self.under(freeze.id)
        return FreezeLine(
            id=freeze.id,
            scope=_told(freeze.scope),
            by=freeze.by,
            reason=freeze.reason,
            until=freeze.until,
            left_s=round(left_s, 1),
            writes=sum(one.writes for one in workers),
            tunnels=sum(one.tunnels for one in workers),
            unseen=tuple(one.slot for one in workers if not one.seen),
        )

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """End what is over, and put the file back where it was taken away."""
        with self._lock:
            kept = self._freezes
            lasting = kept.lasting(self._clock())
            over = [one for one in kept.entries if one not in lasting.entries]
            try:
                if over:
                    self._write(msgspec.structs.replace(lasting, epoch=1 + max(kept.epoch, self._newest())))
                elif self._read() != kept:
                    self._write(kept)
            except CannotFreeze as error:
                if str(error) != self._trouble:
                    _log.error("%s; workers end their freezes all the same", error)
                self._trouble = str(error)
                self._freezes = lasting
            else:
                self._trouble = ""
        for one in over:
            _log.info("%s is no longer frozen: its time is over", one.scope)
            self._record(_thaw(one, by="the clock", uid=None, reason="its time is over"))

    def _write(self, freezes: Freezes) -> None:
        try:
            write_file(self._state.freezes, encode_freezes(freezes))
        except OSError as error:
            raise CannotFreeze(f"{self._state.freezes} can't be written: {error.strerror or error}") from error
        self._freezes = freezes

    def _read(self) -> Freezes:
        try:
            with open_regular(self._state.freezes) as file:
                return decode_freezes(file.read())
        except FileNotFoundError:
            pass
        except (OSError, FreezesUnreadable) as error:
            if not self._freezes.entries:
                _log.error("%s can't be read, so nothing is frozen: %s", self._state.freezes, error)
        return NOTHING_FROZEN

    def _newest(self) -> int:
        """The highest epoch that a worker remembers: one that is lower would not be obeyed."""
        said = [worker.confirmed for worker in self._publisher.workers()]
        return max((note.freeze_epoch for note in said if note is not None), default=0)

    def _clock(self) -> Clock:
        return Clock(boot=self._boot, monotonic_s=time.monotonic(), unix_s=time.time())


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
    told = {"id": freeze.id, "until": freeze.until}
    return Event(action=Action.THAW, by=by, uid=uid, reason=reason, scope=_told(freeze.scope), before=told)


def _told(scope: Scope) -> dict[str, str]:
    return {key: value for key, value in msgspec.structs.asdict(scope).items() if value is not None}


def _iso(unix_s: float) -> str:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
