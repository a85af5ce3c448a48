"""Who is killed for standing still, and how an end is named. Standard library only."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator, Sequence
from typing import Final

from proxy.core.telling.pages import Confirmed, Page, TextPage
from proxy.supervise.children import Stillness

_A_PAUSE_S: Final = 0.1  # what is shorter is no wait to speak of
_STILL_TICKS: Final = 100  # 10 s of our own ticks: a paused machine doesn't tick and kills nobody
_STILL_TICKS_UNCONFIRMED: Final = 10  # while the latch waits for it: a rollback counts on this
_STILL_TICKS_AT_START: Final = 300  # importing on a machine that swaps

_log = logging.getLogger("supervisor")


class Hearts:
    """Who beats, and who has stood still for too long."""

    def __init__(self, confirmations: Sequence[Page[Confirmed]], latch: TextPage) -> None:
        """Look at nothing yet.

        Args:
            confirmations: the workers' pages, by slot.
            latch: the latch's page.
        """
        self._confirmations = confirmations
        self._latch = LatchEpoch(latch)
        self._stillness = [Stillness() for _ in confirmations]

    def begin(self, slot: int) -> None:
        """Somebody is about to start there."""
        self._stillness[slot] = Stillness(beats=self._confirmations[slot].beats)

    def standing_still(self, pids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Look once more, with every tick: slots of those who must go, each with the ticks it has stood still.

        Args:
            pids: by slot; 0: nobody is there.
        """
        notes = [page.read() for page in self._confirmations]
        # The file may have been written by hand while control is dead: then other workers know of it first.
        epoch = max(self._latch.look(), *(note.epoch for note in notes if note is not None), 0)
        for slot, (pid, note) in enumerate(zip(pids, notes, strict=True)):
            if not pid:
                continue
            still = self._stillness[slot].tick(self._confirmations[slot].beats)
            if still >= patience(note, pid, epoch):
                self._stillness[slot].ticks = 0
                yield slot, still


def patience(note: Confirmed | None, pid: int, epoch: int) -> int:
    """For how many ticks a worker's heartbeat may stand still.

    Args:
        note: what its page says.
        pid: of the process that runs there.
        epoch: the latest of the latch.
    """
    if note is None or note.pid != pid:
        return _STILL_TICKS_AT_START  # it has not begun, and sends nothing anywhere
    return _STILL_TICKS if note.epoch >= epoch else _STILL_TICKS_UNCONFIRMED


class LatchEpoch:
    """The epoch of the latch, read only when its page has changed."""

    def __init__(self, page: TextPage) -> None:
        self._page = page
        self._version = 0
        self._epoch = 0

    def look(self) -> int:
        """The epoch; 0: none yet."""
        version = self._page.version
        if version != self._version and (text := self._page.read_text()) is not None:
            self._version = version
            self._epoch = json.loads(text)["latch"]["epoch"]
        return self._epoch


def tell_end(name: str, code: int, pause_s: float, *, planned: bool) -> None:
    """Say that a process ended that shall run, and when its successor starts.

    Args:
        name: of its place.
        code: its exit code; negative: a signal.
        pause_s: until it is started again.
        planned: it was told to end, so that its successor can take its place; if it did so in order, nobody has to look.
    """
    if planned and code == 0:
        _log.info("%s has ended for its successor, which starts now", name)
        return
    when = f"in {pause_s:.1f} s" if pause_s >= _A_PAUSE_S else "at once"
    _log.warning("%s ended (%s) and is started again %s", name, cause_of_death(code), when)


def cause_of_death(code: int) -> str:
    """An exit code (negative: a signal) in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
