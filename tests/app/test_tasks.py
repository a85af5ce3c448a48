"""The tasks of a worker's loop are told."""

from __future__ import annotations

import asyncio

from proxy.app.tasks import TaskCount
from proxy.core.telling.counters import PAGE_BYTES, Counters


def test_the_tasks_of_a_loop_are_counted_once_a_second_and_those_that_are_over_no_more() -> None:
    counters = Counters(memoryview(bytearray(PAGE_BYTES)))

    def told(looks: int) -> int:
        for _ in range(looks):
            count.look()
        return dict(counters.items())['strangler_tasks{worker="3"}']

    async def loop() -> tuple[int, ...]:
        alone = told(1)
        ends = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ends.wait())
            tasks.create_task(ends.wait())
            early, three = told(49), told(1)
            ends.set()
        return alone, early, three, told(50)

    count = TaskCount(counters, 3)
    assert asyncio.run(loop()) == (1, 1, 3, 1)
