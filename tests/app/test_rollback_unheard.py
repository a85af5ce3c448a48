"""A rollback is thrown before anything is told of it: whoever throws one may have lost their terminal, or a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.node import node

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def test_a_rollback_that_nobody_hears_of_is_in_force_and_its_exit_code_says_so(tmp_path: Path) -> None:
    def throw(area: str) -> int:
        with open("/dev/full", "w") as full:  # noqa: PTH123 - what is there is no file
            words = [sys.executable, "-m", "proxy", "rollback", "--area", area, "--reason", "x"]
            return subprocess.run(
                [*words, "--state", str(running.state)], stdout=full, stderr=full, check=False, timeout=60
            ).returncode

    def thrown() -> set[str]:
        latch = json.loads((running.state / "latch.json").read_text())
        return {entry["scope"]["area"] for entry in latch["entries"]}

    with node(tmp_path) as (running, _, _):
        assert throw("orders") == 0
        assert thrown() == {"orders"}
        control = running.control_pid()
        os.kill(control, signal.SIGSTOP)  # then the command writes the latch itself
        try:
            assert throw("help") == 0
            assert thrown() == {"orders", "help"}
        finally:
            os.kill(control, signal.SIGCONT)
