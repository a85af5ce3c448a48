"""One running proxy: who answers, what edits do, and what is left when parts of it are killed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

from proxy.core.telling.metrics import METRICS
from tests.app.node import Config, Node, flag, node, run
from tests.waiting import until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("node")) as (one, _, _):
        yield one


@pytest.fixture
def clean(running: Node) -> Node:
    """The node with its files as they were: nothing to new but pilots."""
    before = running.config.contents["flags/orders.flagd.yaml"]
    if before != flag(0):
        generation = running.generation()
        running.config.edit("flags/orders.flagd.yaml", flag(0))
        until(lambda: running.generation() > generation or not _differs(running), "the flag as it was")
    until(lambda: (body := running.readyz()) and not body["held_back"], "no file held back")
    return running


def _differs(running: Node) -> bool:
    return running.get("/orders/1", "acme") != "legacy"


def test_requests_are_answered_by_the_system_that_the_files_say(clean: Node) -> None:
    assert clean.get("/orders/1", "pilot-1") == "new"
    assert clean.get("/orders/1", "acme") == "legacy"
    assert clean.get("/help/") == "new"
    assert clean.get("/anything") == "legacy"


def change_in_place(config: Config) -> None:
    config.edit("flags/orders.flagd.yaml", flag(100))


def change_by_rename(config: Config) -> None:
    config.rename_over("flags/orders.flagd.yaml", flag(100))


def change_by_an_older_file(config: Config) -> None:
    config.rename_over("flags/orders.flagd.yaml", flag(100), age_s=86_400)


def change_by_symlink(config: Config) -> None:
    config.contents["flags/orders.flagd.yaml"] = flag(100)
    config.swap()


@pytest.mark.parametrize("change", [change_in_place, change_by_rename, change_by_an_older_file, change_by_symlink])
def test_every_kind_of_edit_is_in_force_soon(clean: Node, change: Callable[[Config], None]) -> None:
    generation = clean.generation()
    change(clean.config)
    clean.reloaded(generation + 1)
    assert clean.get("/orders/1", "acme") == "new"


def test_an_edit_that_changes_no_meaning_makes_no_generation(clean: Node) -> None:
    generation, reloads = clean.generation(), clean.metric("strangler_reloads_total")
    clean.config.edit("flags/orders.flagd.yaml", flag(0) + "# a remark\n")
    until(lambda: clean.metric("strangler_reloads_total") > reloads, "the edit was read")
    assert clean.generation() == generation


def test_a_broken_edit_changes_nothing_and_is_told_once_with_place_and_remedy(clean: Node) -> None:
    generation = clean.generation()
    clean.config.edit("flags/orders.flagd.yaml", flag(50).replace("fractional", "fractoinal"))
    body = until(lambda: (body := clean.readyz())["held_back"] and body, "the file is held back")
    assert body["ready"] is True
    assert body["held_back"] == ["flags/orders.flagd.yaml"]
    (complaint,) = body["complaints"]
    assert complaint.startswith("flags/orders.flagd.yaml:10:")
    assert 'did you mean "fractional"?' in complaint
    assert body["generation"] == generation
    assert clean.get("/orders/1", "acme") == "legacy"
    told = clean.command("status")
    assert f"health and metrics on {clean.ops}" in told
    assert "held back, at their last good version:\n  flags/orders.flagd.yaml\n" in told
    assert told.count(complaint) == told.count("flags/orders.flagd.yaml:") == 1
    # Another file goes through meanwhile, and the complaint isn't repeated for it.
    clean.config.edit("pilots.txt", "pilot-1\nacme\n")
    clean.reloaded(generation + 1)
    assert clean.get("/orders/1", "acme") == "new"
    assert sum(complaint in line for line in clean.messages) == 1
    clean.config.edit("pilots.txt", "pilot-1\n")
    clean.reloaded(generation + 2)
    clean.config.edit("flags/orders.flagd.yaml", flag(100))
    clean.reloaded(generation + 3)
    assert clean.readyz()["complaints"] == []


class Steady:
    """A client that asks all the time, on one kept connection after the other."""

    def __init__(self, url: str) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._url = url
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        while not self._end.is_set():
            with httpx.Client(trust_env=False, timeout=20) as client:
                for _ in range(20):
                    try:
                        answer = client.get(f"{self._url}/anything")
                    except httpx.TransportError as error:
                        self.failures.append(repr(error))
                        break
                    if answer.text != "legacy":
                        self.failures.append(answer.text)
                    self.answers += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)


def test_traffic_does_not_notice_that_control_is_killed_and_control_comes_back(clean: Node) -> None:
    generation = clean.generation()
    with Steady(clean.url) as steady:
        for _ in range(2):
            pid = clean.control_pid()
            os.kill(pid, signal.SIGKILL)
            another_control(clean, pid)
        before = steady.answers
        until(lambda: steady.answers > before + 20, "traffic goes on")
    assert steady.failures == []
    assert clean.generation() == generation
    clean.config.edit("flags/orders.flagd.yaml", flag(100))
    clean.reloaded(generation + 1)


def another_control(running: Node, former: int) -> None:
    until(lambda: running.control_pid() not in {0, former} and running.readyz(), "another control")


def test_a_control_that_comes_back_to_broken_files_keeps_what_runs(clean: Node) -> None:
    generation = clean.generation()
    clean.config.edit("flags/orders.flagd.yaml", flag(50).replace("fractional", "fractoinal"))
    until(lambda: clean.readyz()["held_back"], "the file is held back")
    pid = clean.control_pid()
    os.kill(pid, signal.SIGKILL)
    another_control(clean, pid)
    until(lambda: clean.readyz()["held_back"], "still held back")
    assert clean.generation() == generation
    assert clean.get("/orders/1", "acme") == "legacy"
    assert [area["status"] for area in clean.status()["areas"]] == ["canary", "live"]


def test_a_killed_worker_is_replaced_and_its_counts_stay(clean: Node) -> None:
    before = clean.metric("strangler_requests_total")
    clean.get("/anything")
    until(lambda: clean.metric("strangler_requests_total") > before, "the request is counted")
    counted, pid = clean.metric("strangler_requests_total"), clean.worker_pid()
    os.kill(pid, signal.SIGKILL)
    # The kernel keeps new connections in the supervisor's socket until the successor accepts them.
    with httpx.Client(trust_env=False, timeout=20) as client:
        assert client.get(f"{clean.url}/anything").text == "legacy"
    until(lambda: clean.worker_pid() != pid, "another worker")
    assert clean.metric("strangler_requests_total") >= counted
    assert clean.metric("strangler_client_connections_open") <= 2, "what the dead one held open is not counted"


def test_a_worker_starts_without_control(clean: Node) -> None:
    clean.config.edit("flags/orders.flagd.yaml", flag(100))
    until(lambda: clean.get("/orders/1", "acme") == "new", "the flag is in force")
    control, worker = clean.control_pid(), clean.worker_pid()
    os.kill(control, signal.SIGSTOP)
    try:
        os.kill(worker, signal.SIGKILL)
        with httpx.Client(trust_env=False, timeout=20) as client:
            answer = client.get(f"{clean.url}/orders/1", headers={"Cookie": "acct=acme"})
        assert answer.text == "new"
    finally:
        os.kill(control, signal.SIGCONT)


def test_explain_says_what_the_traffic_path_does_and_which_plan_it_speaks_of(clean: Node) -> None:
    told = clean.command("explain", "GET", "/orders/1", "--account", "pilot-1")
    assert told.startswith(f"of the running proxy (generation {clean.generation()}")
    assert "→ new: a clause of the flag says so (flags/orders.flagd.yaml:8:11)" in told
    one = json.loads(clean.command("explain", "GET", "/orders/1", "--account", "acme", "--json"))
    assert (one["backend"], one["reason"], one["source"]) == (clean.get("/orders/1", "acme"), "share", "running")
    what_if = json.loads(
        clean.command("explain", "GET", "/orders/1", "--account", "acme", "--percent", "100", "--json")
    )
    assert what_if["backend"] == "new"
    assert (what_if["plan"], what_if["generation"]) == (one["plan"], one["generation"])
    assert what_if["what_if"] == {"area": "orders", "flag": "orders", "percent": 100.0, "now_percent": 0.0}


def test_explain_says_under_which_name_the_access_log_has_the_account(clean: Node) -> None:
    clean.get("/orders/in-the-log", "acme")
    (line,) = until(
        lambda: [one for one in list(clean.log_lines) if "/orders/in-the-log" in one], "the request is logged"
    )
    name = json.loads(line)["account"]
    assert f"in the log {name}\n" in clean.command("explain", "GET", "/orders/1", "--account", "acme")
    assert json.loads(clean.command("explain", "GET", "/orders/1", "--json"))["account_in_log"] is None


def test_explain_asks_the_running_proxy_for_many_accounts(clean: Node, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.txt"
    accounts.write_text("".join(f"acct-{number}\n" for number in range(1200)) + "pilot-1\n")
    asked = ("explain", "GET", "/orders/1", "--accounts", str(accounts), "--json")
    told = {one["account"]: one["backend"] for one in json.loads(clean.command(*asked))}
    assert len(told) == 1201
    assert [account for account, backend in told.items() if backend == "new"] == ["pilot-1"]


def test_a_question_that_can_not_be_asked_is_a_usage_error_of_the_running_proxy_too(clean: Node) -> None:
    assert "no region" in clean.command("explain", "GET", "/orders/1", "--region", "DE", code=2)
    assert "no flag decides" in clean.command("explain", "GET", "/elsewhere", "--percent", "5", code=2)


def test_every_metric_that_is_told_stands_in_the_table(clean: Node) -> None:
    text = httpx.get(f"{clean.ops}/metrics", trust_env=False).text
    assert "untyped" not in text
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert told <= {metric.name for metric in METRICS}


def test_livez_answers_and_unknown_paths_do_not(clean: Node) -> None:
    assert httpx.get(f"{clean.ops}/livez", trust_env=False).text == "alive\n"
    assert httpx.get(f"{clean.ops}/admin", trust_env=False).status_code == 404


def test_a_second_proxy_on_the_same_state_is_refused_and_told_who_holds_it(clean: Node) -> None:
    done = run("serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", *clean._places())
    assert done.returncode == 1
    assert f"in use by pid {clean.process.pid}" in done.stderr


def test_secrets_of_the_state_directory_are_private(clean: Node) -> None:
    for path in clean.state.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.stat().st_mode & 0o077 == 0, path
    assert (clean.state / "log.key").stat().st_size == 32
    assert Path(clean.state / "control.sock").stat().st_mode & 0o077 == 0
