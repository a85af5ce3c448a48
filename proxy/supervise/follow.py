"""A worker follows the board: plan after plan, built beside the traffic, swapped in by one assignment.

1. every 20 ms: beat; look whether the board's version changed (one load from memory)
2. a new note: read the plan and check its hash, in a thread
3. assemble the generation in slices of at most 2 ms a loop turn, with the garbage collector held off
4. hand it over (one assignment, between two requests), confirm it on the worker's page
5. take the old one apart, in slices too, unless a rollback was thrown under it: then it goes on being asked

Control need not live for any of this. A plan that can't be built leaves the running one in place, and the page says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from proxy.core.generation import Generation
from proxy.core.pages import Page, Posted
from proxy.supervise.building import Builder, PlanUnusable, dismantled
from proxy.supervise.saying import Saying

POLL_S: Final = 0.02
_TROUBLE_CHARACTERS: Final = 1000

_log = logging.getLogger("worker")


class Follower:
    """Keeps one worker on the generation that the board names."""

    def __init__(
        self,
        *,
        board: Page[Posted],
        builder: Builder,
        saying: Saying,
        adopt: Callable[[Generation], Generation | None],
    ) -> None:
        """Follow nothing yet.

        Args:
            board: read.
            builder: makes generations of plans.
            saying: where the worker confirms.
            adopt: makes a generation the one that the next request reads, without blocking; gives the former one
                once nobody asks it any more.
        """
        self._board = board
        self._builder = builder
        self._saying = saying
        self._adopt = adopt

    async def run(self) -> None:
        """Follow until cancelled."""
        self._saying.say()
        seen = 0
        building: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._saying.beat()
                version = self._board.version
                if version != seen and (building is None or building.done()):
                    posted = self._board.read()
                    if posted is not None:
                        seen = version
                        if posted.generation != self._saying.note.generation:
                            building = tasks.create_task(self._take(posted))
                await asyncio.sleep(POLL_S)

    async def _take(self, posted: Posted) -> None:
        try:
            generation = await self._builder.build(posted.plan, posted.generation)
        except (OSError, ValueError, PlanUnusable) as error:
            _log.error("generation %d can't be run, %s", posted.generation, self._staying(error))
            self._saying.say(refused=posted.generation, trouble=str(error)[:_TROUBLE_CHARACTERS])
            return
        except Exception as error:  # noqa: BLE001 - the top of a task
            # A plan that breaks our own code must not end a worker that serves another one well.
            _log.exception("generation %d can't be run, %s", posted.generation, self._staying(error))
            trouble = f"{type(error).__name__}: {error}"[:_TROUBLE_CHARACTERS]
            self._saying.say(refused=posted.generation, trouble=trouble)
            return
        former = self._adopt(generation)
        self._saying.say(generation=generation.number, plan=generation.plan, refused=0, trouble="")
        if former is not None:
            await dismantled(former)

    def _staying(self, error: Exception) -> str:
        number = self._saying.note.generation
        return f"{f'{number} stays' if number else 'no generation runs yet'}: {error}"
