"""`canary` on a running proxy: what it changes, what it refuses, and what every request after it is decided by."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.node import Node, flag, node, run
from tests.waiting import until

ACCOUNTS = [f"acct-{number}" for number in range(24)]
FLAG = "flags/orders.flagd.yaml"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path, "--workers", "2") as (made, _, _):
        yield made


def canary(running: Node, *arguments: str, code: int = 0) -> Any:
    done = run("canary", *arguments, "--reason", "a test", "--json", "--state", str(running.state))
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout) if code in {0, 3, 5} else done.stderr


def on_disk(running: Node) -> str:
    return (running.config.root / FLAG).read_text()


def test_every_request_after_a_percentage_goes_where_explain_says(running: Node, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.txt"
    accounts.write_text("\n".join(ACCOUNTS))
    stop = threading.Event()
    wrong: list[str] = []

    def load() -> None:
        with running.client() as client:
            while not stop.is_set():
                answer = client.get(f"{running.url}/orders/1", headers={"Cookie": "acct=acct-1"})
                if answer.status_code != 200:
                    wrong.append(answer.text)

    loads = [threading.Thread(target=load) for _ in range(2)]
    for one in loads:
        one.start()
    try:
        for percent in ("50", "12.5", "100"):
            done = canary(running, "orders", "--percent", percent)
            answered = {account: running.get_afresh("/orders/7", account) for account in ACCOUNTS}
            told = json.loads(running.command("explain", "GET", "/orders/7", "--accounts", str(accounts), "--json"))
            assert answered == {one["account"]: one["backend"] for one in told}
            assert [one["confirmed"] for one in done["workers"]] == [True, True]
            assert done["after"]["share_percent"] == float(percent)
    finally:
        stop.set()
        for one in loads:
            one.join()
    assert not wrong


def test_it_changes_the_span_and_nothing_else_and_follows_the_links_to_the_file(running: Node) -> None:
    before = on_disk(running)
    real = (running.config.root / FLAG).resolve()
    real.chmod(0o640)
    done = canary(running, "orders", "--percent", "25", "--add-segment", "pilots")
    assert on_disk(running) == before.replace("[[new, 0], [legacy, 100]]", "[[new, 25], [legacy, 75]]")
    assert (running.config.root / FLAG).resolve() == real
    assert real.stat().st_mode & 0o777 == 0o640
    assert done["diff"].splitlines()[-2:] == [
        "-        - fractional: [[new, 0], [legacy, 100]]",
        "+        - fractional: [[new, 25], [legacy, 75]]",
    ]
    again = canary(running, "orders", "--percent", "25")
    assert not again["changed"]
    assert again["generation"] == done["generation"]


def test_an_area_without_a_flag_gets_one(running: Node) -> None:
    running.config.edit(
        "routes.yaml",
        running.config.contents["routes.yaml"].replace("  help:", "  cart: {routes: [{path: /cart}]}\n  help:"),
    )
    running.reloaded(2)
    done = canary(running, "cart", "--add-segment", "pilots")
    assert done["before"] is None
    assert done["file"] == "flags/cart.flagd.yaml"
    assert running.get("/cart", "pilot-1") == "new"
    assert running.get("/cart", "acct-1") == "legacy"


def test_what_can_not_be_edited_is_refused_with_the_reason_and_changes_nothing(running: Node) -> None:
    assert 'did you mean "orders"' in canary(running, "order", "--percent", "25", code=2)
    assert 'did you mean "pilots"' in canary(running, "orders", "--add-segment", "pilot", code=2)
    assert "every route of it says `to:`" in canary(running, "help", "--percent", "25", code=1)
    assert "--percent: a share is 0 to 100" in canary(running, "orders", "--percent", "101", code=2)
    by_hand = flag(0).replace("state: ENABLED", "state: DISABLED")
    running.config.edit(FLAG, by_hand)
    running.reloaded(2)
    refused = canary(running, "orders", "--percent", "25", code=1)
    assert "written by hand (flags/orders.flagd.yaml:2:3: its state is DISABLED)" in refused
    assert "strangler rollback --area orders" in refused
    assert on_disk(running) == by_hand


def test_a_file_that_is_broken_on_disk_is_refused_and_kept(running: Node) -> None:
    broken = flag(0) + "  orders: {}\n"
    running.config.edit(FLAG, broken)
    until(lambda: running.readyz()["held_back"], "the broken file is held back")
    assert "mend it first" in canary(running, "orders", "--percent", "25", code=1)
    assert on_disk(running) == broken


def test_a_patch_is_printed_and_nothing_changed_where_flags_are_read_only(tmp_path: Path) -> None:
    with node(tmp_path, "--flags-readonly") as (running, _, _):
        before = on_disk(running)
        done = run(
            "canary",
            "orders",
            "--percent",
            "25",
            "--add-segment",
            "pilots",
            "--reason",
            "x",
            "--state",
            str(running.state),
        )
        assert done.returncode == 5
        assert "the flags are read-only" in done.stderr
        assert on_disk(running) == before
        assert running.generation() == 1
        applied = subprocess.run(
            ["patch", "-p1", "--follow-symlinks"],
            input=done.stdout,
            text=True,
            cwd=running.config.root,
            check=False,
            capture_output=True,
        )
        assert applied.returncode == 0, applied.stdout
        running.reloaded(2)
        assert on_disk(running) == before.replace("[[new, 0], [legacy, 100]]", "[[new, 25], [legacy, 75]]")


def test_a_worker_that_is_stopped_is_named_until_another_serves(running: Node) -> None:
    pid = running.worker_pid(1)
    os.kill(pid, signal.SIGSTOP)
    done = canary(running, "orders", "--percent", "25")  # the supervisor kills it after 10 s of silence
    assert [one["confirmed"] for one in done["workers"]] == [True, True]
    assert running.worker_pid(1) != pid


def test_with_control_dead_it_says_so_and_what_works(running: Node) -> None:
    before = on_disk(running)
    running.end()
    refused = canary(running, "orders", "--percent", "25", code=1)
    assert "nothing was changed" in refused
    assert "strangler rollback --area orders" in refused
    assert on_disk(running) == before
