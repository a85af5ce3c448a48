"""Every error the loader can give, provoked once, with the exact words (docs/errors.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.codes import CODES
from proxy.config.compile import compile_files
from tests.config import base
from tests.config.errors import Row, page, rows

DOCS = Path(__file__).parents[2] / "docs"


def test_the_base_that_errors_are_laid_over_is_valid() -> None:
    compiled = compile_files(base.files())
    assert compiled.plan is not None
    assert [str(complaint) for complaint in compiled.complaints] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.code)
def test_each_problem_is_told_with_its_place_and_remedy(row: Row) -> None:
    told = [str(complaint) for complaint in row.provoke() if complaint.code == row.code]
    assert row.says in told


def test_every_code_is_provoked_and_none_is_unknown() -> None:
    assert [row.code for row in rows()] == list(CODES)


def test_the_page_of_errors_is_what_the_loader_says() -> None:
    # To write it anew: python -m tests.config.write_pages
    assert (DOCS / "errors.md").read_text() == page()
