"""The freezes of one worker, as the file has them (`proxy.supervise.boundedwatch`).

While one is in force, the worker's page says how many requests that may change data are still in flight in its scope; the epoch
stands there only once no more can begin.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.layout import StateDir
from proxy.core.override import override
from proxy.core.switches.freeze import NOTHING_FROZEN, Freezes, LiveFreeze
from proxy.supervise.boundedwatch import BoundedWatch
from proxy.supervise.saying import Saying


class FreezeWatch(BoundedWatch[Freezes, LiveFreeze]):
    """Follows `STATE/freezes.json`."""

    def __init__(
        self,
        *,
        state: StateDir,
        boot: str,
        saying: Saying,
        changed: Callable[[tuple[LiveFreeze, ...]], None],
        in_flight: Callable[[], tuple[tuple[int, ...], tuple[int, ...]]],
    ) -> None:
        """Watch nothing yet: call `start` before the first request is decided.

        Args:
            state: where the file stands.
            boot: tells this run of the machine from others.
            saying: where the worker confirms.
            changed: given what is in force, whenever it changed; must not block.
            in_flight: for each freeze in force the writes and the tunnels in its scope.
        """
        super().__init__(path=state.freezes, nothing=NOTHING_FROZEN, boot=boot, lower=LiveFreeze, changed=changed)
        self._saying = saying
        self._in_flight = in_flight

    @override
    def _tell(self) -> None:
        """Say what is in force, and what is still in flight under it: one number for each entry of the file's epoch."""
        counted = dict(zip((one.freeze.id for one in self.live), zip(*self._in_flight(), strict=True), strict=False))
        both = [counted.get(entry.id, (0, 0)) for entry in self._several.entries]
        said = (self._several.epoch, tuple(one[0] for one in both), tuple(one[1] for one in both))
        note = self._saying.note
        if said != (note.freeze_epoch, note.writes, note.tunnels):
            self._saying.say(freeze_epoch=said[0], writes=said[1], tunnels=said[2])
