"""What the table of faults promises of names that backends are known by."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.chaos.names import ROWS
from tests.chaos.row import Row

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs two loopback addresses; on macOS: ifconfig lo0 alias 127.0.0.2"
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_fault_of_names_is_as_the_table_says(row: Row, tmp_path: Path) -> None:
    assert row.differences(row.scene(row, tmp_path)) == []
