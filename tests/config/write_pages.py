"""Write the generated pages and tables of docs/ anew: `python -m tests.config.write_pages`."""

from __future__ import annotations

from pathlib import Path

from tests.config import errors, reference

DOCS = Path(__file__).parents[2] / "docs"

if __name__ == "__main__":
    (DOCS / "errors.md").write_text(errors.page())
    page = DOCS / "routes.md"
    page.write_text(reference.with_tables(page.read_text()))
