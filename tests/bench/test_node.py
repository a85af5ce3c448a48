"""What a benchmark or proof starts, it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.node import SIGNALLED, descendants
from proxy.cli.demo.sample import copy_sample

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are read from /proc (Linux)")

_PROGRAM = """
import signal, sys
from pathlib import Path
from bench.node import end_on_signals, node
end_on_signals()
with node(Path(sys.argv[1])):
    print("ready", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_benchmark_that_is_told_to_end_leaves_no_proxy_behind(number: signal.Signals, tmp_path: Path) -> None:
    copy_sample(tmp_path, legacy_url="http://127.0.0.1:1", new_url="http://127.0.0.1:2")
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        everybody = descendants(program.pid)
        assert len(everybody) >= 4
        program.send_signal(number)
        assert program.wait(30) == SIGNALLED + number
    assert [pid for pid in everybody if Path(f"/proc/{pid}").exists()] == []
