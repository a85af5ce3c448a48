"""A document's command lines, done as they stand."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.docs.reading import ROOT


def follow(line: str, directory: Path, timeout_s: float | None = None) -> str:
    """Do a line in a directory, `strangler` being the checkout's; what it said on standard output."""
    words = shlex.split(line)
    if words[0] == "strangler":
        words = [sys.executable, "-m", "proxy", *words[1:]]
    done = subprocess.run(
        words,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout
