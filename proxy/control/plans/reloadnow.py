"""`reload`: the files are read now and not when they have been quiet for a while, and whoever asked hears what came of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from proxy.control.asking import Refused
from proxy.control.plans.confirming import WorkerConfirmed, confirmed
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import Reloader

_USAGE: Final = 2
_UNCONFIRMED: Final = 3
_WITHIN_S: Final = 30.0  # as `canary` waits

_log = logging.getLogger("control")


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `reload --json`; its keys stay.

    Attributes:
        generation: what is posted now; 0: nothing is.
        changed: whether this very reading changed what is posted.
        held_back: files that stay at their last good version, and why.
        complaints: all that stand, warnings too.
        trouble: why nothing could be put in force.
        workers: who serves the generation.
        code: what the command ends with.
    """

    generation: int
    plan: str
    changed: bool
    held_back: dict[str, str]
    complaints: tuple[str, ...]
    trouble: str
    workers: tuple[WorkerConfirmed, ...]
    code: int


class ReloadCommand:
    """Reads the files now."""

    name = "reload"

    def __init__(self, reloader: Reloader, publisher: Publisher, within_s: float = _WITHIN_S) -> None:
        """Read nothing yet.

        Args:
            reloader: reads, and posts.
            publisher: knows who serves what.
            within_s: the longest wait for the workers.
        """
        self._reloader = reloader
        self._publisher = publisher
        self._within_s = within_s

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:  # noqa: ARG002 - whose edit it is, files know
        """Read, put in force, and wait until every worker serves it."""
        if arguments:
            raise Refused("reload takes no arguments", _USAGE)
        return msgspec.to_builtins(await self.reload())

    async def follow(self, asked: asyncio.Event, done: Callable[[], object]) -> None:
        """Do the same whenever SIGHUP asks, until cancelled: the log is told what came of it.

        Args:
            asked: set by the signal.
            done: called when it is over.
        """
        while True:
            await asked.wait()
            asked.clear()
            said = await self.reload()
            done()
            _tell(said)

    async def reload(self) -> Reloaded:
        """Read, put in force, wait."""
        began_s = time.monotonic()
        former = self._publisher.posted
        await asyncio.to_thread(self._reloader.read_now)
        posted = self._publisher.posted
        standing = self._reloader.standing
        generation = 0 if posted is None else posted.generation
        workers = await confirmed(self._publisher, generation, since_s=began_s, within_s=self._within_s)
        failed = standing.held_back or standing.trouble or standing.plan is None
        return Reloaded(
            generation=generation,
            plan="" if posted is None else posted.plan,
            changed=posted != former,
            held_back=dict(standing.held_back),
            complaints=tuple(str(one) for one in standing.complaints),
            trouble=standing.trouble,
            workers=tuple(workers),
            code=1 if failed else 0 if all(one.confirmed for one in workers) else _UNCONFIRMED,
        )


def _tell(said: Reloaded) -> None:
    missing = sum(not one.confirmed for one in said.workers)
    _log.info(
        "the files were read on request: generation %d%s%s%s",
        said.generation,
        "" if said.changed else ", nothing has changed",
        f"; at their last good version: {', '.join(said.held_back)}" if said.held_back else "",
        f"; {missing} of {len(said.workers)} workers don't serve it yet" if missing else "",
    )
