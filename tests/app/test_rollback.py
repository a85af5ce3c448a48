"""The latch in real processes: what a rollback does, what it survives, and what nothing but a release lifts."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.telling.regions import regions_seen
from proxy.core.layout import StateDir
from tests.app.node import Config, Node, backends, flag, node, run
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="two workers")


@contextlib.contextmanager
def two_workers(root: Path) -> Iterator[Node]:
    """A node of two workers that sends `orders` and `help` to new."""
    with node(root, "--workers", "2") as (one, _, _):
        one.config.edit("flags/orders.flagd.yaml", flag(100))
        one.reloaded(2)
        assert one.get("/orders/1", "acme") == "new"
        yield one


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with two_workers(tmp_path_factory.mktemp("node")) as one:
        yield one


@pytest.fixture
def running(shared: Node) -> Iterator[Node]:
    yield shared
    while shared.status()["latch"]["rollbacks"]:
        newest = max(shared.status()["latch"]["rollbacks"], key=lambda one: len(one["scope"]) == 0)
        shared.command("release", newest["id"], "--reason", "the test is over")


def throw(one: Node, *options: str, code: int = 0) -> Any:
    done = run("rollback", *options, "--reason", "smells", "--json", "--state", str(one.state))
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


def answers(one: Node) -> tuple[str, str, str]:
    """Who answers orders for a pilot, orders for anybody, and help."""
    return one.get("/orders/1", "pilot-1"), one.get("/orders/1", "acme"), one.get("/help/")


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ([], ("legacy", "legacy", "legacy")),
        (["--area", "orders"], ("legacy", "legacy", "new")),
        (["--segment", "pilots"], ("legacy", "new", "new")),
        (["--area", "orders", "--segment", "pilots"], ("legacy", "new", "new")),
        (["--area", "help", "--segment", "pilots"], ("new", "new", "new")),
    ],
)
def test_a_rollback_covers_its_scope_from_the_next_request_on(
    running: Node, scope: list[str], expected: tuple[str, str, str]
) -> None:
    said = throw(running, *scope)
    assert answers(running) == expected
    assert said["confirmed"]
    assert said["on_disk"]
    assert [worker["ms"] is not None for worker in said["workers"]] == [True, True]


def test_how_warm_legacy_is_stands_beside_the_switch(running: Node) -> None:
    told = running.status()["legacy_warm"]
    assert (told["endpoints"], told["healthy"], told["hours"]) == (1, 1, 24)
    assert "healthy 1 of 1; carried at most" in running.command("status")
    said = running.command("rollback", "--reason", "x").splitlines()
    assert "healthy 1 of 1; carried at most" in said[0]
    assert throw(running)["legacy_warm"]["healthy"] == 1
    assert running.metric("strangler_legacy_carried_most_per_second") >= 0


def test_separate_rollbacks_add_and_each_is_released_by_itself(running: Node) -> None:
    first = throw(running, "--area", "orders")["entry"]["id"]
    throw(running, "--area", "help")
    assert answers(running) == ("legacy", "legacy", "legacy")
    running.command("release", first, "--reason", "mended")
    assert answers(running) == ("new", "new", "legacy")
    running.command("release", "--area", "help", "--reason", "mended")
    assert answers(running) == ("new", "new", "new")


def test_the_same_scope_thrown_again_stays_one_rollback_and_is_told(running: Node) -> None:
    first = throw(running, "--area", "orders")
    again = throw(running, "--area", "orders")
    assert (again["stood"], again["entry"]["id"]) == (True, first["entry"]["id"])
    assert len(running.status()["latch"]["rollbacks"]) == 1


def test_a_release_of_another_or_a_narrower_scope_is_refused_by_name(running: Node) -> None:
    wide = throw(running)["entry"]["id"]
    throw(running, "--area", "orders")
    assert f"lies within {wide} (everything)" in running.command("release", "--area", "orders", "--reason", "x", code=1)
    assert f"{wide} (everything)" in running.command("release", "--area", "help", "--reason", "x", code=1)
    assert "no such rollback" in running.command("release", "r999", "--reason", "x", code=1)
    assert answers(running) == ("legacy", "legacy", "legacy")


def test_unknown_names_are_usage_errors_that_name_the_nearest_and_an_unseen_region_is_said(running: Node) -> None:
    assert 'did you mean "orders"?' in running.command("rollback", "--area", "order", "--reason", "x", code=2)
    assert 'did you mean "pilots"?' in running.command("rollback", "--segment", "pilot", "--reason", "x", code=2)
    assert "no request of the last 15 minutes had region DE" in running.command(
        "rollback", "--region", "DE", "--reason", "x"
    )
    assert answers(running) == ("new", "new", "new")


def test_a_region_that_requests_have_is_rolled_back_without_a_word(tmp_path: Path) -> None:
    with two_workers(tmp_path) as one:
        routes = one.config.contents["routes.yaml"]
        one.config.edit("routes.yaml", routes.replace("segments:\n", '  region: "cookie:region"\nsegments:\n', 1))
        one.reloaded(3)
        assert one.get("/help/", "acme; region=AT") == "new"
        until(lambda: "AT" in regions_seen(StateDir(one.state)).last_s, "the region is published")
        assert throw(one, "--region", "AT")["notes"] == []
        assert one.get("/help/", "acme; region=AT") == "legacy"
        assert one.get("/help/", "acme; region=DE") == "new"


def test_status_explain_readyz_and_metrics_tell_the_rollback_first(running: Node) -> None:
    name = throw(running, "--area", "orders")["entry"]["id"]
    assert running.command("status").startswith(f"ROLLED BACK  {name}  area orders: smells, by ")
    explained = running.command("explain", "GET", "/orders/1", "--account", "acme")
    assert f"rollback {name} (area orders)" in explained
    assert "→ legacy: a rollback covers the request" in explained
    body = running.readyz()
    assert [one["id"] for one in body["latch"]["rollbacks"]] == [name]
    assert {worker["epoch"] for worker in body["workers"]} == {body["latch"]["epoch"]}
    assert running.metric("strangler_rollbacks_in_force") == 1
    assert running.metric("strangler_latch_on_disk") == 1


def test_a_retired_area_is_named_as_not_covered(tmp_path: Path) -> None:
    with node(tmp_path) as (one, _, _):
        text = one.config.contents["routes.yaml"]
        blog = '  blog:\n    retired: true\n    routes: [{path: "/blog/**"}]\notherwise'
        one.config.edit("routes.yaml", text.replace("otherwise", blog))
        one.reloaded(2)
        assert one.command("rollback", "--reason", "x").splitlines()[1].startswith("NOT COVERED: blog (retired")
        assert one.get("/blog/1") == "new"
        assert one.get("/help/") == "legacy"


def test_the_file_rollback_rolls_back_everything_and_removing_it_lifts_nothing(running: Node) -> None:
    file = running.state / "ROLLBACK"
    file.touch()
    until(lambda: answers(running) == ("legacy",) * 3, "everything on legacy")
    file.unlink()
    until(lambda: running.status()["latch"]["rollbacks"], "an entry of its own")
    assert answers(running) == ("legacy",) * 3
    assert running.status()["latch"]["rollbacks"][0]["reason"].startswith("the file ROLLBACK")
    running.command("release", "--reason", "mended")
    assert answers(running) == ("new",) * 3


def test_a_release_deletes_the_file_rollback_first(running: Node) -> None:
    (running.state / "ROLLBACK").touch()
    until(lambda: running.status()["latch"]["rollbacks"], "an entry")
    running.command("release", "--reason", "mended")
    assert not (running.state / "ROLLBACK").exists()
    assert answers(running) == ("new",) * 3


def test_a_release_that_cant_delete_the_file_rollback_fails_and_changes_nothing(running: Node) -> None:
    (running.state / "ROLLBACK").mkdir()  # `unlink` refuses a directory, also to root
    until(lambda: running.status()["latch"]["rollbacks"], "an entry")
    assert "can't be moved out of the way" in running.command("release", "--reason", "x", code=1)
    assert answers(running) == ("legacy",) * 3
    (running.state / "ROLLBACK").rmdir()


def test_a_file_that_is_emptied_removed_or_restored_from_a_backup_lifts_nothing(running: Node) -> None:
    backup = (running.state / "latch.json").read_bytes()
    name = throw(running, "--area", "orders")["entry"]["id"]
    epoch = running.status()["latch"]["epoch"]
    (running.state / "latch.json").unlink()
    until((running.state / "latch.json").exists, "written back")
    (running.state / "latch.json").write_bytes(backup)
    until(lambda: running.status()["latch"]["epoch"] > epoch + 1, "a higher epoch")
    assert answers(running) == ("legacy", "legacy", "new")
    written = until(lambda: _latch(running)["epoch"] > epoch and _latch(running), "the union on the disk")
    assert [entry["id"] for entry in written["entries"]] == [name]


def _latch(one: Node) -> Any:
    try:
        return json.loads((one.state / "latch.json").read_text())
    except ValueError:
        return {"epoch": 0}


def test_an_unreadable_file_means_that_everything_is_rolled_back_until_it_is_released(running: Node) -> None:
    file = running.state / "latch.json"
    file.write_text('{"version": 2, "epoch": 1, "entries": []}')
    until(lambda: answers(running) == ("legacy",) * 3, "everything on legacy")
    until(lambda: running.status()["latch"]["unreadable"], "said so")
    throw(running, "--area", "help")
    assert answers(running) == ("legacy",) * 3
    running.command("release", "--reason", "looked at it")
    assert answers(running) == ("new", "new", "legacy")
    assert list(running.state.glob("latch.json.unreadable-*")), "kept, to be looked at"


def test_a_fifo_in_its_place_is_unreadable_too_and_holds_nobody_up(running: Node) -> None:
    file = running.state / "latch.json"
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    until(lambda: answers(running) == ("legacy",) * 3, "everything on legacy")
    throw(running, "--area", "help")
    running.command("release", "--reason", "looked at it")
    assert answers(running) == ("new", "new", "legacy")


def test_a_file_edited_by_hand_under_a_higher_epoch_is_obeyed(running: Node) -> None:
    latch = _latch(running)
    entry = {"id": "by-hand", "scope": {"area": "help"}, "by": "ann", "reason": "x", "at": "-", "plan": None}
    latch |= {"epoch": latch["epoch"] + 5, "entries": [entry]}
    other = running.state / "other"
    other.write_text(json.dumps(latch))
    other.replace(running.state / "latch.json")
    until(lambda: answers(running) == ("new", "new", "legacy"), "the entry in force")
    until(lambda: "by-hand" in running.command("status"), "and told")


def test_editing_breaking_and_emptying_the_files_lifts_nothing(tmp_path: Path) -> None:
    with two_workers(tmp_path) as one:
        throw(one, "--area", "orders")
        text = one.config.contents["routes.yaml"]
        one.config.edit("routes.yaml", text.replace("  orders:", "  sales:\n    flag: orders"))  # now of another area
        one.reloaded(3)
        assert one.get("/orders/1", "acme") == "legacy"
        one.config.edit("routes.yaml", "")
        one.config.edit("flags/orders.flagd.yaml", "")
        until(lambda: len(one.readyz()["held_back"]) == 2, "both held back")
        assert one.get("/orders/1", "acme") == "legacy"


def test_a_reload_that_would_retire_an_area_under_a_rollback_waits_for_its_release(tmp_path: Path) -> None:
    with two_workers(tmp_path) as one:
        name = throw(one, "--area", "orders")["entry"]["id"]
        text = one.config.contents["routes.yaml"]
        one.config.edit("routes.yaml", text.replace("  orders:\n", "  orders:\n    retired: true\n"))
        until(lambda: one.readyz()["held_back"], "held back")
        assert f"the rollback {name} (area orders) stands over the area" in one.command("status")
        assert one.get("/orders/1", "acme") == "legacy"
        one.command("release", name, "--reason", "mended")
        one.reloaded(3)
        assert one.get("/orders/1") == "new"


def test_without_control_a_rollback_writes_the_latch_itself(running: Node) -> None:
    with without_control(running):
        said = throw(running, "--area", "orders")
        assert (said["by_control"], said["confirmed"], said["on_disk"]) == (False, True, True)
        assert answers(running) == ("legacy", "legacy", "new")
        assert "needs the control process" in running.command("release", "--area", "orders", "--reason", "x", code=1)
    until(lambda: running.readyz() is not None, "control again")
    assert answers(running) == ("legacy", "legacy", "new")


@contextlib.contextmanager
def without_control(one: Node) -> Iterator[None]:
    """Control is stopped, so that it answers nothing, and killed at the end; a killed one would be back too soon."""
    pid = one.control_pid()
    socket = one.state / "control.sock"
    os.kill(pid, signal.SIGSTOP)
    socket.rename(socket.with_name("elsewhere"))  # its queue would take connections, and answer none
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        until(lambda: one.control_pid() not in (0, pid), "another control")
        until(socket.exists, "its socket")


def test_a_control_that_hangs_is_not_waited_for(running: Node) -> None:
    pid = running.control_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        said = throw(running, "--area", "help")
        assert (said["by_control"], said["confirmed"]) == (False, True)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_worker_that_hangs_is_ended_and_its_successor_obeys(tmp_path: Path) -> None:
    with two_workers(tmp_path) as one:
        pid = one.worker_pid(1)
        os.kill(pid, signal.SIGSTOP)
        said = throw(one, "--area", "orders")
        assert said["confirmed"]
        assert [(worker["pid"], worker["ended"]) for worker in said["workers"] if worker["slot"] == 1] == [(pid, True)]
        until(lambda: one.worker_pid(1) not in (0, pid), "a successor")
        one.reloaded(2)
        for _ in range(20):
            assert one.get("/orders/1", "acme") == "legacy"


def test_a_rollback_holds_after_a_restart_of_everything_and_judges_by_its_own_plan(tmp_path: Path) -> None:
    with backends() as (legacy, new):
        config = Config(tmp_path / "config", legacy.url, new.url)
        config.edit("flags/orders.flagd.yaml", flag(100))
        first = Node(config, tmp_path / "state", "--workers", "2").wait_ready()
        throw(first, "--area", "orders")
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        text = config.contents["routes.yaml"]
        config.edit("routes.yaml", text.replace("  orders:", "  sales:\n    flag: orders"))
        second = Node(config, tmp_path / "state", "--workers", "2").wait_ready()
        try:
            for _ in range(10):
                assert second.get("/orders/1", "acme") == "legacy"
                assert second.get("/help/") == "new"
        finally:
            second.end()


def test_a_rollback_thrown_while_nothing_runs_holds_from_the_start(tmp_path: Path) -> None:
    with backends() as (legacy, new):
        config = Config(tmp_path / "config", legacy.url, new.url)
        first = Node(config, tmp_path / "state").wait_ready()
        assert first.get("/help/") == "new"
        first.end()
        assert "no worker runs" in first.command("rollback", "--reason", "before it opens")
        second = Node(config, tmp_path / "state").wait_ready()
        try:
            assert second.get("/help/") == "legacy"
        finally:
            second.end()


def test_a_state_directory_where_nothing_ever_ran_is_told_from_a_rollback(tmp_path: Path) -> None:
    done = run("rollback", "--reason", "x", "--state", str(tmp_path))
    assert done.returncode == 1
    assert "no proxy has ever run" in done.stderr
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    fill(filler)
    yield
    filler.unlink()


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    # The disk itself can't be made read-only while files are open on it: a read-only view of it is laid over it.
    subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
    yield
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a small disk: needs root on Linux")
@pytest.mark.parametrize(("failing", "says"), [(full, "No space left"), (read_only, "Read-only file system")])
@pytest.mark.parametrize("control", [True, False])
def test_on_a_failing_disk_a_rollback_is_in_force_at_once_and_on_disk_when_that_is_mended(
    tmp_path: Path, failing: Callable[[Path], contextlib.AbstractContextManager[None]], says: str, control: bool
) -> None:
    with small_disk(tmp_path / "disk") as disk, backends() as (legacy, new):
        config = Config(tmp_path / "config", legacy.url, new.url)
        one = Node(config, disk / "state", "--workers", "2").wait_ready()
        try:
            with contextlib.ExitStack() as undo:
                if not control:
                    undo.enter_context(without_control(one))
                with failing(disk):
                    said = throw(one, code=3)
                    assert (said["confirmed"], said["on_disk"], said["by_control"]) == (True, False, control)
                    assert says in said["trouble"]
                    assert one.get("/help/") == "legacy"
                    if control:
                        assert "in force, but not on the disk" in one.command("status")
                        assert one.metric("strangler_latch_on_disk") == 0
            until(lambda: _latch(one)["entries"], "on disk")
            until(lambda: one.metric("strangler_latch_on_disk") == 1, "and told")
        finally:
            one.end()


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_where_files_cant_grow_a_rollback_goes_through_the_page_alone(running: Node) -> None:
    # A limit on the size of files is the one failing disk that every user can make, root too; it binds the command alone.
    with without_control(running):
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "rollback", "--reason", "x", "--json", "--state", str(running.state)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        )
        assert done.returncode == 3, done.stderr
        assert json.loads(done.stdout)["trouble"]
        assert answers(running) == ("legacy",) * 3
    until(lambda: _latch(running)["entries"], "control brings it to the disk")
