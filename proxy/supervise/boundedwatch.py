"""A worker watches a file of what is in force for a bounded time, fifty times a second and without control.

1. one `stat`; only a file that changed is read, in a thread, so that a disk that hangs holds up no traffic
2. a newer epoch replaces what is in force, by one assignment; a file that is gone, can't be read or has a lower epoch
   ends nothing early, and prolongs nothing
3. each entry ends by this process's own clock, whatever becomes of control, file or wall clock
4. what of it is in force, and what came of it, is said on the worker's page
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from proxy.config.text.regular import open_regular
from proxy.core.switches.bounded import Clock, Several, SeveralUnreadable, decode_several
from proxy.supervise.latchwatch import signed

_TELL_EVERY: Final = 5  # looks: what is told may cost a walk over all clients
_LONGEST_FILE_BYTES: Final = 1 << 20

_log = logging.getLogger("worker")

Signature = tuple[int, ...] | None


class Live(Protocol):
    """An entry as requests meet it."""

    @property
    def ends_s(self) -> float:
        """When it ends, on the monotonic clock of this process."""
        ...


SeveralT = TypeVar("SeveralT", bound=Several[Any])
LiveT = TypeVar("LiveT", bound=Live)


class BoundedWatch(Generic[SeveralT, LiveT]):
    """What is in force of one kind, on one worker.

    Attributes:
        live: the same object as long as nothing changed.
    """

    def __init__(
        self,
        *,
        path: Path,
        nothing: SeveralT,
        boot: str,
        lower: Callable[[Any, float], LiveT],
        changed: Callable[[tuple[LiveT, ...]], None],
    ) -> None:
        """Watch nothing yet: call `start` before the first request is decided.

        Args:
            path: the file.
            nothing: a file without entries.
            boot: tells this run of the machine from others.
            lower: an entry and its end on the monotonic clock, as requests meet it.
            changed: given what is in force, whenever it changed; must not block.
        """
        self.live: tuple[LiveT, ...] = ()
        self._path = path
        self._file_path = os.fspath(path)  # looked at fifty times a second: no objects in between
        self._boot = boot
        self._lower = lower
        self._changed = changed
        self._several = nothing
        self._file: Signature = None
        self._reading: asyncio.Future[tuple[Signature, SeveralT | None]] | None = None
        self._looks = 0

    def start(self) -> None:
        """Read the file at once, and put it in force."""
        self._take(*self._read())
        self._tell()

    def look(self) -> None:
        """One look at everything."""
        if self._reading is None and _signature(self._file_path) != self._file:
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._read)
            self._reading.add_done_callback(self._on_read)
        self._end_what_is_over()
        self._looks += 1
        if self._looks % _TELL_EVERY == 0 and self._has_news:
            self._tell()

    @property
    def _has_news(self) -> bool:
        """Whether what is told may have changed without a change of the file."""
        return bool(self.live)

    def _tell(self) -> None:
        """Say on the worker's page what is in force."""
        raise NotImplementedError

    def _on_read(self, reading: asyncio.Future[tuple[Signature, SeveralT | None]]) -> None:
        self._reading = None
        if not reading.cancelled():
            self._take(*reading.result())
            self._tell()

    def _take(self, signature: Signature, found: SeveralT | None) -> None:
        self._file = signature
        if found is None or found.epoch <= self._several.epoch:
            return
        self._several = found
        clock = Clock(boot=self._boot, monotonic_s=time.monotonic(), unix_s=time.time())
        lasting = found.lasting(clock).entries
        self._put(tuple(self._lower(one, clock.monotonic_s + one.left_s(clock)) for one in lasting))

    def _end_what_is_over(self) -> None:
        now_s = time.monotonic()
        if any(one.ends_s <= now_s for one in self.live):
            self._put(tuple(one for one in self.live if one.ends_s > now_s))
            self._tell()

    def _put(self, live: tuple[LiveT, ...]) -> None:
        self.live = live
        self._changed(live)

    def _read(self) -> tuple[Signature, SeveralT | None]:
        """The file: which version it is, and what it says; None: nothing that can be obeyed."""
        try:
            with open_regular(self._path) as file:
                signature = signed(os.fstat(file.fileno()))
                text = file.read(_LONGEST_FILE_BYTES)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _log.error("%s can't be read; what is in force stays so for its time: %s", self._path, error.strerror)
            return _signature(self._file_path), None
        try:
            return signature, decode_several(text, type(self._several))
        except SeveralUnreadable as error:
            _log.error("%s can't be read; what is in force stays so for its time: %s", self._path, error)
            return signature, None


def _signature(path: str) -> Signature:
    try:
        found = os.stat(path)  # noqa: PTH116 - fifty times a second
    except OSError:
        return None
    return signed(found)
