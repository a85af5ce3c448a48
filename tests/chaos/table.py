"""The table of faults as docs/faults.md has it; to write it anew: `python -m tests.chaos.table`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.chaos import backends, bounds, clients, disks, drills, names, proxies
from tests.chaos.row import Row

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"

PARTS: Final = {
    "backends": backends.ROWS,
    "names": names.ROWS,
    "bounds": bounds.ROWS,
    "clients": clients.ROWS,
    "proxies": proxies.ROWS,
    "disks": disks.ROWS,
    "drills": (*drills.ROWS, *drills.WHOLE_ROWS),
}
_HEAD: Final = "| | Fault | Client | Bounded by | Backends | Log | Standard error | Counted as | Then |\n|---|---|---|---|---|---|---|---|---|\n"


def _quoted(text: str, mark: str = "`") -> str:
    return f"{mark}{text}{mark}" if text else "—"


def _rendered(row: Row) -> str:
    cells = (
        f"`{row.id}`",
        row.fault,
        row.client,
        row.within,
        row.backends,
        ", ".join(_quoted(one) for one in row.log.split(", ")) if row.log else "no line",
        f"“{row.says}”" if row.says else "—",
        _metric(row),
        row.recovers,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _metric(row: Row) -> str:
    name, _, labels = row.metric.partition("{")
    if name == "strangler_faults_total" and row.log:
        of = dict(re.findall(r'(\w+)="(\w+)"', labels))
        if "{party}-{stage}-{kind}".format(**of) in row.log:
            return f"`{name}`"
    return _quoted(row.metric)


def with_tables(text: str) -> str:
    """The page with its tables as the rows say; ValueError where one has no place."""
    for name, rows in PARTS.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not begin or not end:
            raise ValueError(f"{PAGE.name} has no place for the table {name}: <!-- {name} --> … <!-- end -->")
        text = f"{before}<!-- {name} -->\n{_HEAD}{''.join(_rendered(row) for row in rows)}{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
