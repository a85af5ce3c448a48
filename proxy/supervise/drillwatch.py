"""The drills of one worker, as the file has them (`proxy.supervise.boundedwatch`); its page says what came of each."""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.layout import StateDir
from proxy.core.override import override
from proxy.core.switches.drill import NO_DRILL, Drills, LiveDrill
from proxy.core.switches.drilltally import DrillTally
from proxy.supervise.boundedwatch import BoundedWatch
from proxy.supervise.saying import Saying


class DrillWatch(BoundedWatch[Drills, LiveDrill]):
    """Follows `STATE/drills.json`."""

    def __init__(
        self,
        *,
        state: StateDir,
        boot: str,
        saying: Saying,
        changed: Callable[[tuple[LiveDrill, ...]], None],
        tallies: Callable[[], tuple[DrillTally, ...]],
    ) -> None:
        """Watch nothing yet: call `start` before the first request is decided.

        Args:
            state: where the file stands.
            boot: tells this run of the machine from others.
            saying: where the worker confirms.
            changed: given what is in force, whenever it changed; must not block.
            tallies: what came of the drills, of the last that are over too; few enough for the page.
        """
        super().__init__(path=state.drills, nothing=NO_DRILL, boot=boot, lower=LiveDrill, changed=changed)
        self._saying = saying
        self._tallies = tallies

    @property
    @override
    def _has_news(self) -> bool:
        return bool(self.live) or self._tallies() != self._saying.note.drilled

    @override
    def _tell(self) -> None:
        said = (self._several.epoch, self._tallies())
        note = self._saying.note
        if said != (note.drill_epoch, note.drilled):
            self._saying.say(drill_epoch=said[0], drilled=said[1])
