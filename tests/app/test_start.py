"""Processes load gently beside those that serve, and serve with their full share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.app.start import NICENESS
from proxy.supervise.children import AT_ONCE, GENTLY
from tests.docs.reading import ROOT

MODULE = """
import os
import sys
import threading

loaded = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def main():
    print(loaded, os.getpriority(os.PRIO_PROCESS, 0), sys.argv[1:])
"""
OWN = os.getpriority(os.PRIO_PROCESS, 0)


def start(here: Path, how: str, text: str) -> subprocess.CompletedProcess[str]:
    (here / "told.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "proxy.app.start", how, "told", "argument"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{here}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is a process's, not a thread's")
@pytest.mark.parametrize(("how", "loads_at"), [(GENTLY, max(NICENESS, OWN)), (AT_ONCE, OWN)])
def test_modules_are_loaded_gently_or_not_and_run_with_the_full_share(tmp_path: Path, how: str, loads_at: int) -> None:
    assert start(tmp_path, how, MODULE).stdout == f"{loads_at} {OWN} ['argument']\n"


def test_a_module_that_can_not_be_loaded_is_told_once(tmp_path: Path) -> None:
    done = start(tmp_path, GENTLY, "import nowhere_to_be_found\n")
    assert done.returncode == 1
    assert done.stderr.count("No module named 'nowhere_to_be_found'") == 1
