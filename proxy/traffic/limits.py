"""What traffic itself fixes, and limits as it counts them: in ticks."""

from __future__ import annotations

import resource
from typing import Final

from proxy.core import footprint

TICK_S: Final = 0.25
"""How often deadlines are looked at. A timer for each request would cost 2 µs; a timeout is late by one tick at most."""

WATER_BYTES: Final = footprint.WATER_BYTES

GREET_S: Final = 1.0
"""When draining, for a request that is on its way already, on an idle connection or in the accept queue."""


def ticks(seconds: float) -> int:
    """How many ticks must have passed for these seconds to be over for sure."""
    return int(-(-seconds // TICK_S)) + 1


def affordable_connections() -> int:
    """How many clients this process has descriptors for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return footprint.clients_of(soft) if soft != resource.RLIM_INFINITY else _MOST


_MOST: Final = 1_000_000
