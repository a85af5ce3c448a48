"""Plans to generations, in a worker: read and checked in a thread, assembled in slices beside the traffic."""

from __future__ import annotations

import asyncio
import gc
import mmap
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Final
from weakref import WeakValueDictionary

from proxy.core.generation import Generation, assemble
from proxy.core.layout import StateDir
from proxy.core.plan import TableRef, decode_record, plan_name

_SLICE_S: Final = (
    0.0004  # what each loop turn adds to the requests it serves while a plan is taken; a turn costs a tenth of it
)
_TABLE_LINE: Final = b'{"kind":"table",'

_END: Final = object()


class PlanUnusable(Exception):
    """A plan or a table can't be run. The text says why."""


class Builder:
    """Builds one generation at a time; tables that another one has mapped are shared."""

    def __init__(self, state: StateDir) -> None:
        """Build nothing yet.

        Args:
            state: where plans and tables stand.
        """
        self._state = state
        self._tables: WeakValueDictionary[str, memoryview] = WeakValueDictionary()
        self._one_at_a_time = asyncio.Lock()

    async def build(self, plan: str, number: int) -> Generation:
        """Build the generation of a plan.

        Raises:
            OSError, ValueError, PlanUnusable: it can't be read, is damaged, or of another format.
        """
        async with self._one_at_a_time:
            loop = asyncio.get_running_loop()
            text, tables = await loop.run_in_executor(None, self._read, plan, dict(self._tables))
            gc.disable()
            try:
                generation = await _returned(
                    assemble(text, tables.__getitem__, number=number, name=plan, now_s=time.time)
                )
            finally:
                # What was just built lives long: the collector needn't walk it, which would pause the loop.
                gc.freeze()
                gc.enable()
            self._tables.update(tables)
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


async def dismantled(generation: Generation) -> None:
    """Take a generation apart in slices: dropping 10 000 routes at once is a pause that requests would feel."""
    steps = generation.dismantle()
    while True:
        until_s = time.perf_counter() + _SLICE_S
        while time.perf_counter() < until_s:
            if next(steps, _END) is _END:
                return
        await asyncio.sleep(0)


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
