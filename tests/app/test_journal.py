"""The journal of a whole proxy: what people read afterwards, also when something was killed or the disk was gone."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from proxy.cli.journal import _ACTIONS
from proxy.control.history.event import Action
from tests.app.node import Node, flag, node, run
from tests.waiting import until


def told(running: Node, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.command("journal", "--json", *arguments).splitlines()]


def test_the_command_offers_every_kind_of_event() -> None:
    assert sorted(_ACTIONS) == sorted(Action)


def test_a_day_is_told_in_its_order_and_the_dead_proxy_s_story_too(tmp_path: Path) -> None:
    with node(tmp_path, "--workers", "2") as (running, _, _):
        generation = running.generation()
        running.config.edit("flags/orders.flagd.yaml", flag(10))
        running.reloaded(generation + 1)
        running.config.edit("flags/orders.flagd.yaml", flag(10).replace("fractional", "fractoinal"))
        until(lambda: told(running, "--action", "refused"), "the broken edit is told")
        worker = running.worker_pid(1)
        os.kill(worker, signal.SIGKILL)
        until(lambda: told(running, "--action", "worker"), "the new worker is told")
        until(lambda: all(len(line["workers"]) == 2 for line in told(running, "--action", "reload")), "both have it")
        text = running.command("journal", "--area", "orders")
        assert "edited: flags/orders.flagd.yaml, by file edit" in text
        assert "orders: canary → canary, 10 %" in text
        assert f"generation {generation + 1}, plan" in text
        assert "worker 0 after" in text
        assert running.end() == 0
        done = run("journal", "--json", "--state", str(running.state))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["action"] for line in lines] == ["start", "reload", "refused", "worker", "stop"]
        assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5]
        assert lines[3]["before"]["pid"] == worker
        assert "fractoinal" in lines[2]["reason"]


def test_a_disk_that_takes_nothing_stops_nobody_and_loses_nothing_of_a_killed_control(tmp_path: Path) -> None:
    with node(tmp_path) as (running, _, _):
        until(lambda: told(running, "--action", "start"), "the start is written")
        # A directory in the place of the database: nobody can write that, not even root.
        journal = Path(running.state) / "journal.db"
        for path in journal.parent.glob("journal.db*"):
            path.rename(tmp_path / path.name)
        journal.mkdir()
        generation = running.generation()
        running.config.edit("flags/orders.flagd.yaml", flag(100))
        running.reloaded(generation + 1)
        assert running.get("/orders/1", "acme") == "new", "traffic and edits go on"
        behind = until(lambda: running.readyz()["journal_behind"], "it is told")
        assert behind["count"] == 1
        assert running.metric("strangler_journal_behind") == 1
        assert "the journal can't be written, 1 event waits in memory" in running.command("status")
        former = running.control_pid()
        os.kill(former, signal.SIGKILL)
        until(lambda: running.control_pid() not in {0, former} and running.readyz(), "another control")
        journal.rmdir()
        for path in tmp_path.glob("journal.db*"):
            path.rename(journal.parent / path.name)
        until(lambda: [one["action"] for one in told(running)] == ["start", "reload", "start"], "all of it, once")
        until(lambda: running.readyz()["journal_behind"] is None, "nothing waits")
        assert [one["seq"] for one in told(running)] == [1, 2, 3]
        assert told(running)[2]["scope"] == {"process": "control"}


def test_a_refused_start_is_written_down(tmp_path: Path) -> None:
    with node(tmp_path) as (running, _, _):
        assert running.end() == 0
        running.config.edit("routes.yaml", "version: 1\n")
        places = ["--routes", str(running.config.routes), "--flags", str(running.config.flags)]
        addresses = ["--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"]
        assert run("serve", *addresses, *places, "--state", str(running.state)).returncode == 1
        last = told(running)[-1]
        assert (last["action"], last["scope"]) == ("refused", {"process": "proxy"})
        assert "backends" in last["reason"]


def test_wrong_times_are_usage_and_a_lost_journal_is_empty(tmp_path: Path) -> None:
    done = run("journal", "--since", "yesterday", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "30m, 2h or 7d" in done.stderr
    assert run("journal", "--since", "2h", "--state", str(tmp_path)).stdout == ""
    assert run("journal", "--state", str(tmp_path / "nowhere")).returncode == 1
