"""How long building and swapping a plan holds a worker's loop up, at two sizes, by the worker's own code.

A callback that runs in every turn of the loop notes the time since the last one. It reads the thread's processor
time, not the clock: what other processes take from a small machine doesn't count, what this loop does without
coming back does.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path

import uvloop

from bench.tables import beside, show
from prove.crowd import until
from prove.plans import plan_of
from proxy.core.generation import Generation
from proxy.core.layout import StateDir
from proxy.core.plan import encode_plan, plan_name
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page, Posted
from proxy.supervise.building import Builder
from proxy.supervise.follow import Follower
from proxy.supervise.saying import Saying

_SIZES = ((100, 10_000), (10_000, 1_000_000))
_SWAPS = 4
_AIM_MS = 5.0


class Turns:
    """The longest turn of the loop that runs it, in seconds of processor time."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last_s = 0.0

    def begin(self) -> None:
        """Forget what was and watch from now on."""
        self.longest_s = 0.0
        self._last_s = time.thread_time()

    def turn(self) -> None:
        """Note this turn, and be called in the next."""
        now_s = time.thread_time()
        self.longest_s = max(self.longest_s, now_s - self._last_s)
        self._last_s = now_s
        asyncio.get_running_loop().call_soon(self.turn)


async def prove() -> None:
    rows = [await _swaps(routes, accounts) for routes, accounts in _SIZES]
    rows.append(["aim", "", f"≤ {_AIM_MS:.0f}", ""])
    show(
        f"A worker takes {_SWAPS} plans, one after the other",
        ["routes, accounts", "seconds a plan", "longest turn, ms", "calm, ms"],
        rows,
    )


async def _swaps(routes: int, accounts: int) -> list[str]:
    plans = [plan_of(routes, accounts, share=share) for share in range(0, 100 * _SWAPS, 100)]
    adopted: list[int] = []
    running: list[Generation] = []

    async def adopt(generation: Generation) -> Generation | None:
        adopted.append(generation.number)
        running.append(generation)
        return running.pop(0) if len(running) > 1 else None

    board = Page(memoryview(bytearray(PAGE_BYTES)), Posted)
    page = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
    with tempfile.TemporaryDirectory() as scratch:
        state = StateDir(Path(scratch))
        state.plans.mkdir()
        state.tables.mkdir()
        names = []
        for plan, tables in plans:
            text = encode_plan(plan)
            names.append(plan_name(text))
            state.plan(names[-1]).write_bytes(text)
            for digest, table in tables.items():
                state.table(digest).write_bytes(table)
        del plans
        gc.collect()
        gc.freeze()
        turns = Turns()
        turns.turn()
        follower = asyncio.create_task(
            Follower(board=board, builder=Builder(state), saying=Saying(page, "prove"), adopt=adopt).run()
        )
        turns.begin()
        await asyncio.sleep(1)
        calm_s = turns.longest_s
        turns.begin()
        began_s = time.monotonic()
        for number, name in enumerate(names, 1):
            board.write(Posted(generation=number, plan=name))
            await until(lambda: number in adopted, within_s=60)  # noqa: B023  awaited here
        took_s = (time.monotonic() - began_s) / len(names)
        await asyncio.sleep(1)  # the last but one is still taken apart
        longest_s = turns.longest_s
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
    return [
        f"{routes:,}, {accounts:,}",
        f"{took_s:.2f}",
        beside(longest_s * 1_000, _AIM_MS, 1),
        f"{calm_s * 1_000:.1f}",
    ]


def main() -> None:
    uvloop.run(prove())


if __name__ == "__main__":
    main()
