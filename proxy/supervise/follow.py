"""A worker follows the board: plan after plan, built beside the traffic, swapped in by one assignment.

1. every 20 ms: beat; look whether the board's version changed (one load from memory)
2. a new note: read the plan and check its hash, in a thread
3. assemble the generation in slices of at most 2 ms a loop turn, with the garbage collector held off
4. hand it over (one assignment, between two requests), confirm it on the worker's page
5. take the old one apart, in slices too, unless a rollback was thrown under it: then it goes on being asked

Control need not live for any of this. A plan that can't be built leaves the running one in place, and the page says why;
it is tried again, ever later: the disk may come back, and control writes a damaged plan again. A worker that runs
nothing at all would leave its clients waiting in the socket's queue: it ends, and the supervisor starts another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.core.generation import Generation
from proxy.core.telling.pages import Page, Posted
from proxy.supervise.building import Builder, PlanUnusable, dismantled
from proxy.supervise.saying import Saying
from proxy.supervise.ticking import POLL_S

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0

_log = logging.getLogger("worker")


class NothingToRun(Exception):
    """A worker without a generation can't build the one it is asked for; why has been said."""


class Follower:
    """Keeps one worker on the generation that the board names."""

    def __init__(
        self,
        *,
        board: Page[Posted],
        builder: Builder,
        saying: Saying,
        adopt: Callable[[Generation], Awaitable[Generation | None]],
    ) -> None:
        """Follow nothing yet.

        Args:
            board: read.
            builder: makes generations of plans.
            saying: where the worker confirms.
            adopt: makes a generation the one that the next request reads, when what else it needs (certificates) is read
                too; gives the former one once nobody asks it any more.
        """
        self._board = board
        self._builder = builder
        self._saying = saying
        self._adopt = adopt
        self._failures = 0  # of the note that stands on the board
        self._retry_at_s: float | None = None

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            ExceptionGroup: of a NothingToRun.
        """
        self._saying.say()
        seen = 0
        building: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._saying.beat()
                version = self._board.version
                if (version != seen or self._retry_is_due()) and (building is None or building.done()):
                    posted = self._board.read()
                    if posted is not None:
                        if version != seen:
                            self._failures = 0
                        seen = version
                        self._retry_at_s = None
                        if posted.generation != self._saying.note.generation:
                            building = tasks.create_task(self._take(posted))
                await asyncio.sleep(POLL_S)

    async def _take(self, posted: Posted) -> None:
        try:
            generation = await self._builder.build(posted.plan, posted.generation)
            former = await self._adopt(generation)
        except (OSError, ValueError, PlanUnusable) as error:
            self._refuse(posted.generation, error, str(error))
            return
        except Exception as error:  # noqa: BLE001 - the top of a task
            # A plan that breaks our own code must not end a worker that serves another one well.
            self._refuse(posted.generation, error, f"{type(error).__name__}: {error}", trace=error)
            return
        self._saying.say(generation=generation.number, plan=generation.plan, refused=0, trouble="")
        if former is not None:
            await dismantled(former)

    def _retry_is_due(self) -> bool:
        return self._retry_at_s is not None and asyncio.get_running_loop().time() >= self._retry_at_s

    def _refuse(self, number: int, error: Exception, trouble: str, trace: Exception | None = None) -> None:
        """Say why a generation can't be run, and what follows.

        Raises:
            NothingToRun: none runs.
        """
        running = self._saying.note.generation
        if not self._failures:
            what = f"{running} stays" if running else "and none runs yet, so this worker ends"
            _log.error("generation %d can't be run, %s: %s", number, what, error, exc_info=trace)
        self._saying.say(refused=number, trouble=trouble)
        if not running:
            raise NothingToRun from error
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        self._retry_at_s = asyncio.get_running_loop().time() + pause_s
