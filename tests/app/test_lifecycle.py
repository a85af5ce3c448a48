"""How a proxy starts, refuses to start, drains, and what happens when its supervisor dies."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.node import Backend, Config, Node, backends, flag, node, run
from tests.waiting import until


@pytest.fixture
def both() -> Iterator[tuple[Backend, Backend]]:
    with backends() as pair:
        yield pair


@pytest.fixture
def config(tmp_path: Path, both: tuple[Backend, Backend]) -> Config:
    legacy, new = both
    return Config(tmp_path / "config", legacy.url, new.url)


def refused(config: Config, state: Path, *arguments: str) -> str:
    places = ["--routes", str(config.routes), "--flags", str(config.flags), "--state", str(state)]
    done = run("serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", *places, *arguments)
    assert done.returncode == 1
    assert "ready: traffic" not in done.stderr
    assert "Traceback" not in done.stderr  # nor is control started once more, only to find nothing there
    return done.stderr


def test_broken_files_are_a_refusal_with_every_complaint(config: Config, tmp_path: Path) -> None:
    config.edit("routes.yaml", config.contents["routes.yaml"].replace("owner:", "onwer:"))
    config.edit("flags/orders.flagd.yaml", flag(5).replace("fractional", "fractoinal"))
    told = refused(config, tmp_path / "state")
    assert 'did you mean "owner"?' in told
    assert 'did you mean "fractional"?' in told


def test_an_address_in_use_is_a_refusal_that_names_it(config: Config, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        told = refused(config, tmp_path / "state", "--listen", address)
    assert f"{address}: Address already in use; choose another --listen" in told
    assert not (tmp_path / "state" / "run").is_symlink()


def test_an_access_log_that_can_not_be_opened_is_a_refusal_that_names_it(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "access.log"
    told = refused(config, tmp_path / "state", "--access-log", str(path))
    assert "the access log can't be opened: No such file or directory" in told
    assert str(path) in told


def test_a_state_directory_too_deep_for_a_socket_is_a_refusal(config: Config, tmp_path: Path) -> None:
    assert "choose a shorter --state" in refused(config, tmp_path / ("deep" * 30) / "state")


def test_last_good_starts_with_what_was_last_good_and_takes_repairs(config: Config, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert "nothing is remembered" in refused(config, state, "--last-good")
    config.edit("flags/orders.flagd.yaml", flag(100))
    first = Node(config, state).wait_ready()
    assert not [line for line in first.messages if "WARNING" in line], "a first start frightens nobody"
    generation = first.generation()
    assert first.end() == 0
    config.edit("flags/orders.flagd.yaml", flag(5).replace("fractional", "fractoinal"))
    told = refused(config, state)
    assert f"mend the files, or start with the last good versions (generation {generation})" in told
    second = Node(config, state, "--last-good").wait_ready()
    try:
        assert second.get("/orders/1", "acme") == "new"
        assert second.readyz()["held_back"] == ["flags/orders.flagd.yaml"]
        assert second.generation() > generation, "numbers of generations are not used again"
        config.edit("flags/orders.flagd.yaml", flag(0))
        until(lambda: second.get("/orders/1", "acme") == "legacy", "the repair is in force")
    finally:
        assert second.end() == 0


def test_a_drain_ends_what_was_begun_and_takes_nothing_new(tmp_path: Path) -> None:
    with node(tmp_path) as (running, legacy, _):
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(running.get("/slow")))
        slow.start()
        assert legacy.waiting.wait(20)
        url, ops = running.url, running.ops
        running.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{ops}/readyz", trust_env=False).status_code == 503, "not ready any more")
        until(lambda: _refuses(url), "no more connections")
        assert running.process.poll() is None
        legacy.let_go.set()
        slow.join(20)
        assert answers == ["legacy"]
        assert running.end() == 0
    assert list(Path(running.state).glob("run")) == [], "the pages are removed"


def test_readiness_is_withdrawn_first_and_the_balancer_has_its_time_before_anybody_is_refused(tmp_path: Path) -> None:
    with node(tmp_path, "--drain-delay", "3600") as (running, _, _):
        url, ops = running.url, running.ops
        assert running.readyz()["why_not"] == ""
        worker = running.worker_pid()
        running.process.send_signal(signal.SIGTERM)
        until(lambda: _asked(ops).status_code == 503, "not ready any more")
        assert running.readyz()["why_not"] == "the proxy was told to end"
        assert running.get_afresh("/orders/1", "acme") == "legacy"
        os.kill(worker, signal.SIGKILL)
        assert running.get_afresh("/orders/1", "pilot-1") == "new", "who falls meanwhile is replaced"
        assert running.end() == 0, "a second signal waits for nobody"
        assert _refuses(url)


def test_after_the_balancer_had_its_time_the_drain_begins_by_itself(tmp_path: Path) -> None:
    with node(tmp_path, "--drain-delay", "0.3") as (running, _, _):
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        told = [line for line in running.messages if "not ready" in line or "draining" in line]
        assert ["serving for 0.3 s" in line for line in told] == [True, False]


def _asked(ops: str) -> httpx.Response:
    return httpx.get(f"{ops}/readyz", trust_env=False)


def _refuses(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with node(tmp_path) as (running, legacy, _):
        slow = threading.Thread(target=_swallow, args=(running,))
        slow.start()
        assert legacy.waiting.wait(20)
        running.process.send_signal(signal.SIGINT)
        until(lambda: any("draining" in line for line in running.messages), "the drain")
        assert running.end(signal.SIGINT) == 0
        slow.join(20)


def _swallow(running: Node) -> None:
    with contextlib.suppress(httpx.TransportError):
        running.get("/slow")


def test_when_the_supervisor_is_killed_all_end_and_a_successor_waits_for_them(tmp_path: Path) -> None:
    with node(tmp_path) as (running, legacy, _):
        control, worker = running.control_pid(), running.worker_pid()
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(running.get("/slow")))
        slow.start()
        assert legacy.waiting.wait(20)
        running.process.kill()
        until(lambda: not _lives(control), "control ends")
        successor = Node(running.config, running.state, "--drain", "10")
        try:
            until(lambda: any("waiting for pid" in line for line in successor.messages), "the successor waits")
            assert _lives(worker), "the orphan drains"
            legacy.let_go.set()
            slow.join(20)
            assert answers == ["legacy"]
            until(lambda: not _lives(worker), "the worker ends")
            successor.wait_ready()
            assert successor.get("/orders/1", "pilot-1") == "new"
        finally:
            assert successor.end() == 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc").is_dir()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT") or os.uname().sysname != "Linux", reason="one worker elsewhere")
def test_several_workers_share_the_traffic_and_confirm_each_for_itself(tmp_path: Path) -> None:
    with node(tmp_path, "--workers", "2") as (running, _, _):
        workers = [running.worker_pid(0), running.worker_pid(1)]
        assert len(set(workers)) == 2
        for _ in range(40):
            httpx.get(f"{running.url}/anything", trust_env=False)
        until(lambda: running.metric("strangler_requests_total") == 40, "all are counted, whoever answered")
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: running.worker_pid(0) not in {0, workers[0]}, "a successor in its slot")
        assert running.worker_pid(1) == workers[1]
        generation = running.generation()
        running.config.edit("flags/orders.flagd.yaml", flag(100))
        running.reloaded(generation + 1)
        assert running.status()["areas"][0]["status"] == "live for accounts"
        assert running.metric("strangler_requests_total") == 40, "counters never fall"


def test_the_access_log_goes_where_it_is_told_and_is_reopened_on_demand(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with node(tmp_path, "--access-log", str(log)) as (running, _, _):
        running.get("/orders/1", "acme")
        until(lambda: log.exists() and '"path":"/orders/1"' in log.read_text(), "the line")
        assert "acme" not in log.read_text(), "accounts are hashed"
        log.rename(tmp_path / "access.log.1")
        running.process.send_signal(signal.SIGUSR1)
        until(log.exists, "the file is opened again")
        running.get("/orders/2")
        until(lambda: '"path":"/orders/2"' in log.read_text(), "the line in the new file")


def test_lines_go_to_standard_output_unless_told_otherwise(tmp_path: Path) -> None:
    with node(tmp_path) as (running, _, _):
        running.get("/help/first")
        until(lambda: any('"path":"/help/first"' in line for line in running.log_lines), "the line")


def test_a_worker_that_finds_its_plan_damaged_is_helped_and_serves_again(tmp_path: Path) -> None:
    with node(tmp_path) as (running, _, _):
        plan = running.readyz()["plan"]
        (path,) = (running.state / "plans").glob(f"{plan}*")
        path.write_bytes(path.read_bytes()[:-9])
        pid = running.worker_pid()
        os.kill(pid, signal.SIGKILL)
        until(lambda: (running.readyz() or {"ready": False})["ready"] and running.worker_pid() != pid, "it is ready")
        assert running.get_afresh("/orders/1", "acme") == "legacy"
        assert "is damaged" in "".join(running.messages)


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's limits")
def test_workers_get_as_many_descriptors_as_the_system_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with node(tmp_path) as (running, _, _):
            assert resource.prlimit(running.worker_pid(), resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
