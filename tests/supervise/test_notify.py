"""What systemd is told, and that nobody else is harmed by telling it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.supervise.notify import Notifier

_TERMINAL = """
import os, pty, signal, sys
from proxy.supervise.signals import Terminal
reading, writing = os.pipe()
pid, master = pty.fork()
if pid == 0:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    terminal = Terminal()
    os.kill(os.getpid(), signal.SIGHUP)
    signal.sigwait({signal.SIGHUP})
    told = [terminal.closed()]
    os.write(writing, b"-")
    signal.sigwait({signal.SIGHUP})
    told.append(terminal.closed())
    os.write(writing, repr(told).encode())
    os._exit(0)
os.read(reading, 1)
os.close(master)
sys.stdout.write(os.read(reading, 99).decode())
os.waitpid(pid, 0)
"""


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    if request.param == "a path":
        name = address = str(tmp_path / "notify")
    elif sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    else:
        name, address = f"@strangler-{os.getpid()}", f"\0strangler-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.bind(address)
        yield sock, name


def heard(sock: socket.socket) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in sock.recv(4096).decode().splitlines())


def test_a_manager_hears_what_happens(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    assert heard(sock) == {"READY": "1"}
    notifier.reloading(4, 10.0)
    told = heard(sock)
    assert told.pop("RELOADING") == "1"
    assert int(told.pop("MONOTONIC_USEC")) > 0
    assert not told
    notifier.tick(4, 44.9)
    notifier.tick(5, 44.9)
    notifier.reloading(5, 50.0)
    notifier.reader_ended(51.0)
    notifier.tick(5, 51.0)
    assert [heard(sock).get("READY") for _ in range(3)] == ["1", None, "1"]
    notifier.status("2 of 2 serve")
    notifier.status("2 of 2 serve")
    notifier.stopping(45.5)
    assert heard(sock) == {"STATUS": "2 of 2 serve"}
    assert heard(sock) == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "45500000"}


def test_a_watchdog_is_fed_twice_in_its_time_and_only_by_the_process_that_it_watches(
    manager: tuple[socket.socket, str],
) -> None:
    sock, name = manager
    asked = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"}
    fed = Notifier(asked | {"WATCHDOG_PID": str(os.getpid())})
    for tenths in range(31):
        fed.alive(100 + tenths / 10)
    Notifier(asked | {"WATCHDOG_PID": "1"}).alive(0)
    Notifier({"NOTIFY_SOCKET": name}).alive(0)
    fed.ready()
    assert [heard(sock) for _ in range(4)] == [{"WATCHDOG": "1"}] * 3 + [{"READY": "1"}]


def test_nobody_is_told_where_nobody_asked(caplog: pytest.LogCaptureFixture) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        notifier = Notifier(environment)
        assert not notifier.listened_to
        notifier.ready()
    assert not caplog.messages


def test_a_manager_that_is_gone_is_complained_about_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    for _ in range(3):
        notifier.ready()
    (message,) = caplog.messages
    assert "can't be told (READY=1)" in message


@pytest.mark.skipif(not Path("/dev/tty").exists(), reason="no terminals here")
def test_a_hangup_of_a_closed_terminal_is_told_from_one_that_somebody_sent() -> None:
    assert signal.SIGHUP
    done = subprocess.run([sys.executable, "-c", _TERMINAL], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[False, True]"
