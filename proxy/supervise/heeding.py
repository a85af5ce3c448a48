"""A worker looks ten times a second at what control tells on a page, and no longer heeds it once control has fallen silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from proxy.core.telling.pages import NoteT, Page

LOOK_S: Final = 0.1
SILENT_LOOKS: Final = 100
"""10 s: control is started again long before. Looks, not seconds, so that a paused machine makes nobody silent."""

HeedT = TypeVar("HeedT")


class Heeding(Generic[NoteT, HeedT]):
    """What one page of control's says, as one worker heeds it.

    Attributes:
        heeded: what holds now.
    """

    def __init__(
        self, page: Page[NoteT], of: Callable[[NoteT], HeedT], nothing: HeedT, changed: Callable[[HeedT], None]
    ) -> None:
        """Heed nothing yet.

        Args:
            page: written by control.
            of: what a note means.
            nothing: what holds before the first note, and when control has fallen silent.
            changed: given what holds, whenever that changed; must not block.
        """
        self._page: Page[NoteT] = page
        self._of: Callable[[NoteT], HeedT] = of
        self._nothing = nothing
        self._changed = changed
        self.heeded = nothing
        self._version = 0
        self._beats = 0
        self._silent_looks = 0
        self._heard = asyncio.Event()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    async def until(self, enough: Callable[[HeedT], bool], within_s: float) -> None:
        """Wait, while another task looks, until enough is known; or go on without."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not enough(self.heeded):
                    self._heard.clear()
                    await self._heard.wait()

    def look(self) -> None:
        """Look once."""
        beats = self._page.beats
        self._silent_looks = self._silent_looks + 1 if beats == self._beats else 0
        self._beats = beats
        if self._silent_looks > SILENT_LOOKS:
            self._heed(self._nothing)
            self._version = 0  # read it again, should control be back
        elif self._version != (version := self._page.version):
            told = self._page.read()
            if told is not None:
                self._version = version
                self._heed(self._of(told))

    def _heed(self, heeded: HeedT) -> None:
        if heeded != self.heeded:
            self.heeded = heeded
            self._changed(heeded)
            self._heard.set()
