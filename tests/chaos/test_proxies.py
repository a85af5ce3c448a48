"""What the table of faults promises of the proxy's own processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.proxies import ROWS
from tests.chaos.row import Row

pytestmark = pytest.mark.skipif(
    os.uname().sysname != "Linux", reason="one worker elsewhere, and no limits of other processes"
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_fault_of_the_proxy_itself_is_as_the_table_says(row: Row, tmp_path: Path) -> None:
    assert row.differences(row.scene(row, tmp_path)) == []
