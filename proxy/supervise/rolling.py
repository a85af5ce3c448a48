"""One worker after another is replaced, and nobody who connects notices.

There is one slot more than there are sockets. A successor starts in the slot that is free, on the socket of the worker whose turn it
is: for a while both accept from it. Once the successor serves, the former drains, and the slot that it leaves is the next one's. A
successor that can't serve is given up, and everybody else stays: that is what a broken new version of the program costs.

Which of these steps comes next is decided here; the supervisor takes it. Standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Final

GIVE_UP_S: Final = 30.0
"""A successor has this long to serve: what a worker has that starts otherwise."""

SPARE: Final = 1
"""Slots beyond those that the sockets need."""


class Do(enum.Enum):
    """What a step does with a slot."""

    START = "a successor begins in it"
    RETIRE = "its worker drains and ends"
    ABANDON = "its worker could not serve, and ends"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What to do next."""

    do: Do
    slot: int


class Rolling:
    """Which socket each slot serves, and the replacement that is under way.

    Attributes:
        sockets: by slot, the number of its socket; None: nobody shall be there.
    """

    def __init__(self, sockets: int) -> None:
        self.sockets: list[int | None] = [*range(sockets), *[None] * SPARE]
        self._todo: list[int] = []
        self._replacing: tuple[int, int] | None = None  # the former's slot, the successor's
        self._give_up_at_s = 0.0

    @property
    def under_way(self) -> bool:
        """Whether somebody is still to be replaced."""
        return bool(self._todo) or self._replacing is not None

    def replaces(self, slot: int) -> bool:
        """Whether who is there, or comes, is to take over from somebody who serves."""
        return self._replacing is not None and self._replacing[1] == slot

    def begin(self) -> None:
        """Replace everybody who serves now; asked for again meanwhile, the successors too."""
        successor = None if self._replacing is None else self._replacing[1]
        former = None if self._replacing is None else self._replacing[0]
        serving = [slot for slot, socket in enumerate(self.sockets) if socket is not None]
        self._todo = [slot for slot in serving if slot not in {former, successor}]
        if successor is not None:
            self._todo.append(successor)

    def step(self, pids: Sequence[int], serves: Callable[[int], bool], now_s: float) -> Step | None:
        """The next step, if it can be taken now.

        Args:
            pids: by slot; 0: nobody is there.
            serves: whether the worker of a slot has confirmed a generation.
            now_s: monotonic.
        """
        if self._replacing is not None:
            return self._wait(*self._replacing, serves, now_s)
        free = next((slot for slot, socket in enumerate(self.sockets) if socket is None and not pids[slot]), None)
        while self._todo and free is not None:
            former = self._todo.pop(0)
            if not pids[former]:
                continue  # it is being started anew anyway
            self.sockets[free] = self.sockets[former]
            self._replacing = (former, free)
            self._give_up_at_s = now_s + GIVE_UP_S
            return Step(Do.START, free)
        return None

    def _wait(self, former: int, successor: int, serves: Callable[[int], bool], now_s: float) -> Step | None:
        if serves(successor):
            self._replacing = None
            self.sockets[former] = None
            return Step(Do.RETIRE, former)
        if now_s >= self._give_up_at_s:
            self._replacing = None
            self._todo = []
            self.sockets[successor] = None
            return Step(Do.ABANDON, successor)
        return None
