"""Watches the workers' pages for the journal: when each worker had what an event says, and who carries the traffic.

Nobody waits for it. It looks twenty times a second while an event is not confirmed by every worker, and twice otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Final

from proxy.control.history.event import Action, Event, Filter
from proxy.control.history.journal import Journal
from proxy.control.history.journalfile import JournalUnusable
from proxy.control.plans.publish import Publisher, WorkerReport

_LOOK_S: Final = 0.05
_IDLE_LOOKS: Final = 10
_GIVE_UP_S: Final = 120.0  # a worker that hangs that long is killed; its successor confirms other events
_RESUMED: Final = 20  # events before a restart of control that may still lack confirmations

_log = logging.getLogger("control")


class Witness:
    """Confirms events, each once for each worker."""

    def __init__(self, journal: Journal, publisher: Publisher) -> None:
        self._journal = journal
        self._publisher = publisher
        self._new: deque[Event] = deque()
        self._open: dict[str, tuple[Event, set[int]]] = {}
        self._pids: dict[int, int] = {}
        self._seen_any = False

    def expect(self, event: Event) -> None:
        """An event was recorded; may be called from any thread."""
        if event.generation is not None or event.epoch is not None:
            self._new.append(event)

    async def run(self) -> None:
        """Watch until cancelled."""
        self._new.extendleft(await asyncio.to_thread(self._unconfirmed))
        looks = 0
        while True:
            while self._new:
                event = self._new.popleft()
                self._open.setdefault(event.id, (event, set()))
            workers = self._publisher.workers() if self._open or looks % _IDLE_LOOKS == 0 else ()
            if workers:
                self._note_workers(workers)
                self._confirm(workers, time.time())
            looks += 1
            await asyncio.sleep(_LOOK_S)

    def _unconfirmed(self) -> list[Event]:
        """What a former control recorded of the plan that is posted now, and perhaps could not see confirmed."""
        posted = self._publisher.posted
        try:
            lines = self._journal.entries(Filter(limit=_RESUMED))
        except JournalUnusable as error:
            _log.warning("%s", error)
            return []
        return [
            line.event
            for line in lines
            if posted is not None and line.event.generation == posted.generation and line.event.plan == posted.plan
        ]

    def _confirm(self, workers: tuple[WorkerReport, ...], now_s: float) -> None:
        living = {worker.slot for worker in workers if worker.pid}
        for event, seen in list(self._open.values()):
            for worker in workers:
                if worker.slot not in seen and _has(worker, event):
                    seen.add(worker.slot)
                    self._journal.confirmed(event.id, worker.slot, now_s)
            if (living and living <= seen) or now_s - event.at_s > _GIVE_UP_S:
                del self._open[event.id]

    def _note_workers(self, workers: tuple[WorkerReport, ...]) -> None:
        """Another process in a slot; who was there when this control began is no news."""
        for worker in workers:
            known = self._pids.get(worker.slot, 0)
            if worker.pid and worker.pid != known:
                self._pids[worker.slot] = worker.pid
                if self._seen_any:
                    self._journal.record(
                        Event(
                            action=Action.WORKER,
                            by="supervisor",
                            reason="the former one ended" if known else "it takes over",
                            scope={"worker": worker.slot},
                            before={"pid": known or None},
                            after={"pid": worker.pid, "starts": worker.starts},
                        )
                    )
        self._pids = {worker.slot: self._pids.get(worker.slot, 0) for worker in workers}
        self._seen_any = self._seen_any or all(worker.pid for worker in workers)


def _has(worker: WorkerReport, event: Event) -> bool:
    said = worker.confirmed
    if said is None:
        return False
    return (event.generation is None or said.generation >= event.generation) and (
        event.epoch is None or said.epoch >= event.epoch
    )
