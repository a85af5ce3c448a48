"""Control's watch over the latch: what is in force comes to the disk, and what others did to the disk lifts nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import time
from collections.abc import Callable
from typing import Final

from proxy.control.history.event import Action, Event
from proxy.control.history.journal import Journal
from proxy.control.plans.memory import is_new
from proxy.control.switches.latchfile import CannotWrite, Changed, LatchStore
from proxy.control.switches.rollback import entered_event, ids_of
from proxy.core.switches.latch import LatchUnreadable

_LOOK_S: Final = 0.1
_RETRY_S: Final = 1.0

_log = logging.getLogger("control")


class Keeper:
    """Keeps page and file together.

    Attributes:
        trouble: why the latch is not on the disk; empty: it is.
        unreadable: why the file can't be read; empty: it can.
    """

    def __init__(self, store: LatchStore, journal: Journal) -> None:
        """Keep nothing yet.

        Args:
            store: the latch.
            journal: told of what no command did.
        """
        self.trouble = ""
        self.unreadable = ""
        self._store = store
        self._journal = journal
        self._changed: Callable[[], None] = lambda: None
        self._retry_at_s = 0.0
        # A thread of its own: one that hangs with the disk must not take those of commands with it.
        self._disk = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="latch")

    def tell(self, listener: Callable[[], None]) -> None:
        """Tell somebody, from a thread, after the latch changed without a command."""
        self._changed = listener

    def start(self) -> None:
        """Read the latch, and post it before any worker starts; called in a thread."""
        file = self._store.file()
        if file is None and self._store.held() is None:
            if is_new(self._store.state):
                _log.info("no latch.json yet: nothing is rolled back")
            else:
                _log.warning(
                    "latch.json is gone: nothing is rolled back, whatever was before; `strangler journal` may know, and "
                    "`strangler rollback` throws it again"
                )
        try:
            self._reconcile()
        except CannotWrite as error:
            self._complain(str(error))
        latch = self._store.present()
        for entry in latch.entries:
            _log.warning(
                "rolled back: %s, by %s at %s: %s (%s)", entry.scope, entry.by, entry.at, entry.reason, entry.id
            )
        self._save()

    async def run(self) -> None:
        """Keep until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._in_thread(self._look)

    async def saved(self, epoch: int, within_s: float) -> bool:
        """Bring the latch to the disk now; whether it is there in time. Whatever fails is tried again."""
        try:
            async with asyncio.timeout(within_s):
                await self._in_thread(self._save)
        except TimeoutError:
            self.trouble = self.trouble or "the disk doesn't answer"
        held = self._store.held()
        return held is None or held.saved >= epoch

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._disk, work))

    # -- in the thread ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            self._reconcile()
        except CannotWrite as error:
            self._complain(str(error))
            return
        held = self._store.held()
        if held is not None and held.saved < held.latch.epoch and time.monotonic() >= self._retry_at_s:
            self._save()

    def _reconcile(self) -> None:
        file = self._store.file()
        unreadable = str(file) if isinstance(file, LatchUnreadable) else ""
        if unreadable and unreadable != self.unreadable:
            _log.error("latch.json can't be read: everything is rolled back. %s", unreadable)
        self.unreadable = unreadable
        began = self._store.held()
        changed = self._store.reconcile()
        if changed is None or began is None or changed.latch == changed.before:
            return
        self._tell(changed)
        self._changed()

    def _tell(self, changed: Changed) -> None:
        for entry in changed.entered:
            _log.warning("everything is rolled back: %s", entry.reason)
            self._journal.record(entered_event(entry, changed))
        found = {entry.id for entry in changed.latch.entries} - {entry.id for entry in changed.before.entries}
        found -= {entry.id for entry in changed.entered}
        gone = {entry.id for entry in changed.before.entries} - {entry.id for entry in changed.latch.entries}
        if found or gone or not changed.entered:
            _log.warning("latch.json was changed by hand; in force: %s", "; ".join(ids_of(changed.latch)) or "nothing")
            self._journal.record(
                Event(
                    action=Action.RELEASE if gone and not found else Action.ROLLBACK,
                    by="file edit",
                    reason="latch.json was changed by hand",
                    scope={"files": ["latch.json"]},
                    before=ids_of(changed.before),
                    after=ids_of(changed.latch),
                    epoch=changed.latch.epoch,
                )
            )

    def _save(self) -> None:
        try:
            self._store.save()
        except (OSError, CannotWrite) as error:
            self._retry_at_s = time.monotonic() + _RETRY_S
            self._complain(str(error))
        else:
            if self.trouble:
                _log.info("the latch is on the disk again")
            self.trouble = ""

    def _complain(self, why: str) -> None:
        if why != self.trouble:
            _log.error("the latch is in force, but not on the disk: %s; trying again", why)
        self.trouble = why
