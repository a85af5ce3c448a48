"""What every test may ask for."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Tests marked `anyio` run on asyncio, on the loop that carries traffic."""
    return "asyncio", {"use_uvloop": True}
