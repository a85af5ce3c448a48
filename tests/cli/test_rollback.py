"""A rollback's whole time is mostly that of its imports: they stay few."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"asyncio", "httpx", "starlette", "uvicorn", "yaml", "uvloop", "re2", "jsonschema_rs", "ssl", "http"}


@pytest.mark.parametrize("way", ["proxy.control.asking", "proxy.app.latch"])
def test_a_rollback_imports_nothing_heavy_with_control_or_without(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, proxy.cli.main, {way}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY & set(done.stdout.split()) == set()
