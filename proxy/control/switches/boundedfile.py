"""The file of what is in force for a bounded time: changed by commands, brought to the disk, and told of when its time is over.

Workers follow the file by themselves, and end each entry by their own clocks; control only keeps the file true. It is the
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
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

from proxy.config.text.regular import open_regular
from proxy.control.durable import write_file
from proxy.control.plans.publish import Publisher
from proxy.core.switches.bounded import Clock, Several, SeveralUnreadable, decode_several, encode_several
from proxy.core.switches.latch import Scope
from proxy.core.telling.pages import Confirmed

_LOOK_S: Final = 0.1

_log = logging.getLogger("control")

SeveralT = TypeVar("SeveralT", bound=Several[Any])


class CannotChange(Exception):
    """Nothing has changed. The text says why."""


class BoundedFile(Generic[SeveralT]):
    """Keeps one file. Methods may be called from any thread."""

    def __init__(
        self,
        *,
        path: Path,
        nothing: SeveralT,
        boot: str,
        publisher: Publisher,
        epoch_of: Callable[[Confirmed], int],
        what: str,
    ) -> None:
        """Keep nothing yet: call `start`.

        Args:
            path: where the file stands.
            nothing: a file without entries.
            boot: tells this run of the machine from others.
            publisher: sees the workers' pages.
            epoch_of: the epoch of this file that a worker obeys.
            what: what an entry does, as messages say it: `frozen`.
        """
        self._path = path
        self._nothing = nothing
        self._boot = boot
        self._publisher = publisher
        self._epoch_of = epoch_of
        self._what = what
        self._lock = threading.Lock()
        self._several = nothing
        self._trouble = ""

    def start(self) -> None:
        """Take over what a former control left."""
        with self._lock:
            found = self._read()
            self._several = msgspec.structs.replace(found, epoch=max(found.epoch, self._newest()))
        for one in found.lasting(self._clock()).entries:
            _log.warning(
                "%s: %s, by %s at %s until %s: %s", self._what, one.scope, one.by, one.at, one.until, one.reason
            )

    async def run(self) -> None:
        """Keep the file true until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._several.entries:
                await asyncio.to_thread(self._look)

    @property
    def several(self) -> SeveralT:
        """Those that are kept, some of which may be over."""
        return self._several

    def lasting(self) -> tuple[tuple[Any, float], ...]:
        """Those in force, each with the seconds that it still lasts."""
        clock = self._clock()
        return tuple((one, one.left_s(clock)) for one in self._several.lasting(clock).entries)

    def obeyed(self, said: Confirmed) -> bool:
        """Whether a worker obeys the newest ones."""
        return self._epoch_of(said) == self._several.epoch

    # -- for those who keep a kind of their own --------------------------------------------------------------------------

    def _is_over(self, one: Any, clock: Clock) -> bool:
        """Whether an entry has no business in the file any more."""
        return bool(one.left_s(clock) <= 0)

    def _ended(self, one: Any) -> None:
        """An entry's time is over, and the file no longer has it."""
        raise NotImplementedError

    def _write(self, several: SeveralT) -> None:
        """Bring it to the disk under an epoch that no worker has seen; the lock is held.

        Raises:
            CannotChange: it can't be written, and nothing has changed.
        """
        newer: SeveralT = msgspec.structs.replace(several, epoch=1 + max(self._several.epoch, self._newest()))
        self._put(newer)

    def _clock(self) -> Clock:
        return Clock(boot=self._boot, monotonic_s=time.monotonic(), unix_s=time.time())

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """End what is over, and put the file back where it was taken away."""
        clock = self._clock()
        with self._lock:
            kept = self._several
            over = [one for one in kept.entries if self._is_over(one, clock)]
            rest = msgspec.structs.replace(kept, entries=tuple(one for one in kept.entries if one not in over))
            try:
                if over:
                    self._write(rest)
                elif self._read() != kept:
                    self._put(kept)
            except CannotChange as error:
                if str(error) != self._trouble:
                    _log.error("%s; workers end what is over all the same", error)
                self._trouble = str(error)
                self._several = rest
            else:
                self._trouble = ""
        for one in over:
            _log.info("%s is no longer %s: its time is over", one.scope, self._what)
            self._ended(one)

    def _put(self, several: SeveralT) -> None:
        try:
            write_file(self._path, encode_several(several))
        except OSError as error:
            raise CannotChange(f"{self._path} can't be written: {error.strerror or error}") from error
        self._several = several

    def _read(self) -> SeveralT:
        try:
            with open_regular(self._path) as file:
                return decode_several(file.read(), type(self._nothing))
        except FileNotFoundError:
            pass
        except (OSError, SeveralUnreadable) as error:
            if not self._several.entries:
                _log.error("%s can't be read, so nothing is %s: %s", self._path, self._what, error)
        return self._nothing

    def _newest(self) -> int:
        """The highest epoch that a worker remembers: one that is lower would not be obeyed."""
        said = [worker.confirmed for worker in self._publisher.workers()]
        return max((self._epoch_of(note) for note in said if note is not None), default=0)


def ends(clock: Clock, for_s: float) -> dict[str, Any]:
    """The fields that say from when to when an entry lasts (`proxy.core.switches.bounded`)."""
    return {
        "at": iso(clock.unix_s),
        "until": iso(clock.unix_s + for_s),
        "until_s": clock.monotonic_s + for_s,
        "boot": clock.boot,
    }


def told(scope: Scope) -> dict[str, str]:
    """The keys that narrow a scope."""
    return {key: value for key, value in msgspec.structs.asdict(scope).items() if value is not None}


def iso(unix_s: float) -> str:
    """A moment as ISO 8601 in UTC."""
    return dt.datetime.fromtimestamp(unix_s, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
