"""What all processes counted, summed: `/metrics`, and the requests that `status` shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from proxy.control.history.journal import Journal
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import Reloader
from proxy.control.reaching.probes import Prober
from proxy.control.reaching.resolver import Resolver
from proxy.control.switches.drills import DrillFile
from proxy.control.switches.rollbacks import Rollbacks
from proxy.control.telling.backends import Breakers, HalfOpen
from proxy.core.telling.counters import Counters, is_gauge
from proxy.core.telling.metrics import label, render

_REQUESTS: Final = "strangler_requests_total{"
_HELD_OFF: Final = "strangler_endpoint_held_off{"
_BREAKER: Final = "strangler_breaker_open{"
_HALF_OPEN: Final = "strangler_breaker_half_open_s{"
_ERROR: Final = "5xx"
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

ByArea = dict[str, dict[str, int]]
"""Requests by area and backend; area "-": none."""


class Telemetry:
    """Sums the pages of all slots. Nothing is kept in between: the pages outlive whoever writes or reads them."""

    def __init__(
        self,
        *,
        own: Counters,
        slots: Sequence[Counters],
        publisher: Publisher,
        reloader: Reloader,
        journal: Journal,
        latch: Rollbacks,
        drills: DrillFile,
        prober: Prober,
        resolver: Resolver,
        more: Callable[[], Iterable[tuple[str, int | float]]] = tuple,
    ) -> None:
        """Read nothing yet.

        Args:
            own: control's own counters.
            slots: those of the worker slots.
            publisher: knows the workers.
            reloader: knows the files.
            journal: knows what waits for the disk.
            latch: knows the rollbacks in force.
            drills: knows the drills that are on.
            prober: knows which endpoints are healthy.
            resolver: knows which addresses names have.
            more: levels that others know.
        """
        self._own = own
        self._slots = slots
        self._publisher = publisher
        self._reloader = reloader
        self._journal = journal
        self._latch = latch
        self._drills = drills
        self._prober = prober
        self._resolver = resolver
        self._more = more

    def metrics(self) -> str:
        """The Prometheus text."""
        return render([*self._levels(), *self._more(), *self.sums().items()])

    def requests(self) -> tuple[ByArea, ByArea]:
        """Requests since the supervisor started: all of them, and those that were answered 5xx."""
        return requests_by_area(self.sums())

    def sums(self) -> dict[str, int]:
        """Every series, summed over all processes."""
        living = self._living()
        return sum_pages([(self._own, True), *((page, slot in living) for slot, page in enumerate(self._slots))])

    def beliefs(self) -> dict[tuple[str, str], dict[int, str]]:
        """For each endpoint (backend, URL and address as `Endpoint.name` has them) that a living worker holds requests off: by slot, why."""
        found: dict[tuple[str, str], dict[int, str]] = {}
        for slot, labels, _ in self._said_by_living(_HELD_OFF):
            found.setdefault((labels["backend"], labels["endpoint"]), {})[slot] = labels["why"]
        return found

    def breakers(self) -> Breakers:
        """For each backend whose breaker isn't closed on a living worker: by slot, its state."""
        found: dict[str, dict[int, str]] = {}
        for slot, labels, _ in self._said_by_living(_BREAKER):
            found.setdefault(labels["backend"], {})[slot] = labels["state"]
        return found

    def half_open_s(self) -> HalfOpen:
        """For each backend whose breaker is half open on a living worker: by slot, for how many whole seconds."""
        found: dict[str, dict[int, int]] = {}
        for slot, labels, seconds in self._said_by_living(_HALF_OPEN):
            found.setdefault(labels["backend"], {})[slot] = seconds
        return found

    def _said_by_living(self, start: str) -> Iterator[tuple[int, dict[str, str], int]]:
        """Slot, labels and value of each series that starts so and is above 0."""
        for slot in sorted(self._living()):
            for name, value in self._slots[slot].items():
                if value > 0 and name.startswith(start):
                    yield slot, dict(_LABEL.findall(name)), value

    @property
    def workers(self) -> int:
        """How many workers live."""
        return len(self._living())

    def _living(self) -> set[int]:
        return {worker.slot for worker in self._publisher.workers() if worker.pid}

    def _levels(self) -> Iterator[tuple[str, int]]:
        posted = self._publisher.posted
        for worker in self._publisher.workers():
            yield f'strangler_generation{{worker="{worker.slot}"}}', worker.generation
            said = worker.confirmed
            yield f'strangler_latch_epoch{{worker="{worker.slot}"}}', 0 if said is None else said.epoch
        latch = self._latch.line()
        yield "strangler_latch_epoch_latest", latch.epoch
        yield "strangler_rollbacks_in_force", len(latch.rollbacks)
        yield "strangler_drills_in_force", len(self._drills.lasting())
        yield "strangler_latch_on_disk", int(latch.on_disk and not latch.unreadable)
        if posted is not None:
            yield "strangler_generation_posted", posted.generation
            yield f'strangler_plan_info{{plan="{label(posted.plan)}"}}', 1
        yield "strangler_files_held_back", len(self._reloader.standing.held_back)
        behind = self._journal.behind
        yield "strangler_journal_behind", 0 if behind is None else behind.count
        yield from self._prober.levels()
        yield from self._resolver.levels()
        roster = self._publisher.roster()
        if roster is not None:
            yield 'strangler_starts_total{process="control"}', roster.control_starts
            yield 'strangler_starts_total{process="worker"}', sum(roster.worker_starts)


def requests_by_area(sums: Mapping[str, int]) -> tuple[ByArea, ByArea]:
    """All requests, and those that were answered 5xx, by the backend or for it by the proxy."""
    found: tuple[ByArea, ByArea] = {}, {}
    for name, value in sums.items():
        if name.startswith(_REQUESTS):
            labels = dict(_LABEL.findall(name))
            area, backend = labels.get("area", "-"), labels.get("backend", "")
            for by_area in found if labels.get("status") == _ERROR else found[:1]:
                backends = by_area.setdefault(area, {})
                backends[backend] = backends.get(backend, 0) + value
    return found


def sum_pages(pages: Iterable[tuple[Counters, bool]]) -> dict[str, int]:
    """The sums of several pages by series.

    Args:
        pages: each with whether its writer lives: what a dead worker held open is closed.
    """
    sums: dict[str, int] = {}
    for counters, lives in pages:
        for name, value in counters.items():
            if lives or not is_gauge(name):
                sums[name] = sums.get(name, 0) + value
    return sums
