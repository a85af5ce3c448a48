"""`strangler demo`: the whole thing, as a newcomer starts it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.node import descendants
from tests.demo.running import Demo, demo
from tests.demo.sample import ask_sample

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="what is left behind is read from /proc (Linux)"
)


@pytest.fixture(scope="module", name="demo")
def a_demo() -> Iterator[Demo]:
    with demo() as running:
        yield running


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
    explained = [line.strip() for line in demo.lines if " explain " in line]
    assert len(explained) == 2
    for line, backend in zip(explained, ("legacy", "new"), strict=True):
        said = subprocess.run(
            line, shell=True, cwd=demo.directory, capture_output=True, text=True, check=True, timeout=30
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
    place = demo.directory
    assert place.is_dir()
    everybody = descendants(demo.process.pid)
    ports = [int(demo.url(name).rpartition(":")[2]) for name in ("Open", "legacy", "new", "health")]
    assert len(everybody) >= 4
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    assert not place.exists()
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
