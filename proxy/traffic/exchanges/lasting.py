"""What lasts longer than an answer: tunnels and event streams. A rollback recalls those on new that it covers.

A request that was decided before a rollback runs to its end, but these have none: without being cut they would stay
on new for as long as nobody reconnects. They are spread over `rollback_drain`, so that thousands of clients don't come
back in one moment, and only judged in slices, so that whoever holds many keeps answering meanwhile.

A process that ends lets go of all of them, spread over its drain for the same reason. None goes in the first third: whoever was about to
end by itself (a long answer told as events, a short session) does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from proxy.core.model import Backend
from proxy.core.switches.begun import covers_begun

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.generation import Generation
    from proxy.core.switches.covering import LiveLatch

_SLICE_S: Final = 0.002  # as long as a loop turn may take for what isn't a request (docs/architecture.md)
_SPREAD: Final = 0.9  # of `rollback_drain`; the rest is for noticing, judging and a busy loop
_UNTOUCHED: Final = 1 / 3  # of a drain, at its beginning
_random: Final = random.SystemRandom()


class Lasts(Protocol):
    """A tunnel or an event stream."""

    @property
    def decision(self) -> Decision | None:
        """As it was made when it began."""
        ...

    @property
    def peer(self) -> str:
        """The client's address."""
        ...

    def recalled(self) -> None:
        """A rollback covers it: end."""
        ...

    def drained(self) -> None:
        """This process has to end: so must it."""
        ...

    def failed(self) -> None:
        """A defect of ours came up; called while the exception is handled."""
        ...


class Lasting:
    """Everything of one worker that lasts.

    Attributes:
        held: tunnels and event streams, of either system.
    """

    def __init__(self, latch: Callable[[], LiveLatch], running: Callable[[], Generation]) -> None:
        """Hold nothing.

        Args:
            latch: gives the rollbacks in force.
            running: gives the generation in force.
        """
        self.held: set[Lasts] = set()
        self._latch = latch
        self._running = running
        self._unjudged: list[Lasts] = []
        self._judging: asyncio.Handle | None = None
        self._timers: dict[Lasts, asyncio.TimerHandle] = {}
        self._drain: tuple[float, float] | None = None  # between which moments of the loop's clock all are let go
        self._staying: list[Lasts] = []  # those whose moment isn't drawn yet
        self._drawing: asyncio.Handle | None = None
        self._partings: dict[Lasts, asyncio.TimerHandle] = {}

    def add(self, one: Lasts) -> None:
        """Hold one. The latch may have changed since it was decided: it is looked at at once."""
        self.held.add(one)
        if self._drain is not None:
            self._staying.append(one)
            self._draw_soon()
        if self._latch().entries:
            self._unjudged.append(one)
            self._judge_soon()

    def discard(self, one: Lasts) -> bool:
        """It has ended, if it was one that lasts; whether it was."""
        if one not in self.held:
            return False
        self.held.discard(one)
        for timers in (self._timers, self._partings):
            timer = timers.pop(one, None)
            if timer is not None:
                timer.cancel()
        return True

    def look(self) -> None:
        """The latch or the generation has changed: judge everything anew."""
        if self._latch().entries:
            self._unjudged = list(self.held)
            self._judge_soon()

    def drain(self, timeout_s: float) -> None:
        """Let go of everything, and of what is still to come, at moments drawn by lot.

        Args:
            timeout_s: by when the last shall be gone.
        """
        now_s = asyncio.get_running_loop().time()
        self._drain = now_s + timeout_s * _UNTOUCHED, now_s + timeout_s * _SPREAD
        self._staying = list(self.held)
        self._draw_soon()

    def close(self) -> None:
        """End nothing any more."""
        self._unjudged.clear()
        self._staying.clear()
        for timers in (self._timers, self._partings):
            for timer in timers.values():
                timer.cancel()
            timers.clear()

    def _draw_soon(self) -> None:
        if self._drawing is None and self._staying:
            self._drawing = asyncio.get_running_loop().call_soon(self._draw)

    def _draw(self) -> None:
        self._drawing = None
        assert self._drain is not None
        loop = asyncio.get_running_loop()
        until_s = time.monotonic() + _SLICE_S
        while self._staying and time.monotonic() < until_s:
            one = self._staying.pop()
            if one in self.held:
                self._partings[one] = loop.call_at(_random.uniform(*self._drain), self._part, one)
        self._draw_soon()

    def _part(self, one: Lasts) -> None:
        del self._partings[one]
        try:
            one.drained()
        except Exception:  # noqa: BLE001  the top of a callback: told with its trace, ends this one alone
            one.failed()

    def _judge_soon(self) -> None:
        if self._judging is None and self._unjudged:
            self._judging = asyncio.get_running_loop().call_soon(self._judge)

    def _judge(self) -> None:
        self._judging = None
        drain_s = self._running().settings.rollback_drain_s
        until_s = time.monotonic() + _SLICE_S
        while self._unjudged and time.monotonic() < until_s:
            one = self._unjudged.pop()
            if one in self.held and one not in self._timers and self._covered(one):
                wait_s = _random.uniform(0, drain_s * _SPREAD)
                self._timers[one] = asyncio.get_running_loop().call_later(wait_s, self._recall, one)
        self._judge_soon()

    def _recall(self, one: Lasts) -> None:
        del self._timers[one]
        try:
            if self._covered(one):  # or it was released meanwhile
                one.recalled()
        except Exception:  # noqa: BLE001  the top of a callback: told with its trace, ends this one alone
            one.failed()

    def _covered(self, one: Lasts) -> bool:
        decision = one.decision
        if decision is None or decision.backend is not Backend.NEW:
            return False
        return covers_begun(decision, self._running(), self._latch(), one.peer) is not None
