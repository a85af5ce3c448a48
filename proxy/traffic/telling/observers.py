"""Who looks at exchanges that are over, where the configuration wants more than the usual counts: mostly nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from proxy.core.telling.sightings import Sightings
from proxy.traffic.limits import ticks
from proxy.traffic.telling.export import Spans

if TYPE_CHECKING:
    from proxy.core.generation import Generation
    from proxy.core.telling.pages import TextPage
    from proxy.traffic.exchanges.ending import Ending
    from proxy.traffic.telling.telemetry import Telemetry

Observe = Callable[["Ending", int, bool], None]
"""Hears of an exchange, how many microseconds it took, and whether it was a tunnel or an event stream."""

_PUBLISHED_EVERY: Final = ticks(1.0)


class Observers:
    """The observers of one worker.

    Args:
        telemetry: where they count.
        regions: the page for regions that requests have; None: nobody asks.
    """

    __slots__ = ("_sightings", "_spans", "_telemetry")

    def __init__(self, telemetry: Telemetry, regions: TextPage | None) -> None:
        self._telemetry = telemetry
        self._sightings = None if regions is None else Sightings(regions)
        self._spans: Spans | None = None

    def of(self, generation: Generation) -> tuple[Observe, ...]:
        """Those that a generation wants; what it no longer wants ends."""
        settings = generation.settings
        observers: list[Observe] = []
        collector = None if settings.tracing is None else settings.tracing.export
        if self._spans is None and collector is not None:
            self._spans = Spans()
        if self._spans is not None:
            self._spans.use(collector)
            if collector is not None:
                observers.append(self._spans.exchange)
        if settings.metrics_by_route:
            observers.append(self._count_route)
        if self._sightings is not None and generation.region_sources:
            observers.append(self._see_region)
        return tuple(observers)

    def publish(self, tick: int) -> None:
        """Tell what was gathered; called once a tick."""
        if self._spans is not None:
            self._telemetry.spans(*self._spans.take_counts())
        if self._sightings is not None and tick % _PUBLISHED_EVERY == 0:
            self._sightings.publish(int(time.time()))

    def close(self) -> None:
        """Send the spans that wait, for two seconds at most; called once everything is over."""
        if self._spans is not None:
            self._spans.close()
            self._telemetry.spans(*self._spans.take_counts())

    def _count_route(self, exchange: Ending, duration_us: int, lasted: bool) -> None:  # noqa: FBT001
        decision = exchange.decision
        if decision is not None:
            self._telemetry.route(decision, exchange.status, None if lasted else duration_us)

    def _see_region(self, exchange: Ending, duration_us: int, lasted: bool) -> None:  # noqa: FBT001
        del duration_us, lasted
        decision = exchange.decision
        if decision is not None and decision.region is not None and self._sightings is not None:
            self._sightings.see(decision.region)
