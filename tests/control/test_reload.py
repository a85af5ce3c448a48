"""Reloading, step by step: what is posted, remembered, held back and said."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settle import Settled, settle
from proxy.config.text.fileset import FileSet
from proxy.control.plans.memory import recall
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import CannotStart, Reloader
from proxy.control.plans.watch import Patience
from proxy.core.layout import StateDir
from proxy.core.telling.counters import Counters
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page, Posted, Roster
from tests.waiting import until

ROUTES = """\
version: 1
backends:
  legacy: {url: "http://127.0.0.1:1"}
  new: {url: "http://127.0.0.1:2"}
areas:
  orders: {routes: [{path: /orders, to: legacy}]}
otherwise: legacy
cache: off
"""


class Control:
    """A control process's insides on a state directory. Pages outlive it, as they outlive the process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = StateDir(root / "state")
        self.state.root.mkdir()
        (root / "flags").mkdir()
        self.write(ROUTES)
        self.board = Page(memoryview(bytearray(PAGE_BYTES)), Posted)
        self.worker = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
        self.own = Counters(memoryview(bytearray(4096)))
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.publisher = Publisher(
            state=self.state,
            board=self.board,
            roster=Page(memoryview(bytearray(PAGE_BYTES)), Roster),
            confirmations=[self.worker],
        )
        self.reloader = Reloader(
            routes=self.root / "routes.yaml",
            flags=self.root / "flags",
            state=self.state,
            publisher=self.publisher,
            own=self.own,
        )

    def start(self, *, first: bool = True, last_good: bool = False) -> None:
        self.reloader._start(first, last_good)

    def write(self, text: str) -> None:
        (self.root / "routes.yaml").write_text(text)

    def read_again(self) -> None:
        """What a look at the disk does once the files have been quiet."""
        self.reloader._reload()

    def posted(self) -> Posted:
        note = self.board.read()
        assert note is not None
        return note


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def moved(target: str) -> str:
    return ROUTES.replace("to: legacy", f"to: {target}")


def test_a_first_start_posts_generation_one_and_alarms_nobody(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    control.start()
    assert control.posted().generation == 1
    assert "is a new state directory" in caplog.text
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
    assert recall(control.state).plan == control.posted().plan


def test_a_start_whose_memory_was_lost_says_so_and_what_follows(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    control.start()
    control.state.in_force.unlink()
    control.begin()
    control.start()
    assert "remembers no configuration, although there was one: generations begin again at 1" in caplog.text
    assert "--last-good has nothing to start with" in caplog.text


def test_a_refused_start_names_the_last_good_versions_where_there_are_any(control: Control) -> None:
    def refusal() -> CannotStart:
        control.write("version: 1\n")
        with pytest.raises(CannotStart) as caught:
            control.start()
        return caught.value

    assert refusal().remedy == ""
    control.write(ROUTES)
    control.start()
    generation = control.posted().generation
    control.begin()
    told = refusal().remedy
    assert f"start with the last good versions (generation {generation}): strangler serve … --last-good" in told


def test_a_broken_start_has_every_complaint_and_posts_nothing(control: Control) -> None:
    control.write(ROUTES.replace("otherwise: legacy", "othewise: legacy").replace("path:", "pth:"))
    with pytest.raises(CannotStart) as caught:
        control.start()
    assert "othewise" in str(caught.value)
    assert "pth" in str(caught.value)
    assert control.board.read() is None


def test_a_control_that_comes_back_posts_nothing_new_when_nothing_has_changed(control: Control) -> None:
    control.start()
    posted = control.posted()
    control.begin()
    control.start(first=False)
    assert control.posted() == posted


def test_an_edit_made_while_control_was_away_is_posted_when_it_comes_back(control: Control) -> None:
    control.start()
    control.write(moved("new"))
    control.begin()
    control.start(first=False)
    assert control.posted().generation == 2


def test_a_control_without_memory_keeps_the_posted_plan_until_the_files_are_good(control: Control) -> None:
    control.start()
    shutil.rmtree(control.state.root)
    control.state.root.mkdir()
    control.write("version: 1\n")
    control.begin()
    control.start(first=False)
    assert control.posted().generation == 1
    assert control.reloader.standing.complaints
    control.write(moved("new"))
    control.read_again()
    assert control.posted().generation == 2
    assert control.reloader.standing.complaints == ()


def test_numbers_of_generations_go_on_after_everything_was_stopped(control: Control) -> None:
    control.start()
    control.write(moved("new"))
    control.read_again()
    control.board = Page(memoryview(bytearray(PAGE_BYTES)), Posted)
    control.begin()
    control.start()
    assert control.posted().generation == 3


def test_a_disk_that_can_not_be_written_changes_nothing_is_told_once_and_tried_again(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    control.start()
    posted = control.posted()
    for path in control.state.plans.iterdir():
        path.unlink()
    control.state.plans.rmdir()
    control.state.plans.touch()  # a file where the directory was: nothing can be written into it
    control.write(moved("new"))
    control.read_again()
    control.reloader._retry()
    assert control.posted() == posted
    assert "can't be written" in control.reloader.standing.trouble
    assert caplog.text.count("can't be written") == 1
    control.state.plans.unlink()
    control.state.plans.mkdir()
    control.reloader._retry()
    assert control.posted().generation == posted.generation + 1
    assert control.reloader.standing.trouble == ""


def test_a_complaint_is_said_once_and_again_only_after_it_was_gone(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    control.start()
    broken = ROUTES.replace("path:", "pth:")

    def told() -> int:
        return caplog.text.count('unknown key "pth"')

    control.write(broken)
    control.read_again()
    control.write(broken + "# still\n")
    control.read_again()
    assert told() == 1
    control.write(ROUTES)
    control.read_again()
    assert control.reloader.standing.held_back == {}
    control.write(broken)
    control.read_again()
    assert told() == 2
    assert dict(control.own.items())['strangler_reloads_total{result="held_back"}'] == 3


def test_a_defect_of_ours_ends_nothing_is_told_once_and_is_over_with_the_file_that_showed_it(
    control: Control, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.start()
    posted = control.posted()

    def settle_badly(wanted: FileSet, *others: Any) -> Settled:
        if b"odd" in wanted.files["routes.yaml"].content:
            raise RecursionError("too deep for us")
        return settle(wanted, *others)

    def looked(trouble: str) -> bool:
        control.reloader._look()
        return control.reloader.standing.trouble.endswith(trouble)

    monkeypatch.setattr("proxy.control.plans.reload.settle", settle_badly)
    control.write(ROUTES + "# odd\n")
    until(lambda: looked("RecursionError: too deep for us"), "the defect is told")
    control.write(ROUTES + "# odd as well\n")
    control.reloader._patience = Patience()
    until(lambda: looked("RecursionError: too deep for us"), "the defect is still told")
    control.begin()
    control.start(first=False)
    assert control.reloader.standing.trouble.endswith("too deep for us")
    assert control.posted() == posted
    assert caplog.text.count("ERROR") == 2  # once in either process
    assert dict(control.own.items())['strangler_reloads_total{result="failed"}'] == 2
    control.write(moved("new"))
    until(lambda: looked("") and control.posted() != posted, "the good file is in force")
    assert control.reloader.standing.trouble == ""


def test_what_a_worker_can_not_run_is_written_again_once_for_each_that_says_so(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    control.start()
    posted = control.posted()
    path = control.state.plan(posted.plan)
    good = path.read_bytes()
    for start_id in ("a", "b"):
        path.write_bytes(good[:-9])
        control.worker.write(Confirmed(pid=1, start_id=start_id, refused=posted.generation, trouble="is damaged"))
        control.reloader._look()
        assert path.read_bytes() == good
        control.reloader._look()
    assert caplog.text.count("(is damaged): it is written again") == 2
    assert control.posted() == posted
    path.unlink()
    control.worker.write(Confirmed(pid=1, start_id="c", generation=posted.generation))
    control.reloader._look()
    assert not path.exists(), "a worker that runs it needs nothing"


def test_old_plans_are_removed_except_those_that_run_and_the_last_few(control: Control) -> None:
    control.start()
    oldest = control.posted().plan
    control.worker.write(Confirmed(pid=1, start_id="a", generation=1, plan=oldest))
    for number in range(10):
        control.write(ROUTES.replace("path: /orders", f"path: /orders-{number}"))
        control.read_again()
    kept = {path.stem for path in control.state.plans.iterdir()}
    assert {oldest, control.posted().plan} <= kept
    assert len(kept) == 6


def test_a_warning_is_logged_as_one_without_saying_so_twice(control: Control, caplog: pytest.LogCaptureFixture) -> None:
    control.write(ROUTES.replace(", to: legacy", ""))
    control.start()
    (told,) = [record for record in caplog.records if "no flag is named" in record.message]
    assert told.levelname == "WARNING"
    assert told.message.startswith("routes.yaml:6:3  areas.orders: no flag is named")
