"""A new version of the program takes over while clients ask one request after another; or it can't, and nothing changes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxy
from tests.app.node import Config, Node, backends, flag
from tests.app.test_rolling_restart import Clients, replaced, serving
from tests.waiting import until

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="one worker elsewhere")

_SOURCE = Path(proxy.__file__).parent


class Installed:
    """A copy of the program behind a link, in whose place another version can be put."""

    def __init__(self, root: Path) -> None:
        self.link = root / "current"
        self._age_s = 0
        shutil.copytree(_SOURCE, root / "1" / "proxy", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        self.link.symlink_to("1")

    def beside(self) -> None:
        """Turn the link to another copy, and remove the former."""
        former = self.link.resolve()
        other = former.with_name(f"{former.name}1")
        shutil.copytree(former, other)
        self.link.unlink()
        self.link.symlink_to(other.name)
        shutil.rmtree(former)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.link / "proxy" / file
        text = path.read_text()
        assert text.count(old) == 1
        other = path.with_suffix(".new")
        other.write_text(text.replace(old, new))
        self._age_s += 10
        made_s = other.stat().st_mtime - self._age_s
        os.utime(other, (made_s, made_s))  # Python looks at seconds and sizes to tell whether compiled code is stale
        other.replace(path)


@contextlib.contextmanager
def started(root: Path, *arguments: str) -> Iterator[tuple[Node, Installed]]:
    installed = Installed(root)
    with backends() as (legacy, new), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(installed.link))
        config = Config(root / "config", legacy.url, new.url)
        command = (sys.executable, "-P", "-m", "proxy")
        running = Node(config, root / "state", "--drain", "10", *arguments, command=command)
        try:
            yield running.wait_ready(), installed
        finally:
            running.end()


def says(running: Node, text: str) -> bool:
    return any(text in line for line in list(running.messages))


def upgrade(running: Node, installed: Installed, former: str, name: str) -> None:
    """Put another version in place, and hold signals against it that would end a program that doesn't listen yet."""
    installed.edit("app/resume.py", former, name)
    workers, control = serving(running), running.control_pid()
    running.process.send_signal(signal.SIGUSR2)
    done = threading.Event()

    def disturb() -> None:
        while not done.wait(0.005):
            running.process.send_signal(signal.SIGUSR1)

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        until(lambda: says(running, f"{name} has taken over") or running.process.poll() is not None, name, 120)
    finally:
        done.set()
        disturbing.join()
    assert running.process.poll() is None
    until(lambda: replaced(running, workers), "all workers are replaced", 120)
    assert running.control_pid() not in {0, control}


def test_version_after_version_takes_over_under_load_and_nobody_is_refused_or_cut(tmp_path: Path) -> None:
    with started(tmp_path, "--workers", "2") as (running, installed):
        running.command("rollback", "--area", "help", "--reason", "smells")
        clients = Clients(running.url, 3)
        try:
            pid = running.process.pid
            upgrade(running, installed, "a new version of the program", "version 2")
            installed.beside()
            upgrade(running, installed, "version 2", "version 3")
            before = sum(clients.answers.values())
            until(lambda: sum(clients.answers.values()) > before + 100, "the last one is asked")
        finally:
            clients.stop()
        assert clients.faults == []
        assert says(running, "control has ended for its successor")
        assert not says(running, "control ended"), "nobody is alarmed by what was planned"
        assert set(clients.answers) == {"200 legacy"}
        until(lambda: running.metric("strangler_requests_total") == sum(clients.answers.values()), "none is lost")
        assert running.process.pid == pid
        assert f"in use by pid {pid}" in _second(running)
        assert running.get("/help/") == "legacy", "the rollback is in force"
        generation = running.generation()
        running.config.edit("flags/orders.flagd.yaml", flag(100))
        running.reloaded(generation + 1)
        assert running.get("/orders/1", "acme") == "new"
        killed = running.worker_pid(0)
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(serving(running)) == 2 and killed not in serving(running), "who falls is replaced")
        actions = running.command("journal")
        assert "told to end" not in actions, "control was replaced, the proxy never ended"
        assert running.end() == 0
        assert not (running.state / "run").exists()


def _second(running: Node) -> str:
    second = Node(running.config, running.state)
    assert second.process.wait(20) == 1
    second.end()
    return "".join(second.messages)


BROKEN = {
    "it can't even be read": ("app/worker.py", "async def work(", "async dfe work(", "SyntaxError"),
    "a part is missing": ("app/control.py", "import asyncio\n", "import asyncio, nowhere\n", "No module named 'nowhere'"),
    "pages of another layout": ("core/telling/pages.py", "LAYOUT: Final = 1", "LAYOUT: Final = 2", "stop it and start it instead"),
    "pages of another size": ("core/telling/pages.py", "LATCH_PAGE_BYTES: Final = 256", "LATCH_PAGE_BYTES: Final = 512", "latch.page has"),
    "another handover": ("supervise/handover.py", "FORMAT: Final = 1", "FORMAT: Final = 2", "has format 1, this version reads 2"),
    "an option that is gone": ("supervise/assignment.py", "drain_delay_s: float", "delay_s: float", "drain_delay_s"),
}  # fmt: skip


def test_a_version_that_can_not_take_over_is_told_and_everything_stays(tmp_path: Path) -> None:
    with started(tmp_path) as (running, installed):
        former = serving(running), running.control_pid()
        for file, old, new, why in BROKEN.values():
            told = len(running.messages)
            installed.edit(file, old, new)
            running.process.send_signal(signal.SIGUSR2)
            until(lambda told=told: any("stays as it was" in line for line in running.messages[told:]), why, 120)  # type: ignore[misc]  # mypy loses the default
            assert why in "".join(running.messages[told:])
            installed.edit(file, new, old)
        running.config.edit("routes.yaml", running.config.contents["routes.yaml"].replace("owner:", "onwer:"))
        told = len(running.messages)
        running.process.send_signal(signal.SIGUSR2)
        until(lambda: any("stays as it was" in line for line in running.messages[told:]), "files that it can't read")
        assert 'did you mean "owner"?' in "".join(running.messages[told:])
        assert (serving(running), running.control_pid()) == former
        assert running.get("/orders/1", "pilot-1") == "new"


def test_the_end_comes_first_whatever_is_being_tried(tmp_path: Path) -> None:
    with started(tmp_path) as (running, installed):
        installed.edit(
            "app/resume.py", "def _try(text: str) -> str:\n", "def _try(text: str) -> str:\n    while True: pass\n"
        )
        running.process.send_signal(signal.SIGUSR2)
        until(lambda: says(running, "trying whether"), "the trial")
        assert running.end() == 0
