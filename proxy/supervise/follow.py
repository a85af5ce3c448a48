"""A worker follows the board: plan after plan, built beside the traffic, swapped in by one assignment.

1. every 20 ms: beat; look whether the board's version changed (one load from memory)
2. a new note: read the plan and check its hash, in a thread
3. assemble the generation in slices of at most 2 ms a loop turn, with the garbage collector held off
4. hand it over (one assignment, between two requests), confirm it on the worker's page
5. take the old one apart, in slices too: dropping 10 000 routes at once is a pause that requests would feel

Control need not live for any of this. A plan that can't be built leaves the running one in place, and the page says why.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import os
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final, TypeVar

from proxy.core.generation import Generation, assemble
from proxy.core.layout import StateDir
from proxy.core.pages import Confirmed, Page, Posted
from proxy.core.plan import TableRef, decode_record, plan_name

POLL_S: Final = 0.02
_SLICE_S: Final = 0.0015  # stays under 2 ms with the step that crosses it
_TROUBLE_CHARACTERS: Final = 1000
_TABLE_LINE: Final = b'{"kind":"table",'

_log = logging.getLogger("worker")

ResultT = TypeVar("ResultT")
_END: Final = object()


class PlanUnusable(Exception):
    """A plan or a table that is posted can't be run. The text says why."""


class Follower:
    """Keeps one worker on the generation that the board names."""

    def __init__(
        self,
        *,
        state: StateDir,
        board: Page[Posted],
        page: Page[Confirmed],
        start_id: str,
        adopt: Callable[[Generation], None],
    ) -> None:
        """Follow nothing yet.

        Args:
            state: where plans and tables stand.
            board: read.
            page: written; this worker is its only writer.
            start_id: tells this process from all others that had the slot.
            adopt: makes a generation the one that the next request reads; must not block.
        """
        self._state = state
        self._board = board
        self._page = page
        self._adopt = adopt
        self._said = Confirmed(pid=os.getpid(), start_id=start_id)
        self._current: Generation | None = None
        self._tables: dict[str, memoryview] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        self._page.write(self._said)
        seen = 0
        building: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._page.beat()
                version = self._board.version
                if version != seen and (building is None or building.done()):
                    posted = self._board.read()
                    if posted is not None:
                        seen = version
                        if posted.generation != self._said.generation:
                            building = tasks.create_task(self._take(posted))
                await asyncio.sleep(POLL_S)

    async def _take(self, posted: Posted) -> None:
        try:
            generation = await self._build(posted)
        except (OSError, ValueError, PlanUnusable) as error:
            _log.error("generation %d can't be run, %s", posted.generation, self._staying(error))
            self._say(refused=posted.generation, trouble=str(error)[:_TROUBLE_CHARACTERS])
            return
        except Exception as error:  # noqa: BLE001 - the top of a task
            # A plan that breaks our own code must not end a worker that serves another one well.
            _log.exception("generation %d can't be run, %s", posted.generation, self._staying(error))
            trouble = f"{type(error).__name__}: {error}"[:_TROUBLE_CHARACTERS]
            self._say(refused=posted.generation, trouble=trouble)
            return
        former, self._current = self._current, generation
        self._adopt(generation)
        self._said = Confirmed(
            pid=self._said.pid,
            start_id=self._said.start_id,
            generation=generation.number,
            plan=generation.plan,
            epoch=self._said.epoch,
        )
        self._page.write(self._said)
        if former is not None:
            await _sliced(former.dismantle())

    def _staying(self, error: Exception) -> str:
        stays = "no generation runs yet" if self._current is None else f"{self._current.number} stays"
        return f"{stays}: {error}"

    def _say(self, *, refused: int, trouble: str) -> None:
        said = self._said
        self._said = Confirmed(
            pid=said.pid,
            start_id=said.start_id,
            generation=said.generation,
            plan=said.plan,
            epoch=said.epoch,
            refused=refused,
            trouble=trouble,
        )
        self._page.write(self._said)

    async def _build(self, posted: Posted) -> Generation:
        loop = asyncio.get_running_loop()
        text, tables = await loop.run_in_executor(None, self._read, posted.plan, dict(self._tables))
        gc.disable()
        try:
            steps = assemble(text, tables.__getitem__, number=posted.generation, name=posted.plan, now_s=time.time)
            generation = await _returned(steps)
        finally:
            # What was just built lives long: the collector needn't walk it, which would pause the loop.
            gc.freeze()
            gc.enable()
        self._tables = tables
        return generation

    def _read(self, plan: str, known: dict[str, memoryview]) -> tuple[bytes, dict[str, memoryview]]:
        """A plan's text and its tables, mapped (in a thread: disks wait, hashes take time)."""
        text = self._state.plan(plan).read_bytes()
        if plan_name(text) != plan:
            raise PlanUnusable(
                f"{self._state.plan(plan)} is damaged: its bytes don't have the hash that it is named by"
            )
        tables: dict[str, memoryview] = {}
        for line in text.splitlines():
            if line.startswith(_TABLE_LINE):
                record = decode_record(line)
                if isinstance(record, TableRef):
                    tables[record.digest] = known.get(record.digest) or self._map_table(record.digest)
        return text, tables

    def _map_table(self, digest: str) -> memoryview:
        path = self._state.table(digest)
        with path.open("rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if sha256(view).hexdigest() != digest:
            raise PlanUnusable(f"{path} is damaged: its bytes don't have the hash that it is named by")
        return view


async def _returned(steps: Iterator[None]) -> Generation:
    """Run a generator of steps to its end, in slices; gives what it returns."""
    while True:
        until_s = time.perf_counter() + _SLICE_S
        try:
            while time.perf_counter() < until_s:
                next(steps)
        except StopIteration as end:
            made: Generation = end.value
            return made
        await asyncio.sleep(0)


async def _sliced(steps: Iterator[None]) -> None:
    """Run steps to their end, in slices."""
    while True:
        until_s = time.perf_counter() + _SLICE_S
        while time.perf_counter() < until_s:
            if next(steps, _END) is _END:
                return
        await asyncio.sleep(0)
