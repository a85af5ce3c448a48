"""How many tasks a worker's loop has. They come and go with connections that are being made; what only grows is a leak."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.telling.counters import Counters

_LOOKS: Final = 50
"""Between two counts: a second. A count takes 25 µs with ten tasks, 3 ms with 10 000 that shake hands."""


class TaskCount:
    """One worker's count, looked at as everything else is (`proxy.supervise.ticking`).

    Args:
        counters: the worker's page.
        slot: of the worker; a sum over all of them would fall with each that is replaced, and hide what the others gather.
    """

    def __init__(self, counters: Counters, slot: int) -> None:
        self._cells = counters.cells
        self._index = counters.series(f'strangler_tasks{{worker="{slot}"}}')
        self._looks = 0

    def look(self) -> None:
        """Count them, now and then."""
        if self._looks % _LOOKS == 0:
            self._cells[self._index] = len(asyncio.all_tasks())
        self._looks += 1
