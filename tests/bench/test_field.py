"""Every proxy that is compared does the job: the same split, held for each account, and nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.field import PEERS, Ground, must_do_the_job
from bench.load import drive, script
from bench.origin import origin
from bench.peers.strangler import paths

pytestmark = pytest.mark.usefixtures("measurable")


@pytest.mark.parametrize("name", list(PEERS))
def test_a_peer_splits_the_accounts_and_ends_with_the_block(name: str, tmp_path: Path) -> None:
    if lacks := PEERS[name].missing():
        pytest.skip(f"{PEERS[name].title} is missing: {lacks}")
    with origin(tmp_path / "origin") as systems:
        with PEERS[name].start(Ground(tmp_path, systems).job()) as running:
            must_do_the_job(running, "/area-1/4711")
            measured = drive(running, script(tmp_path, paths(1_000)), seconds=1, connections=4)
            assert measured.requests_per_s > 0
            assert measured.cpu_us > 0
            assert running.worker in running.pids
        assert [pid for pid in running.pids if Path(f"/proc/{pid}").exists()] == []


def test_a_proxy_that_does_another_job_is_not_measured(tmp_path: Path) -> None:
    with origin(tmp_path / "origin") as systems:
        swapped = Ground(tmp_path, type(systems)(legacy=systems.legacy, new=systems.legacy)).job()
        with PEERS["nginx"].start(swapped) as running, pytest.raises(RuntimeError, match="another job"):
            must_do_the_job(running, "/")


@pytest.mark.parametrize("name", [name for name in PEERS if name not in {"naive", "strangler"}])
def test_a_peers_version_is_a_number(name: str) -> None:
    if lacks := PEERS[name].missing():
        pytest.skip(f"{PEERS[name].title} is missing: {lacks}")
    assert re.fullmatch(r"\d+(\.\d+)+", PEERS[name].version())
