"""Writing the latch: its page first, then its file.

The page lies in memory, so a rollback is in force within one look of the workers, whatever the disk does; the
file makes it outlive everything. Both directions go this way: a change that is not on the disk yet is told and tried
again. Two locks, so that a disk that hangs holds up no rollback: one on the page, held while it is changed, one on the
state directory, held while the file is written. Neither needs room on a disk: it is a `flock` of what is there.

Used by control, and by the command line when control is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.config.text.regular import open_regular
from proxy.control.durable import write_file
from proxy.control.history.journal import name_of
from proxy.control.switches.obeying import lives
from proxy.core.layout import StateDir
from proxy.core.switches.latch import (
    OPEN,
    Entry,
    Held,
    Latch,
    LatchUnreadable,
    Scope,
    decode_held,
    decode_latch,
    encode_held,
    encode_latch,
    prevailing,
    union,
)
from proxy.core.telling.pages import Confirmed, Page, TextPage

_LOCKED_WITHIN_S: Final = 2.0
_LOOK_S: Final = 0.005
_RESERVED_BYTES: Final = 8192  # of the page, for rollbacks of everything: those always find room
_LONGEST_FILE_BYTES: Final = 1 << 20

Found = Latch | LatchUnreadable | None
"""What the file holds; None: there is none."""


class CannotWrite(Exception):
    """The latch was not changed. The text says why."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What a change made.

    Attributes:
        entered: what was entered on the way: STATE/ROLLBACK, what workers saw of it, a file that can't be read.
        before: the latch as it was.
    """

    latch: Latch
    before: Latch
    entered: tuple[Entry, ...] = ()


class LatchStore:
    """The latch, for whoever changes it. Methods may be called from any thread and any process."""

    def __init__(
        self,
        state: StateDir,
        page: TextPage | None,
        confirmations: Sequence[Page[Confirmed]] = (),
        plan: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Open it.

        Args:
            state: where it stands.
            page: carries the latch to the workers; None: no proxy runs here, and there is only the file.
            confirmations: the workers' pages, which say what they saw.
            plan: names the plan that entries are entered under.
        """
        self._state = state
        self._page = page
        # Resolved while it is there: the page can be locked also when the state directory is lost.
        self._lock = state.root if page is None else state.latch_page.resolve()
        self._confirmations = confirmations
        self._plan = plan

    @property
    def state(self) -> StateDir:
        """Where it stands."""
        return self._state

    # -- looking ---------------------------------------------------------------------------------------------------------

    def held(self) -> Held | None:
        """What the page carries; None when it carries nothing."""
        if self._page is None or (text := self._page.read_text()) is None:
            return None
        try:
            return decode_held(text)
        except LatchUnreadable:
            return None

    def file(self) -> Found:
        """What the file holds."""
        return read_latch(self._state.latch)

    def present(self) -> Latch:
        """The latch that holds."""
        held, file = self.held(), self.file()
        return prevailing([*([] if held is None else [held.latch]), *([file] if isinstance(file, Latch) else [])])

    def judging(self) -> tuple[str, ...] | None:
        """The plans that entries were thrown under; None: the file can't be read, and may name others."""
        if isinstance(self.file(), LatchUnreadable):
            return None
        return tuple(entry.plan for entry in self.present().entries if entry.plan is not None)

    def sightings(self) -> tuple[int, ...]:
        """Slots of workers that saw STATE/ROLLBACK, and for whom no entry stands for it yet."""
        notes = [(slot, page.read()) for slot, page in enumerate(self._confirmations)]
        return tuple(slot for slot, note in notes if note is not None and note.sighting and lives(note.pid))

    def is_thrown_by_file(self) -> bool:
        """Whether STATE/ROLLBACK is there."""
        return os.path.lexists(self._state.rollback)

    # -- changing --------------------------------------------------------------------------------------------------------

    def change(self, step: Callable[[Latch, int], Latch]) -> Changed:
        """Change the latch, in memory; `save` brings it to the disk.

        First everything is entered that rolls back everything without being an entry. Where no entry of everything is
        left after the step, STATE/ROLLBACK is deleted, and a file that can't be read moved out of the way, before.

        Args:
            step: from the latch as it is, and the epoch to come, to the latch that shall be. May raise.

        Raises:
            CannotWrite: it doesn't fit, or (with no page) can't be written.
        """
        with self._page_locked():
            held, file = self.held(), self.file()
            before = self.present()
            latch, entered = self._entered(before, file)
            epoch = 1 + self._newest(before)
            latch = replace(step(latch, epoch), epoch=epoch)
            if latch.find(Scope()) is None:
                self._clear(file)
            self._put(Held(latch=latch, saved=self._saved(held, file)))
            return Changed(latch=latch, before=before, entered=entered)

    def reconcile(self) -> Changed | None:
        """Bring page and file together after somebody else wrote or removed the file; None: nothing had to change.

        A file of a higher epoch is taken over; one that is gone, or of a lower epoch than was saved, or differs under the
        same epoch, lifts nothing: the union goes under a higher epoch. STATE/ROLLBACK and sightings are entered.
        """
        with self._page_locked():
            held, file = self.held(), self.file()
            before = OPEN if held is None else held.latch
            latch = self._joined(held, file)
            latch, entered = self._entered(latch, None) if not isinstance(file, LatchUnreadable) else (latch, ())
            if entered:
                latch = replace(latch, epoch=1 + self._newest(latch))
            now = Held(latch=latch, saved=self._saved(held, file))
            if now == held:
                return None
            self._put(now)
            return Changed(latch=latch, before=before, entered=entered)

    def save(self) -> None:
        """Bring the page's latch to the disk.

        Raises:
            OSError: it could not be written.
            CannotWrite: somebody else has been writing it for too long.
        """
        with _locked(self._state.root, "the state directory"):
            held, file = self.held(), self.file()
            if held is None or held.latch == file:
                return
            if isinstance(file, LatchUnreadable):
                if held.latch.find(Scope()) is None:
                    held = Held(latch=self.change(lambda latch, _: latch).latch)
                self._set_aside()
            if isinstance(file, Latch) and file.epoch > held.latch.epoch:
                return  # somebody wrote it just now; `reconcile` takes it over
            write_file(self._state.latch, encode_latch(held.latch))
        with self._page_locked():
            now = self.held()
            if now is not None and now.saved < held.latch.epoch:
                self._put(replace(now, saved=held.latch.epoch))

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _clear(self, file: Found) -> None:
        try:
            self._state.rollback.unlink(missing_ok=True)
            if isinstance(file, LatchUnreadable):
                self._set_aside()
        except OSError as error:
            raise CannotWrite(f"{error.filename} can't be moved out of the way: {error.strerror or error}") from error

    def _set_aside(self) -> None:
        """Move a file that can't be read out of the way: it may have been written by a newer version."""
        self._state.latch.rename(self._state.latch.with_name(f"latch.json.unreadable-{time.time_ns() // 10**9}"))

    def _put(self, held: Held) -> None:
        if self._page is None:
            try:
                if isinstance(self.file(), LatchUnreadable):
                    self._set_aside()
                write_file(self._state.latch, encode_latch(held.latch))
            except OSError as error:
                raise CannotWrite(f"{self._state.latch}: {error.strerror or error}") from error
            return
        text = encode_held(held)
        wide = len(held.latch.entries) > 0 and held.latch.entries[-1].scope == Scope()
        if len(text) > self._page.room_bytes - (0 if wide else _RESERVED_BYTES):
            raise CannotWrite(
                f"the latch is full, with {len(held.latch.entries)} rollbacks: release some, or throw a wider one (of "
                "everything always fits)"
            )
        self._page.write_text(text)

    def _entered(self, latch: Latch, file: Found) -> tuple[Latch, tuple[Entry, ...]]:
        """The latch with an entry for everything that rolls back everything without being one."""
        causes: list[tuple[str, str]] = []
        if isinstance(file, LatchUnreadable):
            causes.append(("the proxy", f"latch.json could not be read: {file}"))
        if self.is_thrown_by_file():
            causes.append((self._owner(), "the file ROLLBACK"))
        elif seen := self.sightings():
            workers = ", ".join(str(slot) for slot in seen)
            causes.append(("whoever made the file ROLLBACK", f"the file ROLLBACK, seen by worker {workers}"))
        if not causes or latch.find(Scope()) is not None:
            return latch, ()
        by, reason = causes[0]
        entry = self.entry(f"f{self._newest(latch) + 1}", Scope(), by, reason)
        return replace(latch, entries=(*latch.entries, entry)), (entry,)

    def entry(self, name: str, scope: Scope, by: str, reason: str) -> Entry:
        """A new entry, thrown now under the plan that runs."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return Entry(id=name, scope=scope, by=by, reason=reason, at=at, plan=self._plan())

    def _joined(self, held: Held | None, file: Found) -> Latch:
        if held is None:
            return file if isinstance(file, Latch) else OPEN
        mine = held.latch
        match file:
            case LatchUnreadable():
                return mine
            case None:
                gone = held.saved >= 0
                return replace(mine, epoch=mine.epoch + 1) if gone else mine
            case Latch() if file.epoch > mine.epoch:
                return file
            case Latch() if file.epoch == mine.epoch:
                same = set(file.entries) == set(mine.entries)
                return mine if same else replace(union((mine, file)), epoch=mine.epoch + 1)
            case Latch() if file.epoch == held.saved:
                return mine  # it waits to be written
            case _:
                return replace(union((mine, file)), epoch=mine.epoch + 1)

    @staticmethod
    def _saved(held: Held | None, file: Found) -> int:
        match file:
            case Latch():
                return file.epoch
            case None:
                return -1
            case _:
                return -1 if held is None else held.saved

    def _newest(self, latch: Latch) -> int:
        """The highest epoch that anybody knows: workers may remember one that page and file have lost."""
        notes = [page.read() for page in self._confirmations]
        return max(latch.epoch, *(note.epoch for note in notes if note is not None), 0)

    def _owner(self) -> str:
        try:
            return name_of(os.lstat(self._state.rollback).st_uid)
        except OSError:
            return "whoever made the file ROLLBACK"

    @contextlib.contextmanager
    def _page_locked(self) -> Iterator[None]:
        with _locked(self._lock, "the latch"):
            yield


def read_latch(path: Path) -> Found:
    """The latch file; what can't be read is an answer too, since it means something."""
    try:
        with open_regular(path) as file:
            text = file.read(_LONGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return LatchUnreadable(error.strerror or str(error))
    if len(text) > _LONGEST_FILE_BYTES:
        return LatchUnreadable(f"over {_LONGEST_FILE_BYTES} bytes")
    try:
        return decode_latch(text)
    except LatchUnreadable as error:
        return error


@contextlib.contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a file or directory.

    Raises:
        CannotWrite: it can't be had.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror or error}") from error
    try:
        give_up_at_s = time.monotonic() + _LOCKED_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up_at_s:
                    raise CannotWrite(f"another process has held {what} for {_LOCKED_WITHIN_S:g} s") from None
                time.sleep(_LOOK_S)
        yield
    finally:
        os.close(descriptor)
