"""Where nothing can be measured, there is nothing to test about measuring."""

from __future__ import annotations

import pytest

from bench.machine import must_fit
from bench.options import Skipped


@pytest.fixture
def measurable() -> None:
    try:
        must_fit()
    except Skipped as why:
        pytest.skip(str(why))
