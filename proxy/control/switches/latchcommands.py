"""`rollback` and `release`, as control does them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from proxy.control.commands import Refused, read_arguments
from proxy.control.history.journal import Journal
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import Reloader
from proxy.control.switches.keeper import Keeper
from proxy.control.switches.latchfile import CannotWrite, LatchStore
from proxy.control.switches.obeying import LOOK_S, WAIT_S, Obeying
from proxy.control.switches.rollback import Asked, Change, names_of_running, refused_event, running_plan
from proxy.control.switches.scopes import UnknownName, joined, names_of
from proxy.control.telling.regions import regions_seen
from proxy.core.layout import StateDir
from proxy.core.switches.latch import CannotRelease, Scope

_USAGE: Final = 2
_SAVED_WITHIN_S: Final = 1.0


class LatchCommands:
    """What both commands need, and the way from a wish to an answer."""

    def __init__(
        self,
        *,
        state: StateDir,
        store: LatchStore,
        keeper: Keeper,
        publisher: Publisher,
        reloader: Reloader,
        journal: Journal,
    ) -> None:
        self._state = state
        self._store = store
        self._keeper = keeper
        self._publisher = publisher
        self._reloader = reloader
        self._journal = journal
        self._one_at_a_time = asyncio.Lock()

    async def throw(self, arguments: dict[str, Any], by_uid: int) -> Any:
        """Put a rollback in force."""
        return await self._change(arguments, by_uid, "rollback", self._throw)

    async def release(self, arguments: dict[str, Any], by_uid: int) -> Any:
        """End a rollback."""
        # A worker that saw STATE/ROLLBACK and has not seen the entry for it yet would hold on to what it saw.
        await self._obeyed(Obeying(self._publisher, self._store.present().epoch, 0.0))
        return await self._change(arguments, by_uid, "release", Change.release)

    async def release_rehearsed(self, scope: Scope, *, reason: str, by_uid: int, unless: Callable[[], str]) -> None:
        """End a rollback that was thrown for a drill.

        Args:
            scope: its own.
            reason: for the journal.
            by_uid: who began the drill.
            unless: says why it must stay, empty: nothing speaks for that; asked while no other command changes the latch.

        Raises:
            Refused: it stays.
        """

        def do(change: Change) -> None:
            if why := unless():
                raise CannotRelease(why)
            change.release()

        await self._change({"scope": msgspec.to_builtins(scope), "reason": reason}, by_uid, "release", do)

    def _throw(self, change: Change) -> None:
        plan = self._reloader.standing.plan
        running = names_of_running(self._state, running_plan(self._publisher))
        known = joined(running, None if plan is None else names_of(plan))
        change.throw(known, lambda: regions_seen(self._state))

    async def _change(self, arguments: dict[str, Any], by_uid: int, what: str, do: Callable[[Change], None]) -> Any:
        asked = read_arguments(arguments, Asked, "a scope with a reason")
        change = Change(store=self._store, publisher=self._publisher, journal=self._journal, asked=asked, uid=by_uid)
        async with self._one_at_a_time:
            try:
                await asyncio.to_thread(do, change)
            except (UnknownName, CannotRelease, CannotWrite) as error:
                self._journal.record(refused_event(asked, by_uid, str(error), what))
                raise Refused(str(error), _USAGE if isinstance(error, UnknownName) else 1) from error
        self._reloader.reconsider()
        on_disk, _ = await asyncio.gather(
            self._keeper.saved(change.epoch, _SAVED_WITHIN_S), self._obeyed(change.obeying)
        )
        return msgspec.to_builtins(change.answer(on_disk=on_disk, trouble="" if on_disk else self._keeper.trouble))

    @staticmethod
    async def _obeyed(obeying: Obeying) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + WAIT_S
        while not obeying.look() and loop.time() < deadline_s:  # noqa: ASYNC110 - pages send no events
            await asyncio.sleep(LOOK_S)


class RollbackCommand:
    """Throws the latch."""

    name = "rollback"

    def __init__(self, commands: LatchCommands) -> None:
        self._commands = commands

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        """Do it."""
        return await self._commands.throw(arguments, by_uid)


class ReleaseCommand:
    """Ends exactly one rollback."""

    name = "release"

    def __init__(self, commands: LatchCommands) -> None:
        self._commands = commands

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        """Do it."""
        return await self._commands.release(arguments, by_uid)
