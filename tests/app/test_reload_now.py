"""Files read on request: by the command, by SIGHUP, and what systemd hears of it and of all the rest."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.node import Node, flag, node
from tests.waiting import until


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    path = tmp_path_factory.mktemp("systemd") / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.bind(str(path))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NOTIFY_SOCKET", str(path))
            yield sock


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, manager: socket.socket) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("node")) as (one, _, _):
        hear(manager, "READY=1")
        yield one


def hear(manager: socket.socket, beginning: str) -> str:
    """Wait for what begins so."""
    while not (told := manager.recv(4096).decode()).startswith(beginning):
        pass
    return told


def test_a_reload_comes_back_when_what_was_edited_is_in_force(running: Node) -> None:
    generation = running.generation()
    running.config.edit("flags/orders.flagd.yaml", flag(100))
    done = json.loads(running.command("reload", "--json"))
    assert (done["generation"], done["code"], done["held_back"]) == (generation + 1, 0, {})
    assert [one["confirmed"] for one in done["workers"]] == [True]
    assert running.get("/orders/1", "acme") == "new"
    told = running.command("reload")
    assert "the files say what was in force already" in told
    assert f"confirmed: 1 worker serves generation {generation + 1}" in told


def test_a_reload_of_a_broken_file_fails_with_its_place_and_puts_the_others_in_force(running: Node) -> None:
    former = running.config.contents["flags/orders.flagd.yaml"]
    generation = running.generation()
    running.config.edit("flags/orders.flagd.yaml", flag(50).replace("fractional", "fractoinal"))
    running.config.edit("pilots.txt", "pilot-1\nacme\n")
    told = running.command("reload", code=1)
    assert 'did you mean "fractional"?' in told
    assert "held back, at their last good version: flags/orders.flagd.yaml" in told
    assert f"serves generation {generation + 1}" in told
    running.config.edit("flags/orders.flagd.yaml", former)
    assert "confirmed" in running.command("reload")


def test_a_reload_without_a_proxy_says_that_nothing_was_read(running: Node, tmp_path: Path) -> None:
    running.state, kept = tmp_path / "nobody", running.state
    try:
        assert "nothing was read: no proxy runs on" in running.command("reload", code=1)
    finally:
        running.state = kept


def test_sighup_reads_the_files_and_the_manager_hears_when_that_is_over(running: Node, manager: socket.socket) -> None:
    generation = running.generation()
    running.config.edit("pilots.txt", "pilot-1\nsomebody-else\n")
    running.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in hear(manager, "RELOADING=1")
    missing = {"READY=1", f"STATUS=workers carry traffic; 1 of 1 serve, generation {generation + 1}"}
    while missing:
        missing.discard(hear(manager, ""))
    assert running.generation() == generation + 1
    assert running.get("/orders/1", "somebody-else") == "new"
    until(lambda: any("read on request: generation" in line for line in running.messages), "the log tells of it")


def test_a_control_that_is_killed_in_a_reload_leaves_nobody_waiting(running: Node, manager: socket.socket) -> None:
    control = running.control_pid()
    os.kill(control, signal.SIGSTOP)
    running.process.send_signal(signal.SIGHUP)
    hear(manager, "RELOADING=1")
    os.kill(control, signal.SIGKILL)
    hear(manager, "READY=1")
    until(lambda: running.control_pid() not in {0, control} and running.readyz(), "another control")


def test_the_manager_hears_of_the_end_and_how_long_it_may_take(running: Node, manager: socket.socket) -> None:
    assert running.end() == 0
    assert hear(manager, "STOPPING=1") == "STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000"
