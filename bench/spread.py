"""Several rounds as people read them: the median, and how far the rounds lay apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def median(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def cell(figures: Sequence[float], digits: int) -> str:
    """The median, with the least and the most where there were several rounds."""
    shown = f"{median(figures):,.{digits}f}"
    if len(figures) == 1:
        return shown
    return f"{shown} ({min(figures):,.{digits}f}–{max(figures):,.{digits}f})"
