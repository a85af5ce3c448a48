"""Write the generated pages and tables of docs/ anew: `python -m tests.config.write_pages`."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.core.telling.metrics import METRICS
from tests.config import errors, reference

DOCS = Path(__file__).parents[2] / "docs"


def metrics_table() -> str:
    """The rows of docs/metrics.md."""
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{name}`' for name in one.labels)} | {one.help} |\n"
        for one in METRICS
    ]
    return "".join(rows)


if __name__ == "__main__":
    (DOCS / "errors.md").write_text(errors.page())
    page = DOCS / "routes.md"
    page.write_text(reference.with_tables(page.read_text()))
    page = DOCS / "traffic.md"
    page.write_text(reference.with_limits(page.read_text()))
    page = DOCS / "metrics.md"
    page.write_text(
        re.sub(r"(?:^\| `strangler_.*\|\n)+", lambda _: metrics_table(), page.read_text(), flags=re.MULTILINE)
    )
