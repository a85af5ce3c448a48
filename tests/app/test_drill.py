"""`drill` on a running proxy: whom it hits, what it reports, and that it ends, whoever is killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from proxy.cli.main import main
from tests.app.node import Backend, Node, node, run
from tests.waiting import until

Running = tuple[Node, Backend, Backend]
HIT = ("--fault", "status=503", "--share", "100%", "--reason", "game day")
ON_PILOTS = ("orders", "--segment", "pilots", *HIT)


@pytest.fixture(scope="module")
def module_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with node(tmp_path_factory.mktemp("drill"), "--workers", "2") as made:
        yield made


@pytest.fixture
def running(module_running: Running) -> Iterator[Node]:
    one = module_running[0]
    yield one
    drill(one, "--end")
    until(lambda: not entries(one), "every drill is reported")


def entries(running: Node) -> list[Any]:
    path = running.state / "drills.json"
    found: list[Any] = json.loads(path.read_text())["entries"] if path.exists() else []
    return found


def drill(running: Node, *arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, ["drill", *arguments, "--json", "--state", str(running.state)])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if code == 0 else " ".join(done.stderr.split())


def begin(running: Node, *arguments: str) -> Any:
    return drill(running, *arguments, "--detach")["drills"][0]


class Got(NamedTuple):
    status: int
    drill: str | None
    text: str


def ask(running: Node, account: str = "pilot-1", path: str = "/orders/7", method: str = "GET") -> Got:
    """On a connection of its own, so that any worker may take it."""
    with contextlib.closing(http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=20)) as client:
        client.request(method, path, headers={"Cookie": f"acct={account}"})
        answer = client.getresponse()
        return Got(answer.status, answer.headers["X-Strangler-Drill"], answer.read().decode())


@contextlib.contextmanager
def following(running: Node, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, as a person starts it and leaves it running."""
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "drill", *arguments, "--state", str(running.state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            yield command
        finally:
            command.kill()


def story(running: Node, name: str) -> list[Any]:
    """What the journal has of a drill, and of its rollback."""
    lines = [json.loads(line) for line in running.command("journal", "--json").splitlines()]
    return [
        line
        for line in lines
        if (line["action"] in {"drill", "drilled"} and line["after"]["id"] == name) or f"drill {name}" in line["reason"]
    ]


def until_told(running: Node, name: str) -> Any:
    """The journal's last word on a drill."""

    def told() -> Any:
        return [line for line in story(running, name) if line["action"] == "drilled"]

    (event,) = until(told, f"the end of {name}")
    return event


def test_it_hits_the_scope_on_every_worker_and_nobody_else(running: Node) -> None:
    begun = begin(running, *ON_PILOTS, "--for", "2m")
    assert begun["unseen"] == []
    for _ in range(10):
        assert ask(running).status == 503
        assert ask(running, method="POST").drill == begun["id"]
        assert ask(running, "acct-1").text == "legacy"
        assert ask(running, path="/help/").text == "new"
    assert running.metric("strangler_drills_in_force") == 1
    (told,) = running.status()["drills"]
    assert (told["id"], told["scope"]) == (begun["id"], {"area": "orders", "segment": "pilots"})
    assert f"DRILL {begun['id']}" in running.command("status")
    assert f"→ for now drill {begun['id']}" in running.command("explain", "GET", "/orders/7", "--account", "pilot-1")
    assert "for now" not in running.command("explain", "GET", "/orders/7", "--account", "acct-1")
    until(lambda: drill(running, "list")["drills"][0]["hits"] == 20, "both workers have told what they hit")
    (ended,) = drill(running, "--end", begun["id"])["drills"]
    assert ended["over"]
    assert ask(running).text == "new"
    event = until_told(running, begun["id"])
    assert event["after"]["hits"] == 20
    assert event["after"]["rollback"] is None


def test_the_command_follows_it_to_its_end_and_reports(running: Node) -> None:
    with following(running, *ON_PILOTS, "--for", "2m") as command:
        until(lambda: entries(running), "it has begun")
        for _ in range(60):  # workers obey before the command has its answer: these count, too
            ask(running)
        until(lambda: drill(running, "list")["drills"][0]["noticed"], "the instruments have noticed")
        drill(running, "--end")
        out, _ = command.communicate(timeout=30)
        assert command.returncode == 0
    assert "s left, until" in out
    assert "the first request met the fault" in out
    assert "over 5 % of the area's requests fail" in out
    assert "DRILL OVER" in out
    assert "nobody rolled back" in out
    assert entries(running) == []


def test_ctrl_c_ends_it(running: Node) -> None:
    with following(running, *ON_PILOTS, "--for", "2m") as command:
        until(lambda: ask(running).status == 503, "it has begun")
        command.send_signal(signal.SIGINT)
        out, _ = command.communicate(timeout=30)
        assert command.returncode == 0
    assert "DRILL OVER" in out
    assert ask(running).text == "new"


def test_it_ends_by_itself_with_control_stopped_and_is_journaled_once(running: Node) -> None:
    begun = begin(running, *ON_PILOTS, "--for", "3s")
    assert ask(running).status == 503
    control = running.control_pid()
    os.kill(control, signal.SIGSTOP)
    try:
        until(lambda: ask(running).text == "new", "the end of its time")
    finally:
        os.kill(control, signal.SIGCONT)
    event = until_told(running, begun["id"])
    assert event["by"] == "the clock"
    assert event["after"]["hits"] >= 1


def test_a_control_and_workers_that_are_killed_lose_neither_the_drill_nor_its_report(running: Node) -> None:
    begun = begin(running, *ON_PILOTS, "--for", "2m")
    control, worker = running.control_pid(), running.worker_pid()
    os.kill(worker, signal.SIGKILL)
    os.kill(control, signal.SIGKILL)
    until(lambda: run("status", "--state", str(running.state)).returncode == 0, "another control")
    assert running.control_pid() != control
    until(lambda: running.worker_pid() not in {0, worker}, "another worker")
    assert {ask(running).status for _ in range(10)} == {503}
    (ended,) = drill(running, "--end")["drills"]
    assert ended["id"] == begun["id"]
    until_told(running, begun["id"])
    assert [line["action"] for line in story(running, begun["id"])] == ["drill", "drilled"]


def test_a_rollback_takes_requests_out_at_once_and_the_report_says_how_long_it_took(running: Node) -> None:
    begun = begin(running, *ON_PILOTS, "--for", "2m")
    assert ask(running).status == 503
    running.command("rollback", "--area", "orders", "--reason", "errors")
    try:
        assert ask(running).text == "legacy"
        until(lambda: drill(running, "list")["drills"][0]["rollback"], "it is seen")
        (ended,) = drill(running, "--end")["drills"]
    finally:
        running.command("release", "--area", "orders", "--reason", "a drill")
    taken = ended["rollback"]
    assert taken["whole"]
    assert taken["at_s"] > ended["first_hit_s"]
    assert taken["confirmed_s"] >= taken["at_s"]
    assert until_told(running, begun["id"])["after"]["rollback"]["id"] == taken["id"]


def test_a_rehearsed_rollback_is_a_real_one_and_releases_itself(running: Node) -> None:
    assert ask(running).text == "new"
    answer = drill(running, "rollback", "--area", "orders", "--for", "3s", "--reason", "game day", "--detach")
    name, entry = answer["drills"][0]["id"], answer["rollback"]["entry"]
    assert answer["rollback"]["confirmed"]
    assert entry["reason"] == f"drill {name}: game day"
    assert ask(running).text == "legacy"
    event = until_told(running, name)
    assert ask(running).text == "new"
    assert event["after"]["rollback"]["id"] == entry["id"]
    assert event["after"]["answered_by_legacy_s"] > 0
    assert [line["action"] for line in story(running, name)] == ["drill", "rollback", "release", "drilled"]


def test_a_rollback_that_somebody_throws_over_a_rehearsed_one_is_real_and_stays(running: Node) -> None:
    answer = drill(running, "rollback", "--area", "orders", "--for", "2m", "--reason", "game day", "--detach")
    name = answer["drills"][0]["id"]
    running.command("rollback", "--area", "orders", "--reason", "a real one")
    try:
        drill(running, "--end", name)
        until_told(running, name)
        assert ask(running).text == "legacy"
        assert [entry["id"] for entry in running.status()["latch"]["rollbacks"]] == [answer["rollback"]["entry"]["id"]]
    finally:
        running.command("release", "--area", "orders", "--reason", "mended")


def test_a_rehearsed_rollback_waits_for_the_end_of_a_wider_one(running: Node) -> None:
    name = drill(running, "rollback", "--area", "orders", "--for", "2m", "--reason", "game day", "--detach")["drills"][
        0
    ]["id"]
    running.command("rollback", "--reason", "everything")
    drill(running, "--end", name)
    assert len(running.status()["latch"]["rollbacks"]) == 2
    running.command("release", "--reason", "mended")
    until_told(running, name)
    assert running.status()["latch"]["rollbacks"] == []


def test_what_a_rollback_covers_can_not_be_drilled(running: Node) -> None:
    running.command("rollback", "--area", "orders", "--reason", "a test")
    try:
        assert "nobody would meet the fault" in drill(running, *ON_PILOTS, "--for", "2s", code=1)
    finally:
        running.command("release", "--area", "orders", "--reason", "a test")


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("--for", "1m", *HIT), 2, "name an area or a segment"),
        (("--region", "DE", "--for", "1m", *HIT), 2, "name an area or a segment"),
        (("order", "--for", "1m", *HIT), 2, 'did you mean "orders"'),
        (("orders", *HIT), 2, "say for how long"),
        (("orders", "--for", "16m", *HIT), 2, "1 s to 15 m"),
        (("orders", "--for", "1m", "--fault", "reset", "--reason", "-"), 2, "say for how many"),
        (("orders", "--for", "1m", "--fault", "reset", "--share", "101", "--reason", "-"), 2, "above 0 to 100 %"),
        (("orders", "--for", "1m", "--fault", "reset", "--share", "0", "--reason", "-"), 2, "above 0 to 100 %"),
        (("orders", "--for", "1m", "--fault", "fire", "--share", "5%", "--reason", "-"), 2, "is no fault"),
        (("orders", "--for", "1m", "--fault", "reset", "--share", "5%"), 2, "say why"),
        (("rollback", "--for", "1m", "--reason", "-"), 2, "name an area or a segment"),
        (("--end", "d999"), 1, "no drill d999 is on"),
    ],
)
def test_what_is_no_drill_is_refused(running: Node, arguments: tuple[str, ...], code: int, why: str) -> None:
    assert why in drill(running, *arguments, code=code)
    assert entries(running) == []
