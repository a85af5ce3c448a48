"""A worker watches the latch: the page, the file and `STATE/ROLLBACK`, fifty times a second and without control.

1. the page's version is one load from memory, each file one `stat`; only what changed is read, files in a thread, so that a
   disk that hangs holds up nothing
2. the highest epoch of page, file and memory holds: a file that is gone, or of a lower epoch, lifts nothing
3. a file that can't be read means that everything is rolled back, until it can be, or a newer epoch replaces it
4. `ROLLBACK` seen means the same, also after it was removed: until an entry of empty scope stands for it, which whoever
   writes the latch next enters first
5. one assignment puts a latch in force; only then is its epoch confirmed on the worker's page

An entry is judged by the plan it was thrown under. That generation is kept when it was the running one, else built
in the background; while it isn't there, or if it can't be, its entry covers everything.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from proxy.config.text.regular import open_regular
from proxy.core.generation import Generation
from proxy.core.layout import StateDir
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveLatch, Under, lower_latch
from proxy.core.switches.latch import (
    OPEN,
    SIGHTED,
    UNREADABLE,
    Entry,
    Latch,
    LatchUnreadable,
    Scope,
    decode_held,
    decode_latch,
    prevailing,
)
from proxy.core.telling.pages import TextPage
from proxy.supervise.building import Builder, PlanUnusable, dismantled
from proxy.supervise.saying import Saying

_LONGEST_FILE_BYTES: Final = 1 << 20
_WHY_CHARACTERS: Final = 300

_log = logging.getLogger("worker")

Signature = tuple[int, ...] | str
"""What tells one version of a file from another; empty: there is none; text: why it can't be looked at."""

_ABSENT: Final[Signature] = ()


class LatchWatch:
    """The latch of one worker.

    Attributes:
        live: what requests are held against; the same object as long as nothing changed.
        settled: set while every entry is judged by the plan it was thrown under, or that plan is known to be lost.
    """

    def __init__(
        self,
        *,
        state: StateDir,
        page: TextPage,
        builder: Builder,
        saying: Saying,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Watch nothing yet: call `start` before the first request is decided.

        Args:
            state: where the latch and ROLLBACK stand.
            page: carries the latest latch, whatever the disk does.
            builder: makes generations of plans.
            saying: where the worker confirms.
            changed: called right after another latch is in force.
        """
        self.live: LiveLatch = NOTHING_ROLLED_BACK
        self.settled = asyncio.Event()
        self._path = state.latch
        self._file_path = os.fspath(self._path)  # looked at fifty times a second: no objects in between
        self._rollback_path = os.fspath(state.rollback)
        self._page = page
        self._builder = builder
        self._saying = saying
        self._changed = changed
        self._latch = OPEN
        self._entries: tuple[Entry, ...] = ()
        self._page_version = 0
        self._file: Signature | None = None  # None: not looked at yet
        self._reading: asyncio.Future[tuple[Signature, Latch | str | None]] | None = None
        self._unreadable: dict[str, str] = {}  # page, file → why
        self._unreadable_at_epoch = 0
        self._sighting = False
        self._running: Generation | None = None
        self._judges: dict[str, Generation] = {}
        self._lost: set[str] = set()
        self._judging: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Read everything, at once, and put it in force."""
        self._look_at_page()
        self._take_file(*_read_file(self._path))
        self._settle()
        if not self._missing():
            self.settled.set()

    def close(self) -> None:
        """Nobody looks any more."""
        if self._judging is not None:
            self._judging.cancel()

    def look(self) -> None:
        """One look at everything."""
        self._look_at_page()
        if self._reading is None and _signature(self._file_path) != self._file:
            self._reading = asyncio.get_running_loop().run_in_executor(None, _read_file, self._path)
            self._reading.add_done_callback(self._on_read)
        self._settle()

    # -- what there is ---------------------------------------------------------------------------------------------------

    def _look_at_page(self) -> None:
        version = self._page.version
        if version == self._page_version or (text := self._page.read_text()) is None:
            return
        self._page_version = version
        try:
            self._latch = prevailing((self._latch, decode_held(text).latch))
        except LatchUnreadable as error:
            # Another version of this program wrote it: in doubt, legacy, until this version writes it.
            self._note_unreadable("page", f"its page: {error}")
        else:
            self._unreadable.pop("page", None)

    def _on_read(self, reading: asyncio.Future[tuple[Signature, Latch | str | None]]) -> None:
        self._reading = None
        if not reading.cancelled():
            self._take_file(*reading.result())
            self._settle()

    def _take_file(self, signature: Signature, found: Latch | str | None) -> None:
        self._file = signature
        match found:
            case Latch():
                self._unreadable.pop("file", None)
                self._latch = prevailing((self._latch, found))
            case str():
                self._note_unreadable("file", found)
            case None if self._latch.epoch or self._entries:
                _log.error("%s is gone; that lifts nothing", self._file_path)
            case None:
                pass

    def _note_unreadable(self, what: str, why: str) -> None:
        if why != self._unreadable.get(what):
            _log.error("the latch can't be read, so everything is rolled back: %s", why)
        self._unreadable[what] = why
        self._unreadable_at_epoch = self._latch.epoch

    # -- what is in force ------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Put in force what there is, if it differs from what is."""
        latch = self._latch
        if self._file == _ABSENT and latch.epoch > self._unreadable_at_epoch:
            self._unreadable.pop("file", None)  # whoever wrote that epoch has moved the file out of the way
        if latch.find(Scope()) is not None:
            self._sighting = False  # that entry stands for it now
        elif not self._sighting and os.path.lexists(self._rollback_path):
            _log.warning("%s is there: everything is rolled back", self._rollback_path)
            self._sighting = True
        entries = latch.entries
        if self._sighting:
            entries = (*entries, SIGHTED)
        if self._unreadable:
            entries = (*entries, UNREADABLE)
        if entries != self._entries or latch.epoch != self.live.epoch:
            self._entries = entries
            self._lost.clear()
            self._lower()
        self._confirm()

    def _confirm(self) -> None:
        note = self._saying.note
        why = "; ".join(self._unreadable.values())[:_WHY_CHARACTERS]
        said = (self._latch.epoch, self._sighting, why)
        if said != (note.epoch, note.sighting, note.unreadable):
            self._saying.say(epoch=said[0], sighting=said[1], unreadable=said[2])

    def _lower(self) -> None:
        self.live = lower_latch(replace(self._latch, entries=self._entries), self._under)
        if self._missing():
            self.settled.clear()
        else:
            self.settled.set()
        # The running generation comes first: most entries are judged by it.
        if self._running is not None and (self._judging is None or self._judging.done()):
            self._judging = asyncio.get_running_loop().create_task(self._judge())
        self._changed()

    # -- by which plan ---------------------------------------------------------------------------------------------------

    def adopt(self, generation: Generation) -> Generation | None:
        """Another generation runs from here on; gives the former one once no entry is judged by it."""
        former, self._running = self._running, generation
        wanted = self._wanted()
        self._judges[generation.plan], same = generation, self._judges.get(generation.plan)
        self._lost.discard(generation.plan)
        if generation.plan in wanted or former is None:
            self._lower()
        if former is None or (former.plan in wanted and former is not same):
            return None
        if former is not same:
            del self._judges[former.plan]
        return former

    def _wanted(self) -> set[str]:
        return {entry.plan for entry in self._entries if entry.plan is not None}

    def _missing(self) -> set[str]:
        return self._wanted() - self._judges.keys() - self._lost

    def _under(self, plan: str) -> Generation | Under:
        return self._judges.get(plan, Under.LOST)

    async def _judge(self) -> None:
        """Build what entries are judged by, and take apart what none is any more."""
        while missing := self._missing():
            plan = min(missing)
            try:
                self._judges.setdefault(plan, await self._builder.build(plan, 0))
            except (OSError, ValueError, PlanUnusable) as error:
                _log.error("rollbacks thrown under plan %s cover everything: it can't be read: %s", plan[:12], error)
                self._lost.add(plan)
            except Exception:  # noqa: BLE001 - the top of a task
                _log.exception("rollbacks thrown under plan %s cover everything: it can't be built", plan[:12])
                self._lost.add(plan)
            self._lower()
        for plan in self._judges.keys() - self._wanted():
            if self._judges[plan] is not self._running:
                await dismantled(self._judges.pop(plan))


def _signature(path: str) -> Signature:
    try:
        found = os.stat(path)  # noqa: PTH116 - fifty times a second
    except FileNotFoundError:
        return _ABSENT
    except OSError as error:
        return error.strerror or str(error)
    return signed(found)


def signed(found: os.stat_result) -> tuple[int, ...]:
    """What changes whenever a file does, without reading it."""
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read_file(path: Path) -> tuple[Signature, Latch | str | None]:
    """The file: which version it is, and the latch in it, or why it can't be read, or None where there is none."""
    try:
        with open_regular(path) as file:
            signature = signed(os.fstat(file.fileno()))
            text = file.read(_LONGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        return _ABSENT, None
    except OSError as error:
        return _signature(os.fspath(path)), f"{path}: {error.strerror or error}"
    if len(text) > _LONGEST_FILE_BYTES:
        return signature, f"{path}: over {_LONGEST_FILE_BYTES} bytes"
    try:
        return signature, decode_latch(text)
    except LatchUnreadable as error:
        return signature, f"{path}: {error}"
