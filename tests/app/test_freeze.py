"""`freeze` on a running proxy: who is held up, for how long, and what it waits for before it says that writes stand still."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.app.node import Backend, Node, node, run
from tests.waiting import until

Running = tuple[Node, Backend, Backend]


@pytest.fixture(scope="module")
def module_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with node(tmp_path_factory.mktemp("freeze"), "--workers", "2") as made:
        yield made


@pytest.fixture
def running(module_running: Running) -> Iterator[Running]:
    yield module_running
    for freeze in in_force(module_running[0]):
        scope = freeze["scope"]
        segment = ("--segment", scope["segment"]) if "segment" in scope else ()
        end(module_running[0], scope["area"], *segment)


def in_force(running: Node) -> list[Any]:
    path = running.state / "freezes.json"
    entries: list[Any] = json.loads(path.read_text())["entries"] if path.exists() else []
    return entries


def freeze(running: Node, *arguments: str, code: int = 0) -> Any:
    done = run("freeze", *arguments, "--reason", "moving data", "--json", "--state", str(running.state))
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout) if code in {0, 3} else done.stderr


def end(running: Node, *arguments: str) -> Any:
    return freeze(running, *arguments, "--end")


def replace_worker(running: Node, slot: int) -> None:
    pid = running.worker_pid(slot)
    os.kill(pid, signal.SIGKILL)
    until(lambda: running.worker_pid(slot) not in {0, pid}, "a successor")


def ask(running: Node, method: str, path: str, account: str = "acct-1") -> httpx.Response:
    with running.client() as client:
        return client.request(method, running.url + path, headers={"Cookie": f"acct={account}"}, content=b"x" * 100)


def test_writes_of_the_area_are_refused_on_both_systems_and_reads_and_other_areas_pass(running: Running) -> None:
    one, _, _ = running
    done = freeze(one, "orders", "--for", "2m")
    assert done["writes"] == 0
    assert [worker["seen"] for worker in done["workers"] if worker["pid"]] == [True, True]
    for account in ("acct-1", "pilot-1"):  # legacy's, and new's
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            refused = ask(one, method, "/orders/7", account)
            assert refused.status_code == 503
            assert 0 < int(refused.headers["Retry-After"]) <= 120
            assert refused.headers["X-Strangler-Error"] == "proxy-request-frozen"
        assert ask(one, "GET", "/orders/7", account).status_code == 200
    assert ask(one, "POST", "/anything").status_code == 200
    end(one, "orders")
    assert ask(one, "POST", "/orders/7").status_code == 200


def test_status_and_explain_tell_it(running: Running) -> None:
    one, _, _ = running
    freeze(one, "orders", "--for", "2m")
    told = one.status()["freezes"]
    assert [(line["scope"], line["writes"], line["unseen"]) for line in told] == [({"area": "orders"}, 0, [])]
    assert 100 < told[0]["left_s"] <= 120
    assert "FROZEN: area orders" in one.command("status")
    assert "→ 503 for now: freeze" in one.command("explain", "POST", "/orders/7", "--account", "acct-1")
    assert "503" not in one.command("explain", "GET", "/orders/7", "--account", "acct-1")


def test_a_rollback_does_not_end_it(running: Running) -> None:
    one, _, _ = running
    freeze(one, "orders", "--for", "2m")
    one.command("rollback", "--area", "orders", "--reason", "a test")
    try:
        assert ask(one, "POST", "/orders/7", "pilot-1").status_code == 503
        assert ask(one, "GET", "/orders/7", "pilot-1").text == "legacy"
    finally:
        one.command("release", "--area", "orders", "--reason", "a test")


def test_the_journal_tells_who_froze_what_and_how_it_ended(running: Running) -> None:
    one, _, _ = running
    freeze(one, "orders", "--segment", "pilots", "--for", "1s")
    until(lambda: not in_force(one), "the end of its time")
    lines = [json.loads(line) for line in one.command("journal", "--json", "--limit", "2").splitlines()]
    told = [line.get("event", line) for line in lines]
    assert [line["action"] for line in told] == ["freeze", "thaw"]
    assert told[0]["scope"] == {"area": "orders", "segment": "pilots"}
    assert told[0]["reason"] == "moving data"
    assert told[1]["by"] == "the clock"


def test_routes_that_are_fixed_are_frozen_too(running: Running) -> None:
    one, _, _ = running
    freeze(one, "help", "--for", "2m")
    assert ask(one, "POST", "/help/").status_code == 503


def test_a_segment_in_an_area_holds_up_nobody_else(running: Running) -> None:
    one, _, _ = running
    freeze(one, "orders", "--segment", "pilots", "--for", "2m")
    assert ask(one, "POST", "/orders/7", "pilot-1").status_code == 503
    assert ask(one, "POST", "/orders/7", "acct-1").status_code == 200


def test_it_waits_for_writes_that_began_before_and_counts_them(running: Running) -> None:
    one, legacy, _ = running
    legacy.waiting.clear()
    answers: list[int] = []
    writer = threading.Thread(target=lambda: answers.append(ask(one, "POST", "/orders/slow").status_code))
    writer.start()
    assert legacy.waiting.wait(10)
    try:
        early = freeze(one, "orders", "--for", "2m", "--wait", "0.5s", code=3)
        assert early["writes"] == 1
        assert ask(one, "POST", "/orders/7").status_code == 503
        again: list[Any] = []
        waiter = threading.Thread(target=lambda: again.append(freeze(one, "orders", "--for", "2m")))
        waiter.start()
        until(lambda: one.status()["generation"], "control answers others while it waits")
        assert waiter.is_alive()
    finally:
        legacy.let_go.set()
    writer.join()
    waiter.join()
    legacy.let_go.clear()
    assert answers == [200]
    assert again[0]["id"] == early["id"]


def test_it_ends_by_itself_even_when_control_is_dead(running: Running) -> None:
    one, _, _ = running
    freeze(one, "orders", "--for", "3s")
    control = one.control_pid()
    os.kill(control, signal.SIGSTOP)
    try:
        assert ask(one, "POST", "/orders/7").status_code == 503
        until(lambda: ask(one, "POST", "/orders/7").status_code == 200, "the end of its time")
    finally:
        os.kill(control, signal.SIGCONT)
    until(lambda: not in_force(one), "control clears the file")


def test_a_file_that_is_removed_ends_nothing_and_comes_back(running: Running) -> None:
    one, _, _ = running
    freeze(one, "orders", "--for", "2m")
    (one.state / "freezes.json").unlink()
    until(lambda: in_force(one), "the file is written again")
    assert ask(one, "POST", "/orders/7").status_code == 503
    end(one, "orders")


def test_a_worker_that_is_started_later_obeys_it_from_its_first_request(running: Running) -> None:
    one, _, _ = running
    freeze(one, "orders", "--for", "2m")
    for slot in range(2):
        replace_worker(one, slot)
    assert {ask(one, "POST", "/orders/7").status_code for _ in range(20)} == {503}


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("order", "--for", "2m"), 2, 'did you mean "orders"'),
        (("orders", "--segment", "pilot", "--for", "2m"), 2, 'did you mean "pilots"'),
        (("orders", "--for", "16m"), 2, "1 s to 15 m"),
        (("orders", "--for", "2h"), 2, "1 s to 15 m"),
        (("orders", "--for", "2d"), 2, "no duration"),
        (("orders", "--end"), 1, "orders is not frozen; in force: nothing"),
    ],
)
def test_what_can_not_be_frozen_is_refused(running: Running, arguments: tuple[str, ...], code: int, why: str) -> None:
    one, _, _ = running
    assert why in " ".join(freeze(one, *arguments, code=code).split()).replace("area ", "")
    assert in_force(one) == []
