"""Waiting until every worker serves a generation."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from proxy.control.plans.publish import Publisher, WorkerReport

_LOOK_S: Final = 0.005


class WorkerConfirmed(msgspec.Struct, frozen=True, kw_only=True):
    """One worker slot.

    Attributes:
        confirmed: it serves the generation, or nobody runs there: whoever starts takes the newest.
        after_ms: how long it took; None: it hasn't confirmed.
        trouble: why it can't run the generation.
    """

    slot: int
    pid: int
    confirmed: bool
    after_ms: float | None = None
    trouble: str = ""


async def confirmed(publisher: Publisher, generation: int, *, since_s: float, within_s: float) -> list[WorkerConfirmed]:
    """Wait until every worker serves a generation, or can't, or the time is over.

    Args:
        publisher: sees the workers' pages.
        generation: at least this one.
        since_s: from when it is counted, monotonic.
        within_s: the longest wait.
    """
    found: dict[int, WorkerConfirmed] = {}
    deadline_s = time.monotonic() + within_s
    while True:
        now_s = time.monotonic()
        workers = publisher.workers()
        for worker in workers:
            former = found.get(worker.slot)
            if former is None or not former.confirmed or former.pid != worker.pid:
                found[worker.slot] = _look(worker, generation, (now_s - since_s) * 1000)
        if now_s >= deadline_s or all(one.confirmed or one.trouble for one in found.values()):
            return [found[slot] for slot in sorted(found)]
        await asyncio.sleep(_LOOK_S)


def _look(worker: WorkerReport, generation: int, after_ms: float) -> WorkerConfirmed:
    if not worker.pid:
        return WorkerConfirmed(slot=worker.slot, pid=0, confirmed=True, after_ms=round(after_ms, 1))
    said = worker.confirmed
    if said is not None and said.generation >= generation:
        return WorkerConfirmed(slot=worker.slot, pid=worker.pid, confirmed=True, after_ms=round(after_ms, 1))
    trouble = said.trouble if said is not None and said.refused >= generation else ""
    return WorkerConfirmed(slot=worker.slot, pid=worker.pid, confirmed=False, trouble=trouble)
