"""What control does when asked over its socket: one class a command."""

from __future__ import annotations

import asyncio
import mmap
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

import msgspec

from proxy.control.commands import Refused, read_arguments
from proxy.control.plans.publish import Publisher
from proxy.control.switches.drills import DrillFile
from proxy.control.switches.freezes import Freezer
from proxy.control.switches.rollbacks import Rollbacks
from proxy.control.telling.backends import Breakers
from proxy.control.telling.explain import Supposed, area_of, explain, suppose
from proxy.control.telling.question import CannotAsk, Question
from proxy.control.telling.report import Reporter
from proxy.core.generation import Generation, assemble
from proxy.core.layout import StateDir
from proxy.core.plan import decode_plan, encode_plan, plan_name
from proxy.core.switches.covering import LiveLatch
from proxy.core.switches.drill import LiveDrill
from proxy.core.switches.freeze import LiveFreeze

_USAGE: Final = 2
_MOST_ACCOUNTS: Final = 10_000


class StatusCommand:
    """What stands."""

    name = "status"

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:  # noqa: ARG002 - anyone may look
        """Report."""
        if arguments:
            raise Refused("status takes no arguments", _USAGE)
        return msgspec.to_builtins(await asyncio.to_thread(self._reporter.status))


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    question: Question
    accounts: list[str] | None = None


class ExplainCommand:
    """A decision of the plan that the workers serve: built here as a worker builds it, and kept until the next plan."""

    name = "explain"

    def __init__(
        self,
        *,
        state: StateDir,
        publisher: Publisher,
        latch: Rollbacks,
        freezer: Freezer,
        drills: DrillFile,
        breakers: Callable[[], Breakers],
    ) -> None:
        self._state = state
        self._publisher = publisher
        self._latch = latch
        self._freezer = freezer
        self._drills = drills
        self._breakers = breakers
        self._built: Generation | None = None
        self._building = asyncio.Lock()

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:  # noqa: ARG002 - anyone may look
        """Explain one question, or the same for many accounts."""
        asked = read_arguments(arguments, _Asked, "a question")
        if asked.accounts is not None and len(asked.accounts) > _MOST_ACCOUNTS:
            raise Refused(f"{_MOST_ACCOUNTS} accounts at most in one request", _USAGE)
        async with self._building:  # one build at a time is enough for the memory
            try:
                return await asyncio.to_thread(self._explain, asked)
            except CannotAsk as error:
                raise Refused(str(error), _USAGE) from error

    def _explain(self, asked: _Asked) -> Any:
        generation = self._serving()
        latch = self._latch.live(lambda plan: self._build(self._state.plan(plan).read_bytes(), 0), generation)
        supposed: Supposed | None = None
        if asked.question.percent is not None:
            area = area_of(asked.question, generation, latch)
            text = self._state.plan(generation.plan).read_bytes()
            supposed = suppose(decode_plan(text), area, asked.question.percent, of_plan=generation.plan)
            generation = self._build(encode_plan(supposed.plan), generation.number)
        told = explain_all(
            asked.question,
            asked.accounts,
            generation,
            latch,
            source="running",
            supposed=supposed,
            freezes=self._freezer.live(),
            drills=self._drills.live(),
            breakers=self._breakers(),
        )
        return msgspec.to_builtins(told)

    def _serving(self) -> Generation:
        confirmed = [
            worker for worker in self._publisher.workers() if worker.confirmed is not None and worker.generation
        ]
        if not confirmed:
            raise Refused("no worker serves yet")
        newest = max(confirmed, key=lambda worker: worker.generation).confirmed
        assert newest is not None
        if self._built is None or self._built.number != newest.generation:
            try:
                text = self._state.plan(newest.plan).read_bytes()
            except OSError as error:
                raise Refused(f"the plan that runs can't be read: {error}") from error
            self._built = self._build(text, newest.generation)
        return self._built

    def _build(self, text: bytes, number: int) -> Generation:
        return build_generation(text, lambda digest: map_table(self._state, digest), number=number)


def explain_all(
    question: Question,
    accounts: list[str] | None,
    generation: Generation,
    latch: LiveLatch,
    *,
    source: str,
    supposed: Supposed | None = None,
    freezes: tuple[LiveFreeze, ...] = (),
    drills: tuple[LiveDrill, ...] = (),
    breakers: Breakers = MappingProxyType({}),
) -> list[Any]:
    """One explanation, or one an account.

    Raises:
        CannotAsk: the question can't be asked of this configuration.
    """
    asked = [question] if accounts is None else [msgspec.structs.replace(question, account=one) for one in accounts]
    return [
        explain(
            one,
            generation,
            latch=latch,
            source=source,
            supposed=supposed,
            freezes=freezes,
            drills=drills,
            breakers=breakers,
        )
        for one in asked
    ]


def build_generation(text: bytes, open_table: Any, *, number: int) -> Generation:
    """A generation in one go, for processes that carry no traffic."""
    steps = assemble(text, open_table, number=number, name=plan_name(text), now_s=time.time)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            built: Generation = end.value
            return built


def map_table(state: StateDir, digest: str) -> memoryview:
    """A table of the state directory, mapped.

    Raises:
        OSError: it isn't there.
    """
    with state.table(digest).open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
