"""What a part found, printed as a table and kept as a section of bench/RESULTS.md with its charts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.tables import show

RESULTS: Final = Path(__file__).parent / "RESULTS.md"
CHARTS: Final = Path(__file__).parent / "charts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a line that says what they are."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part's results.

    Attributes:
        title: its heading.
        method: what was done, in sentences.
        tables: what came out.
        charts: SVG texts by file name.
    """

    title: str
    method: str
    tables: Sequence[Table]
    charts: Mapping[str, str] = field(default_factory=dict)


def tell(section: Section) -> None:
    """Print it."""
    for table in section.tables:
        show(f"{section.title}: {table.title}", table.head, table.rows)


def keep(name: str, section: Section) -> None:
    """Put it into the results in place of the part's former section, and write its charts."""
    CHARTS.mkdir(exist_ok=True)
    for file, svg in section.charts.items():
        (CHARTS / file).write_text(svg, encoding="utf-8")
    RESULTS.write_text(placed(RESULTS.read_text("utf-8"), name, markdown(section)), encoding="utf-8")


def keep_machine(text: str) -> None:
    """Put what the figures were measured with into the results."""
    RESULTS.write_text(placed(RESULTS.read_text("utf-8"), "machine", f"{text}\n"), encoding="utf-8")


def placed(text: str, name: str, section: str) -> str:
    """The results with one part's section replaced between its two comments.

    Raises:
        ValueError: the results have no place for that part.
    """
    begins, ends = f"<!-- part: {name} -->\n", f"<!-- end: {name} -->\n"
    pattern = re.compile(f"{re.escape(begins)}.*?{re.escape(ends)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{RESULTS.name} has no place for {name}: {begins.strip()} … {ends.strip()}")
    return pattern.sub(lambda _: f"{begins}{section}{ends}", text)


def markdown(section: Section) -> str:
    """The section as it stands in the results."""
    lines = [f"## {section.title}", "", section.method, ""]
    for table in section.tables:
        lines += [f"{table.title}:", ""] if len(section.tables) > 1 else []
        lines += [_row(table.head), _row(["---", *["---:"] * (len(table.head) - 1)])]
        lines += [*(_row([cells[0].strip(), *cells[1:]]) for cells in table.rows), ""]
    lines += [f"![{section.title}](charts/{file})\n" for file in section.charts]
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('missed', '**missed**') for cell in cells)} |"
