"""Workers that have not done what they are told for too long: an alarm, since two systems may then be asked for one plan."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from proxy.control.plans.publish import Publisher, WorkerReport
from proxy.control.switches.latchfile import LatchStore

_LATE_AFTER_S: Final = 5.0
_LOOK_S: Final = 0.5

_log = logging.getLogger("control")


class Lateness:
    """Looks at the workers twice a second.

    Attributes:
        late: slots whose generation or epoch has not been the posted one for over 5 s.
    """

    def __init__(self, publisher: Publisher, store: LatchStore) -> None:
        self.late: frozenset[int] = frozenset()
        self._publisher = publisher
        self._store = store
        self._since_s: dict[int, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(_LOOK_S)

    def look(self, now_s: float) -> None:
        """Look once.

        Args:
            now_s: monotonic seconds.
        """
        posted, held = self._publisher.posted, self._store.held()
        generation = 0 if posted is None else posted.generation
        epoch = 0 if held is None else held.latch.epoch
        behind = {one.slot for one in self._publisher.workers() if _is_behind(one, generation, epoch)}
        self._since_s = {slot: self._since_s.get(slot, now_s) for slot in behind}
        late = frozenset(slot for slot, since_s in self._since_s.items() if now_s - since_s > _LATE_AFTER_S)
        for slot in sorted(late - self.late):
            _log.error(
                "worker %d does not run generation %d and epoch %d after %g s", slot, generation, epoch, _LATE_AFTER_S
            )
        self.late = late


def _is_behind(worker: WorkerReport, generation: int, epoch: int) -> bool:
    return worker.generation != generation or worker.confirmed is None or worker.confirmed.epoch < epoch
