"""Parts of the comparison, as they are started: measured in small, and ended by a signal without leaving anything behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.node import SIGNALLED, descendants
from tests.docs.reading import ROOT
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("measurable")


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("part", ["websocket", "rollback"])
def test_a_part_measures_ours(part: str) -> None:
    with started(part, "--only", "strangler", "--rounds", "1", "--seconds", "1", "--rate", "200") as program:
        said, complained = program.communicate(timeout=60)
        assert program.returncode == 0, complained
    assert "requests/s" in said or "messages/s" in said


def test_a_comparison_that_is_told_to_end_leaves_nothing_behind() -> None:
    with started("cpu", "--only", "strangler") as program:
        until(lambda: len(descendants(program.pid)) >= 6, "origin and proxy are up")
        everybody = descendants(program.pid)
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=40)
        assert program.returncode == SIGNALLED + signal.SIGTERM
    assert [pid for pid in everybody if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("words", [("nothing",), ("cpu", "--only", "apache")])
def test_what_is_unknown_is_a_usage_error_that_names_the_known(words: tuple[str, ...]) -> None:
    with started(*words) as program:
        _, complained = program.communicate(timeout=30)
        assert program.returncode == 2
    assert "known: " in complained
