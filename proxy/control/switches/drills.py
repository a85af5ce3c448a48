"""The drills in force: begun, ended, and forgotten once they have been reported (`proxy.control.switches.boundedfile`).

An entry stays in the file, over, until the journal has its report: a control that is killed meanwhile leaves that to its successor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from proxy.control.history.journal import name_of
from proxy.control.plans.publish import Publisher
from proxy.control.switches.boundedfile import BoundedFile, CannotChange, ends, iso
from proxy.core.layout import StateDir
from proxy.core.model import Backend
from proxy.core.override import override
from proxy.core.switches.bounded import Clock
from proxy.core.switches.drill import MOST, NO_DRILL, Drill, Drills, FaultKind, Injection, LiveDrill
from proxy.core.switches.latch import Scope

_ENDS_AT_LEAST_S: Final = 1e-3  # an end lies in the past at the very moment it is written


class DrillFile(BoundedFile[Drills]):
    """Keeps the drills. Methods may be called from any thread."""

    def __init__(self, *, state: StateDir, boot: str, publisher: Publisher) -> None:
        """Keep nothing yet: call `start`.

        Args:
            state: where the file stands.
            boot: tells this run of the machine from others.
            publisher: sees the workers' pages.
        """
        super().__init__(
            path=state.drills,
            nothing=NO_DRILL,
            boot=boot,
            publisher=publisher,
            epoch_of=lambda said: said.drill_epoch,
            what="in a drill",
        )

    def begin(
        self,
        scope: Scope,
        fault: Injection,
        *,
        backend: Backend,
        share_bp: int,
        without_account: bool,
        for_s: float,
        reason: str,
        uid: int,
        record: Callable[[Drill], object],
    ) -> Drill:
        """Begin one; `record` puts it into the journal first, as who injects a fault must never be unknown.

        Raises:
            CannotChange: there are too many, one of that scope is on, or the disk can't be written.
        """
        clock = self._clock()
        with self._lock:
            on = self._several.entries
            rehearses = fault.kind is FaultKind.ROLLBACK
            same = next((one for one in on if one.scope == scope and one.rehearses == rehearses), None)
            if same is not None:
                raise CannotChange(f"drill {same.id} of {scope} is on already, until {same.until}")
            if len(on) >= MOST:
                raise CannotChange(f"{MOST} drills are on already; end one first")
            drill = Drill(
                id=f"d{1 + max(self._several.epoch, self._newest())}",
                scope=scope,
                by=name_of(uid),
                uid=uid,
                reason=reason,
                fault=fault,
                backend=backend,
                share_bp=share_bp,
                without_account=without_account,
                **ends(clock, for_s),
            )
            record(drill)
            self._write(replace(self._several, entries=(*on, drill)))
        return drill

    def end(self, wanted: str | None, *, reason: str, uid: int) -> tuple[Drill, ...]:
        """End one by its id, or all of them; gives them as they are now.

        Raises:
            CannotChange: none of that id is on, or the disk can't be written.
        """
        clock = self._clock()
        over = {
            "until": iso(clock.unix_s),
            "until_s": clock.monotonic_s - _ENDS_AT_LEAST_S,
            "boot": clock.boot,
            "ended_by": name_of(uid),
            "ended_reason": reason,
        }
        with self._lock:
            lasting = self._several.lasting(clock).entries
            chosen = [one.id for one in lasting if wanted in {None, one.id}]
            if wanted is not None and not chosen:
                on = ", ".join(f"{one.id} ({one.scope})" for one in lasting) or "none"
                raise CannotChange(f"no drill {wanted} is on; on are: {on}")
            if not chosen:
                return ()
            entries = tuple(replace(one, **over) if one.id in chosen else one for one in self._several.entries)
            self._write(replace(self._several, entries=entries))
        return tuple(one for one in entries if one.id in chosen)

    def forget(self, drill: Drill) -> None:
        """It is over, and reported.

        Raises:
            CannotChange: the disk can't be written; it is over all the same.
        """
        with self._lock:
            rest = tuple(one for one in self._several.entries if one.id != drill.id)
            self._write(replace(self._several, entries=rest))

    def live(self) -> tuple[LiveDrill, ...]:
        """Those that are on, as requests meet them."""
        now_s = time.monotonic()
        return tuple(LiveDrill(one, now_s + left_s) for one, left_s in self.lasting())

    def left_s(self, drill: Drill) -> float:
        """How long it still lasts; 0 or less: it is over."""
        return drill.left_s(self._clock())

    @override
    def _is_over(self, one: Any, clock: Clock) -> bool:
        return False  # `forget` says when

    @override
    def _ended(self, one: Any) -> None:
        raise AssertionError(one)  # see `_is_over`
