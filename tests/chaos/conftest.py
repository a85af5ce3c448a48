"""What every file of rows leaves behind: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.whole import end_standing


@pytest.fixture(scope="module", autouse=True)
def nothing_stands_afterwards() -> Iterator[None]:
    yield
    end_standing()
