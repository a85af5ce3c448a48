"""A worker watches the file of freezes, fifty times a second and without control.

1. one `stat`; only a file that changed is read, in a thread, so that a disk that hangs holds up no traffic
2. a newer epoch replaces what is in force, by one assignment; a file that is gone, can't be read or has a lower epoch
   ends nothing early, and prolongs nothing
3. each freeze ends by this process's own clock, whatever becomes of control, file or wall clock
4. while one is in force, the worker's page says how many requests that may change data are still in flight in its scope;
   the epoch stands there only once no more can begin
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.config.regular import open_regular
from proxy.core.freeze import NOTHING_FROZEN, Clock, Freezes, FreezesUnreadable, LiveFreeze, decode_freezes
from proxy.core.layout import StateDir
from proxy.supervise.latchwatch import signed
from proxy.supervise.saying import Saying

POLL_S: Final = 0.02
_COUNT_EVERY: Final = 5  # looks: counting walks over all clients
_LONGEST_FILE_BYTES: Final = 1 << 20

_log = logging.getLogger("worker")

Signature = tuple[int, ...] | None


class FreezeWatch:
    """The freezes of one worker.

    Attributes:
        live: those in force; the same object as long as nothing changed.
    """

    def __init__(
        self,
        *,
        state: StateDir,
        boot: str,
        saying: Saying,
        changed: Callable[[tuple[LiveFreeze, ...]], None],
        in_flight: Callable[[], tuple[tuple[int, ...], tuple[int, ...]]],
    ) -> None:
        """Watch nothing yet: call `start` before the first request is decided.

        Args:
            state: where the file stands.
            boot: tells this run of the machine from others.
            saying: where the worker confirms.
            changed: given what is in force, whenever it changed; must not block.
            in_flight: for each freeze in force the writes and the tunnels in its scope.
        """
        self.live: tuple[LiveFreeze, ...] = ()
        self._state = state
        self._boot = boot
        self._saying = saying
        self._changed = changed
        self._in_flight = in_flight
        self._freezes = NOTHING_FROZEN
        self._file: Signature = None
        self._reading: asyncio.Future[tuple[Signature, Freezes | None]] | None = None
        self._looks = 0

    def start(self) -> None:
        """Read the file at once, and put it in force."""
        self._take(*_read(self._state.freezes))
        self._confirm()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(POLL_S)

    def look(self) -> None:
        """One look at everything."""
        if self._reading is None and _signature(self._state.freezes) != self._file:
            self._reading = asyncio.get_running_loop().run_in_executor(None, _read, self._state.freezes)
            self._reading.add_done_callback(self._on_read)
        self._end_what_is_over()
        self._looks += 1
        if self.live and self._looks % _COUNT_EVERY == 0:
            self._confirm()

    def _on_read(self, reading: asyncio.Future[tuple[Signature, Freezes | None]]) -> None:
        self._reading = None
        if not reading.cancelled():
            self._take(*reading.result())
            self._confirm()

    def _take(self, signature: Signature, found: Freezes | None) -> None:
        self._file = signature
        if found is None or found.epoch <= self._freezes.epoch:
            return
        self._freezes = found
        clock = Clock(boot=self._boot, monotonic_s=time.monotonic(), unix_s=time.time())
        self._put(tuple(LiveFreeze(one, clock.monotonic_s + one.left_s(clock)) for one in found.lasting(clock).entries))

    def _end_what_is_over(self) -> None:
        now_s = time.monotonic()
        if any(one.ends_s <= now_s for one in self.live):
            self._put(tuple(one for one in self.live if one.ends_s > now_s))
            self._confirm()

    def _put(self, live: tuple[LiveFreeze, ...]) -> None:
        self.live = live
        self._changed(live)

    def _confirm(self) -> None:
        """Say what is in force, and what is still in flight under it: one number for each entry of the file's epoch."""
        counted = dict(zip((one.freeze.id for one in self.live), zip(*self._in_flight(), strict=True), strict=False))
        both = [counted.get(entry.id, (0, 0)) for entry in self._freezes.entries]
        said = (self._freezes.epoch, tuple(one[0] for one in both), tuple(one[1] for one in both))
        note = self._saying.note
        if said != (note.freeze_epoch, note.writes, note.tunnels):
            self._saying.say(freeze_epoch=said[0], writes=said[1], tunnels=said[2])


def _signature(path: Path) -> Signature:
    try:
        found = os.stat(path)  # noqa: PTH116 - fifty times a second
    except OSError:
        return None
    return signed(found)


def _read(path: Path) -> tuple[Signature, Freezes | None]:
    """The file: which version it is, and what it says; None: nothing that can be obeyed."""
    try:
        with open_regular(path) as file:
            signature = signed(os.fstat(file.fileno()))
            text = file.read(_LONGEST_FILE_BYTES)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            _log.error("%s can't be read; what is frozen stays so for its time: %s", path, error.strerror or error)
        return _signature(path), None
    try:
        return signature, decode_freezes(text)
    except FreezesUnreadable as error:
        _log.error("%s can't be read; what is frozen stays so for its time: %s", path, error)
        return signature, None
