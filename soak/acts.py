"""Everything that may go on while clients ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from soak import deaths, drills, floods, moves, operations, sickness
from soak.conductor import Act

ALL: Final[Sequence[tuple[Act, int]]] = (
    (operations.canary, 4),
    (operations.rollback, 3),
    (operations.freeze, 2),
    (operations.reload, 2),
    (operations.sighup, 1),
    (operations.broken_edit, 1),
    (drills.drill, 6),
    (drills.rehearsal, 1),
    (floods.flood, 2),
    (floods.crowd, 2),
    (floods.idlers, 1),
    (deaths.backend_killed, 4),
    (deaths.backend_hung, 2),
    (deaths.backend_gone, 2),
    (sickness.backend_unwell, 2),
    (moves.address_moved, 2),
    (moves.names_lost, 2),
    (deaths.worker_killed, 3),
    (deaths.worker_hung, 1),
    (deaths.control_killed, 2),
)
"""Each with its weight. One worker at least lives on through all of them, so that its growth can be seen."""

AT_FIRST: Final[Sequence[tuple[Act, int]]] = (*ALL, (deaths.upgrade, 2), (deaths.restart, 2))
"""What replaces every process, too."""

SHORT: Final[Sequence[Act]] = (
    drills.drill,
    operations.canary,
    deaths.backend_gone,
    floods.flood,
    floods.crowd,
    deaths.worker_killed,
    drills.rehearsal,
    sickness.backend_unwell,
)
"""One of each kind that takes a moment only."""
