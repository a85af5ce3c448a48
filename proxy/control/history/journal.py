"""The journal: who did what, when, why, and when each worker had it.

`record` takes an event and is done: it waits for no disk and fails for nothing. A thread writes. What it can't write stays in
memory in its order, is tried again every second, and is told (`behind`). So that a killed process loses none of it, each event
is first written to a file in `STATE/run`, which lies in memory: the next one that opens the journal takes it from there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from proxy.control.history.event import Action, Confirmation, Event, Filter, Line
from proxy.control.history.journalfile import JournalFile, JournalUnusable, read_lines
from proxy.core.layout import StateDir

__all__ = ["Action", "Behind", "Event", "Filter", "Journal", "Line", "name_of", "pending_lines"]

_RETRY_S: Final = 1.0
_BATCH: Final = 500
_CLOSES_WITHIN_S: Final = 3.0

_log = logging.getLogger("journal")

_Item = Event | Confirmation


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """Events wait for the disk.

    Attributes:
        count: how many.
        since_s: since when, seconds since 1970.
        why: what the disk, or the database, said last.
    """

    count: int
    since_s: float
    why: str


class Journal:
    """The one that this process writes to. Every method may be called from any thread."""

    def __init__(
        self,
        state: StateDir,
        *,
        writer: str = "control",
        adopt: bool = False,
    ) -> None:
        """Open it.

        Args:
            state: where it stands.
            writer: whose events; no two processes that live at the same time have the same.
            adopt: take over what processes that are gone could not write; for control alone, of which there is one.
        """
        self._path = state.journal
        self._spill = state.pending_events(writer)
        self._on_record: Callable[[Event], None] | None = None
        self._lock = threading.Condition()
        self._waiting: deque[_Item] = deque()
        self._adopted: list[Path] = []
        self._behind: tuple[float, str] | None = None
        self._closing = False
        self._file: JournalFile | None = None
        if adopt:
            self._adopt(state)
        self._pending = self._open_spill()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def tell(self, listener: Callable[[Event], None]) -> None:
        """Tell somebody of each event, in the thread that records it."""
        self._on_record = listener

    def record(self, event: Event) -> str:
        """Take an event; returns its id at once."""
        event = msgspec.structs.replace(
            event, id=event.id or _new_id(), at_s=event.at_s or time.time(), by=event.by or name_of(event.uid)
        )
        self._take(event)
        if self._on_record is not None:
            self._on_record(event)
        return event.id

    def confirmed(self, event: str, worker: int, at_s: float) -> None:
        """Take note that a worker has what an event says; the first time counts."""
        self._take(Confirmation(event=event, worker=worker, at_s=at_s))

    @property
    def behind(self) -> Behind | None:
        """What waits for a disk that failed; None: all is written, or is being written for the first time."""
        with self._lock:
            if self._behind is None:
                return None
            count = sum(isinstance(item, Event) for item in self._waiting)
            return Behind(count=count, since_s=self._behind[0], why=self._behind[1])

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything that was recorded is on the disk; False: it isn't yet."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._waiting, timeout_s)

    def entries(self, wanted: Filter | None = None) -> list[Line]:
        """What stands there, oldest first; what waits for the disk comes last, with place 0.

        Raises:
            JournalUnusable: it can't be read.
        """
        wanted = wanted or Filter()
        with self._lock:
            waiting = list(self._waiting)  # before the file is read: what is written meanwhile must not be in neither
        lines = read_lines(self._path, wanted)
        return _with_pending(lines, waiting, wanted)

    def close(self) -> None:
        """Write what can be written; what can't stays in the file in memory, and is said in the messages."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._thread.join(_CLOSES_WITHIN_S)
        with self._lock:
            left = list(self._waiting)
        if left:
            for item in left:
                _log.error("not in the journal: %s", msgspec.json.encode(item).decode())
        if self._pending is not None:
            os.close(self._pending)
            self._pending = None
            if not left:
                self._spill.unlink(missing_ok=True)

    # -- what waits ------------------------------------------------------------------------------------------------------

    def _take(self, item: _Item) -> None:
        with self._lock:
            self._waiting.append(item)
            if self._pending is not None:
                with contextlib.suppress(OSError):  # no memory left: then it waits in ours alone
                    os.write(self._pending, _encode(item))
            self._lock.notify_all()

    def _open_spill(self) -> int | None:
        try:
            descriptor = os.open(self._spill, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:  # no proxy runs: there is no directory in memory
            return None
        for path in self._adopted:
            if path != self._spill:
                with contextlib.suppress(OSError):
                    os.write(descriptor, path.read_bytes())
        return descriptor

    def _adopt(self, state: StateDir) -> None:
        """What a process that is gone had recorded and not written. Written twice, an event stays one."""
        for path in state.all_pending_events():
            items = _decode(path)
            if items:
                _log.warning("%s: %d lines of a process that is gone are taken into the journal", path.name, len(items))
            self._waiting.extend(items)
            self._adopted.append(path)

    # -- in the thread ---------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    break
                batch = [item for item, _ in zip(self._waiting, range(_BATCH), strict=False)]
            try:
                self._add(batch)
            except (sqlite3.Error, OSError, JournalUnusable) as error:
                if not self._failed(error):
                    break
            else:
                self._written(len(batch))
        if self._file is not None:
            self._file.close()

    def _add(self, batch: list[_Item]) -> None:
        if self._file is not None and not self._file.in_place:
            _log.error("%s is no longer the file that was written to; a new one is begun", self._path)
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = JournalFile(self._path)
        self._file.add(batch)

    def _written(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                self._waiting.popleft()
            if not self._waiting:
                if self._behind is not None:
                    _log.warning("the journal is written again, and nothing is missing")
                    self._behind = None
                self._forget_spill()
            self._lock.notify_all()

    def _forget_spill(self) -> None:
        if self._pending is not None:
            os.ftruncate(self._pending, 0)
        for path in self._adopted:
            if path != self._spill:
                with contextlib.suppress(OSError):
                    path.unlink()
        self._adopted = []

    def _failed(self, error: Exception) -> bool:
        """Take note, and wait before the next attempt; False: there will be none."""
        if self._file is not None:
            self._file.close()  # whatever state it is in: the next attempt begins afresh
            self._file = None
        with self._lock:
            if self._behind is None:
                _log.error("the journal can't be written, its events are kept in memory: %s", error)
            self._behind = (time.time() if self._behind is None else self._behind[0], str(error))
            return not self._lock.wait_for(lambda: self._closing, _RETRY_S)


def name_of(uid: int | None) -> str:
    """The name of a user, or `uid 1234` where the machine knows none."""
    if uid is None:
        return "unknown"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def pending_lines(state: StateDir, lines: list[Line], wanted: Filter) -> list[Line]:
    """Lines of the database, and after them what living processes, or dead ones, have not been able to write."""
    items = [item for path in state.all_pending_events() for item in _decode(path)]
    return _with_pending(lines, items, wanted)


def _with_pending(lines: list[Line], waiting: list[_Item], wanted: Filter) -> list[Line]:
    there = {line.event.id for line in lines}
    confirmed: dict[str, dict[int, float]] = {}
    for item in waiting:
        if isinstance(item, Confirmation):
            confirmed.setdefault(item.event, {}).setdefault(item.worker, item.at_s)
    more = [
        Line(seq=0, event=item, workers=confirmed.get(item.id, {}))
        for item in waiting
        if isinstance(item, Event) and item.id not in there and wanted.wants(item)
    ]
    every = [*lines, *more]
    return every if wanted.limit is None else every[max(0, len(every) - wanted.limit) :]


def _new_id() -> str:
    """Unique on every machine; of two made in different milliseconds the later one is greater."""
    return f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(8)}"


def _encode(item: _Item) -> bytes:
    return msgspec.json.encode({"event" if isinstance(item, Event) else "confirmation": item}) + b"\n"


class _Spilled(msgspec.Struct):
    event: Event | None = None
    confirmation: Confirmation | None = None


def _decode(path: Path) -> list[_Item]:
    """The lines of a file in memory; one that was cut short when its writer was killed had not been recorded."""
    items: list[_Item] = []
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(msgspec.MsgspecError):
                one = msgspec.json.decode(line, type=_Spilled)
                items += [item for item in (one.event, one.confirmation) if item is not None]
    return items
