"""What the supervisor decides by: back-off, stillness, assignments, pages, and nothing that isn't in the standard library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from proxy.core.layout import StateDir
from proxy.core.telling.counters import Counters
from proxy.core.telling.pages import PAGE_BYTES, PROBES_PAGE_BYTES
from proxy.supervise.assignment import Assignment, Settings
from proxy.supervise.children import Backoff, Stillness, python_command
from proxy.supervise.mapped import complete_run, map_page, misfit, page_layout, prepare_run, remove_run


def test_a_child_is_started_again_at_once_and_then_ever_later() -> None:
    backoff = Backoff()
    pauses = [backoff.after(0.2) for _ in range(9)]
    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_good_life_forgives_the_past() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(0.2)
    assert backoff.after(10.0) == 0.0
    assert backoff.after(9.9) == 0.1


def test_stillness_counts_ticks_without_a_beat_and_starts_over_with_one() -> None:
    stillness = Stillness()
    assert [stillness.tick(beats) for beats in (4, 4, 4, 5, 5)] == [0, 1, 2, 0, 1]


def test_an_assignment_arrives_as_it_was_sent() -> None:
    sent = Assignment(
        settings=Settings(routes="r.yaml", flags="f", state="s", workers=3, drain_s=1.5),
        life=4,
        lock=5,
        listener=6,
        slot=2,
    )
    assert Assignment.decode(sent.encode()) == sent


def test_pages_lie_in_memory_where_there_is_a_place_for_it_and_are_removed(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    prepare_run(state, 2)
    directory = state.run.resolve()
    if sys.platform == "linux":
        assert directory.is_relative_to("/dev/shm")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert state.board.stat().st_size == PAGE_BYTES
    assert state.board.stat().st_blocks * 512 >= PAGE_BYTES, "a page is allocated in full"
    counters = Counters(map_page(state.counters(1), writable=True))
    counters.cells[counters.series("a_total")] += 1
    assert dict(Counters(map_page(state.counters(1), writable=False)).items())["a_total"] == 1
    remove_run(state)
    assert not directory.exists()
    assert not state.run.is_symlink()


def test_another_version_makes_the_pages_that_it_misses_and_leaves_the_others(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    prepare_run(state, 1)
    state.probes.unlink()
    kept = state.board.stat().st_ino
    assert misfit(page_layout(), state, 1) == ""
    complete_run(state, 1)
    assert (state.board.stat().st_ino, state.probes.stat().st_size) == (kept, PROBES_PAGE_BYTES)
    assert "have layout 0.1" in misfit("0.1", state, 1)
    os.truncate(state.latch_page, 4096)
    assert misfit(page_layout(), state, 1).startswith("latch.page has 4096 bytes")
    remove_run(state)


def test_what_a_killed_supervisor_left_is_replaced(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    prepare_run(state, 1)
    left = state.run.resolve()
    prepare_run(state, 1)
    assert state.run.resolve() != left
    assert not left.exists() or sys.platform != "linux"
    remove_run(state)


def test_a_link_that_leads_elsewhere_is_unlinked_and_nothing_behind_it_is_touched(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.root.mkdir()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    state.run.symlink_to(precious)
    remove_run(state)
    assert (precious / "file").exists()


def test_the_supervisor_imports_nothing_but_the_standard_library_and_us(tmp_path: Path) -> None:
    script = "import proxy.app.serve, proxy.app.resume, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    # -S: without site-packages at all, as it would be if every dependency were broken
    _, environment = python_command("proxy.app.serve", "")
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    foreign = {name for name in done.stdout.split() if name not in sys.stdlib_module_names} - {"proxy", "__main__"}
    assert foreign <= {name for name in foreign if name.startswith("_")}
    assert "proxy" in done.stdout


def test_a_directory_of_that_name_where_the_command_runs_does_not_become_us(tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    command, environment = python_command("proxy.app.serve", "not json")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "the wrong one" not in done.stderr
    assert "JSONDecodeError" in done.stderr
