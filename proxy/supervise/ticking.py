"""What a worker looks at fifty times a second, in one turn of its loop.

By a task for each, the loop would wake up as many times more, and waking up is most of what a look costs.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

POLL_S: Final = 0.02


class Watch(Protocol):
    """Something that is looked at."""

    def look(self) -> None:
        """Look once; must not block."""
        ...


async def look_at(*watches: Watch) -> None:
    """Look at all of them, in this order, until cancelled."""
    while True:
        for watch in watches:
            watch.look()
        await asyncio.sleep(POLL_S)
