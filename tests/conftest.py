"""What every test may ask for."""

from __future__ import annotations

import pytest

from proxy.core.http import message


def pytest_report_header() -> str:
    """Which of the two is tested: the checkout, or what a wheel makes of it (`make native`)."""
    return "traffic path: compiled" if message.__file__.endswith(".so") else "traffic path: Python"


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Tests marked `anyio` run on asyncio, on the loop that carries traffic."""
    return "asyncio", {"use_uvloop": True}
