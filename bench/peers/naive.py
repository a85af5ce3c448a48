"""Starlette and httpx under uvicorn with uvloop and httptools, its access log on: see naive_app.py."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.job import Job, Running
from bench.node import LOOPBACK, free_port
from bench.processes import server


def missing() -> str | None:
    return None


def version() -> str:
    return f"{importlib.metadata.version('starlette')} + {importlib.metadata.version('httpx')}"


@contextlib.contextmanager
def run(job: Job) -> Iterator[Running]:
    port = free_port()
    command = [
        *(*job.wrap, sys.executable, "-m", "uvicorn", "bench.peers.naive_app:app"),
        *("--host", LOOPBACK, "--port", str(port), "--app-dir", str(Path(__file__).parents[2])),
        *(("--ssl-certfile", str(job.tls.chain), "--ssl-keyfile", str(job.tls.key)) if job.tls else ()),
    ]
    environment = {"LEGACY_URL": f"http://{LOOPBACK}:{job.legacy}", "NEW_URL": f"http://{LOOPBACK}:{job.new}"}
    with server(command, job.directory, port, environment=environment) as pids:
        yield Running(port=port, pids=pids, worker=pids[-1])
