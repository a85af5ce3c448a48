"""What the table of faults promises of drills."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.drills import ROWS, WHOLE_ROWS
from tests.chaos.row import Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_drill_is_as_the_table_says(row: Row, tmp_path: Path) -> None:
    assert row.differences(row.scene(row, tmp_path)) == []


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="needs Linux: ps tells control's pid there as it expects")
@pytest.mark.parametrize("row", WHOLE_ROWS, ids=lambda row: row.id)
def test_a_fault_while_a_drill_is_on_is_as_the_table_says(row: Row, tmp_path: Path) -> None:
    assert row.differences(row.scene(row, tmp_path)) == []
