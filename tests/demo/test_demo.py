"""`strangler demo`: the whole thing, as a newcomer starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bench.node import descendants
from tests.demo.sample import ask_sample

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="what is left behind is read from /proc (Linux)"
)


@dataclass
class Demo:
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if "Ctrl-C ends everything" in line:
                self.told.set()
        self.told.set()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def url(self, name: str) -> str:
        found = re.search(rf"{name} +(http://\S+)", self.text)
        assert found is not None, self.text
        return found[1].removesuffix("/readyz")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Demo(process)
    reader = threading.Thread(target=running.read)
    reader.start()
    assert running.told.wait(60)
    yield running
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    process.kill()
    reader.join()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize("account", ["acme", "northwind", "borealis", "vertex", "granite"])
def test_the_same_address_is_answered_as_the_sample_decides(demo: Demo, account: str) -> None:
    for path in ("/orders", "/api/orders", "/search", "/documents", "/help", "/blog", "/"):
        answer = httpx.get(demo.url("Open") + path, trust_env=False, cookies={"acct": account})
        told = answer.json()["answered_by"] if path == "/api/orders" else _answered_by(answer)
        assert told == str(ask_sample(path, account).backend)


def test_what_the_demo_says_to_try_works(demo: Demo) -> None:
    tried = [line for line in demo.lines if line.strip().startswith("curl ")]
    assert len(tried) == 2
    for line in tried:
        command, _, expected = line.partition("#")
        said = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=30).stdout
        assert f'"answered_by":"{expected.strip()}"' in said


def test_explain_says_why_for_both_accounts(demo: Demo) -> None:
    place = re.search(r"^ +cd (\S+)", demo.text, flags=re.MULTILINE)
    assert place is not None
    explained = [line.strip() for line in demo.lines if " explain " in line]
    assert len(explained) == 2
    for line, backend in zip(explained, ("legacy", "new"), strict=True):
        said = subprocess.run(
            line, shell=True, cwd=place[1], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        assert f"→ {backend}: by its share" in said
        assert "of the running proxy" in said
        assert "flags/orders.flagd.yaml:13" in said


def test_forms_redirects_sessions_and_uploads_work_through_the_proxy(demo: Demo) -> None:
    for account, system in (("acme", "legacy"), ("northwind", "new")):
        with httpx.Client(base_url=demo.url("Open"), trust_env=False, follow_redirects=True) as browser:
            page = browser.post("/account", data={"account": account, "next": "/orders"})
            assert _answered_by(page) == system
            page = browser.post("/orders", data={"article": "Ledgers", "amount": "12"})
            assert (_answered_by(page), page.history[0].status_code) == (system, 303)
            assert "Ledgers" in page.text
            page = browser.post("/documents", files={"file": ("prices.bin", os.urandom(1_000_000))})
            assert "1,000,000" in page.text


def test_neither_shop_ever_sees_the_others_session(demo: Demo) -> None:
    with httpx.Client(base_url=demo.url("Open"), trust_env=False, cookies={"acct": "northwind"}) as browser:
        seen = [_cookies_seen(browser.get(path)) for path in ("/", "/orders", "/", "/orders")]
        assert {"LEGACYSESSION", "sid"} <= set(browser.cookies)
    assert seen[2:] == [{"acct", "LEGACYSESSION"}, {"acct", "sid"}]


def test_ctrl_c_ends_everything_and_leaves_nothing_behind(demo: Demo) -> None:
    place = re.search(r"^ +cd (\S+)", demo.text, flags=re.MULTILINE)
    assert place is not None
    assert Path(place[1]).is_dir()
    everybody = descendants(demo.process.pid)
    ports = [int(demo.url(name).rpartition(":")[2]) for name in ("Open", "legacy", "new", "health")]
    assert len(everybody) >= 4
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    assert not Path(place[1]).exists()
    assert [pid for pid in everybody if Path(f"/proc/{pid}").exists()] == []
    for port in ports:
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", port)) != 0


def _answered_by(page: httpx.Response) -> str:
    found = re.search(r"Answered by (\w+)", page.text)
    assert found is not None, page.text
    return found[1]


def _cookies_seen(page: httpx.Response) -> set[str]:
    found = re.search(r"Cookies</th><td><code>([^<]*)<", page.text)
    assert found is not None, page.text
    return set(found[1].split("; "))
