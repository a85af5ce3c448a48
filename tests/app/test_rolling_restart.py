"""Every worker is replaced while clients send one request after another, and none of them notices."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.app.node import Node, node
from tests.docs.reading import ROOT, blocks
from tests.waiting import until

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="one worker elsewhere")


class Clients:
    """Each sends requests on a kept connection, and opens another when it is told that this was the last."""

    def __init__(self, url: str, count: int) -> None:
        self.answers: Counter[str] = Counter()
        self.faults: list[str] = []
        self._where = urlsplit(url)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        assert self._where.hostname is not None
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(self._where.hostname, self._where.port, timeout=20)
            try:
                last = False
                while not last and not self._stop.is_set():
                    connection.request("GET", "/orders/1")
                    answer = connection.getresponse()
                    last = answer.will_close
                    self.answers[f"{answer.status} {answer.read().decode()}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(f"{type(error).__name__}: {error}")
            finally:
                connection.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def serving(running: Node) -> set[int]:
    return {worker["pid"] for worker in (running.readyz() or {"workers": []})["workers"] if worker["generation"]}


def replaced(running: Node, former: set[int]) -> bool:
    now = serving(running)
    return len(now) == len(former) and not now & former


def test_every_worker_is_replaced_under_load_and_nobody_is_refused_or_cut(tmp_path: Path) -> None:
    with node(tmp_path, "--workers", "2") as (running, legacy, _):
        clients = Clients(running.url, 3)
        slow = threading.Thread(target=lambda: clients.answers.update([f"slow {running.get('/slow')}"]))
        try:
            former = serving(running)
            assert len(former) == 2
            (line,) = (one for one in blocks((ROOT / "docs" / "commands.md").read_text(), "sh") if "USR2" in one)
            subprocess.run(line, shell=True, cwd=tmp_path, check=True)
            until(lambda: any("now the workers are" in line for line in running.messages), "their turn", 120)
            slow.start()
            assert legacy.waiting.wait(20)
            until(lambda: serving(running) - former, "a successor serves")
            legacy.let_go.set()
            until(lambda: replaced(running, former), "two others serve", 40)
            before = sum(clients.answers.values())
            until(lambda: sum(clients.answers.values()) > before + 100, "they are asked")
        finally:
            legacy.let_go.set()
            clients.stop()
            if slow.ident is not None:
                slow.join(20)
        assert clients.faults == []
        assert set(clients.answers) == {"200 legacy", "slow legacy"}
        until(lambda: running.metric("strangler_requests_total") == sum(clients.answers.values()), "none is lost")
        until(lambda: running.metric("strangler_requests_in_flight") == 0, "none hangs")
        numbers = [worker["slot"] for worker in running.status()["workers"]]
        assert len(numbers) == 2, "the slot that is kept free isn't told"
        events = [json.loads(line) for line in running.command("journal", "--json").splitlines()]
        assert [one["after"]["pid"] in serving(running) for one in events if one["action"] == "worker"] == [True, True]


def test_what_was_queued_for_a_dead_worker_waits_for_its_successor(tmp_path: Path) -> None:
    with node(tmp_path) as (running, _, _):
        (pid,) = serving(running)
        os.kill(pid, signal.SIGSTOP)
        where = urlsplit(running.url)
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=20) as sock:
            sock.sendall(b"GET /orders/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            os.kill(pid, signal.SIGKILL)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
