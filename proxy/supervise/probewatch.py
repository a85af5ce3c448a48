"""A worker looks ten times a second at what control's probes say, and no longer heeds it once control has fallen silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.core.pages import Page, Probed

LOOK_S: Final = 0.1
SILENT_LOOKS: Final = 100
"""10 s: control is started again long before. Looks, not seconds, so that a paused machine makes nobody silent."""


class ProbeWatch:
    """What probes say, as one worker heeds it.

    Attributes:
        unhealthy: the names of endpoints that don't answer their probes.
    """

    def __init__(self, page: Page[Probed], changed: Callable[[frozenset[str]], None]) -> None:
        """Heed nothing yet.

        Args:
            page: written by control.
            changed: given the names of all unhealthy endpoints, whenever they changed; must not block.
        """
        self._page = page
        self._changed = changed
        self.unhealthy: frozenset[str] = frozenset()
        self._version = 0
        self._beats = 0
        self._silent_looks = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Look once."""
        beats = self._page.beats
        self._silent_looks = self._silent_looks + 1 if beats == self._beats else 0
        self._beats = beats
        if self._silent_looks > SILENT_LOOKS:
            self._heed(frozenset())
            self._version = 0  # read it again, should control be back
        elif self._version != (version := self._page.version):
            told = self._page.read()
            if told is not None:
                self._version = version
                self._heed(frozenset(told.unhealthy))

    def _heed(self, unhealthy: frozenset[str]) -> None:
        if unhealthy != self.unhealthy:
            self.unhealthy = unhealthy
            self._changed(unhealthy)
