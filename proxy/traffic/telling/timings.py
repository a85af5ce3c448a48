"""Histograms of microseconds, gathered in plain lists and added to the page once a tick."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.model import Backend
    from proxy.core.telling.counters import Counters

BOUNDS_US: Final = (
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
)
"""Upper bounds, inclusive, in microseconds; +Inf follows."""

_BOUNDS: Final = list(BOUNDS_US)  # mypyc makes a constant tuple anew wherever it is used

_AT_ONCE_US: Final = 100
"""An answer that came in one piece ends in the callback that read its head: sooner than this, and well within a bucket."""


class _Gathered:
    """What came since the last tick: how many lie in each bucket, and their sum."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_US) + 1)
        self.sum_us = 0

    def add(self, us: int) -> None:
        self.counts[bisect_left(_BOUNDS, us)] += 1
        self.sum_us += us

    def clear(self) -> None:
        self.counts = [0] * len(self.counts)
        self.sum_us = 0


class _Series:
    """The cells of one histogram: Prometheus buckets, which count everything up to their bound."""

    __slots__ = ("_cells", "_indexes", "_sum_index", "_total_index")

    def __init__(self, counters: Counters, name: str, backend: Backend) -> None:
        bounds = [*(str(bound) for bound in BOUNDS_US), "+Inf"]
        self._cells = counters.cells
        self._indexes = [counters.series(f'{name}_bucket{{backend="{backend}",le="{bound}"}}') for bound in bounds]
        self._sum_index = counters.series(f'{name}_sum{{backend="{backend}"}}')
        self._total_index = counters.series(f'{name}_count{{backend="{backend}"}}')

    def add(self, *several: _Gathered) -> None:
        so_far = 0
        for index, counts in zip(self._indexes, zip(*(one.counts for one in several), strict=True), strict=True):
            so_far += sum(counts)
            if so_far:
                self._cells[index] += so_far
        if so_far:
            self._cells[self._sum_index] += sum(one.sum_us for one in several)
            self._cells[self._total_index] += so_far


class Histogram:
    """One histogram of one backend.

    Args:
        counters: where it is published.
        name: the metric's.
        backend: its label.
    """

    __slots__ = ("_gathered", "_series")

    def __init__(self, counters: Counters, name: str, backend: Backend) -> None:
        self._series = _Series(counters, name, backend)
        self._gathered = _Gathered()

    def add(self, us: int) -> None:
        """Count one."""
        self._gathered.add(us)

    def flush(self) -> None:
        """Publish what was gathered."""
        if self._gathered.sum_us or any(self._gathered.counts):
            self._series.add(self._gathered)
            self._gathered.clear()


class Timings:
    """How long exchanges with one backend took, to the answer's head and to its last byte.

    Most answers come in one piece, and both times are the same then: such an exchange is counted once on the traffic path,
    and published in both histograms. So the second histogram costs only those that are relayed piece by piece.
    """

    __slots__ = ("_at_once", "_durations", "_heads", "_of_durations", "_of_heads")

    def __init__(self, counters: Counters, backend: Backend) -> None:
        self._of_durations = _Series(counters, "strangler_request_duration_us", backend)
        self._of_heads = _Series(counters, "strangler_request_head_us", backend)
        self._at_once, self._durations, self._heads = _Gathered(), _Gathered(), _Gathered()

    def add(self, duration_us: int, head_us: int | None) -> None:
        """Count an exchange.

        Args:
            duration_us: until the answer's last byte.
            head_us: until the answer's head; None: none came.
        """
        if head_us is not None and duration_us - head_us < _AT_ONCE_US:
            gathered = self._at_once
            gathered.counts[bisect_left(_BOUNDS, duration_us)] += 1  # written out: a call more is felt here
            gathered.sum_us += duration_us
            return
        self._durations.add(duration_us)
        if head_us is not None:
            self._heads.add(head_us)

    def flush(self) -> None:
        """Publish what was gathered."""
        self._of_durations.add(self._durations, self._at_once)
        self._of_heads.add(self._heads, self._at_once)
        for gathered in (self._at_once, self._durations, self._heads):
            gathered.clear()
