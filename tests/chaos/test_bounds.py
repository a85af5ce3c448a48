"""What the table of faults promises of what is refused or answered otherwise in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.bounds import ROWS
from tests.chaos.row import Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_bound_is_as_the_table_says(row: Row, tmp_path: Path) -> None:
    assert row.differences(row.scene(row, tmp_path)) == []
