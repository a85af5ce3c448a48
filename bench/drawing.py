"""Charts as SVG text: bars with the rounds' spread. Readable on light and dark pages, and without colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from bench.spread import median

_WIDTH: Final = 760
_LABELS: Final = 220
_NUMBERS: Final = 90
_BAR: Final = 20
_GAP: Final = 10
_TOP: Final = 40
_CUT: Final = 3.0
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600}.bar{fill:#8aa4c8}.ours{fill:#d9822b}"
    ".spread{stroke:#333;stroke-width:1.5}.aim{stroke:#2b8a3e;stroke-width:1.5;stroke-dasharray:5 4}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.spread{stroke:#ddd}.aim{stroke:#6fcf84}}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row.

    Attributes:
        label: before the bar.
        rounds: what each round measured; the bar is their median, the whisker their spread.
        ours: drawn in the other colour.
    """

    label: str
    rounds: Sequence[float]
    ours: bool = False


def bars(title: str, rows: Sequence[Bar], *, unit: str, digits: int = 1, aim: float | None = None) -> str:
    """A bar chart, its scale from zero.

    Args:
        title: above it, with what the dashed line means where there is an aim.
        rows: from top to bottom. One that is more than three times the next smaller one, and all above it, are cut at
            the edge with their numbers beside them: the others would be too short to compare.
        unit: behind every number.
        digits: of the numbers.
        aim: where a dashed line is drawn.
    """
    scale = (_WIDTH - _LABELS - _NUMBERS) / _most(rows, aim)
    height = _TOP + len(rows) * (_BAR + _GAP)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text class="title" x="0" y="20">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        drawn += _bar(row, _TOP + number * (_BAR + _GAP), scale, f"{median(row.rounds):,.{digits}f} {unit}")
    if aim is not None:
        at = _LABELS + aim * scale
        drawn.append(f'<line class="aim" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 6}" y2="{height - _GAP + 4}"/>')
    return "\n".join([*drawn, "</svg>", ""])


def _most(rows: Sequence[Bar], aim: float | None) -> float:
    """Where the scale ends."""
    figures = sorted(median(row.rounds) for row in rows)
    most = figures[0]
    for figure in figures[1:]:
        if most and figure > _CUT * most:
            break
        most = figure
    within = [max(row.rounds) for row in rows if median(row.rounds) <= most]
    # A single wild round may not shrink the whole chart: its whisker is cut too.
    return max(min(max(within), 1.5 * most), aim or 0.0) or 1.0


def _bar(row: Bar, top: float, scale: float, shown: str) -> list[str]:
    edge = _WIDTH - _NUMBERS
    length = min(median(row.rounds) * scale, edge - _LABELS)
    least, most = (min(_LABELS + figure(row.rounds) * scale, edge) for figure in (min, max))
    middle = top + _BAR / 2
    drawn = [
        f'<text x="{_LABELS - 8}" y="{middle + 5:.1f}" text-anchor="end">{escape(row.label)}</text>',
        f'<rect class="{"ours" if row.ours else "bar"}" x="{_LABELS}" y="{top:.1f}" width="{length:.1f}" height="{_BAR}"/>',
    ]
    if most - least > 1:
        drawn.append(f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>')
    at = max(_LABELS + length, most) + 6
    return [*drawn, f'<text x="{at:.1f}" y="{middle + 5:.1f}">{escape(shown)}</text>']
