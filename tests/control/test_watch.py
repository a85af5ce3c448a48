"""When files are read again: after quiet, after long unrest, and now and then anyway."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.control.plans.watch import ANYWAY_S, QUIET_S, STEADY_S, Patience, Signature, look


def signature(number: int) -> Signature:
    return ((1, number, 0, 0, 0),)


def read_once() -> Patience:
    patience = Patience()
    patience.read(signature(0), 0.0, 0.001)
    return patience


def test_nothing_is_read_while_nothing_changes() -> None:
    patience = read_once()
    assert not any(patience.due(signature(0), tick / 10) for tick in range(1, int(ANYWAY_S * 10)))


def test_a_change_is_read_once_it_has_been_quiet() -> None:
    patience = read_once()
    assert not patience.due(signature(1), 1.0)
    assert not patience.due(signature(1), 1.0 + QUIET_S - 0.01)
    assert patience.due(signature(1), 1.0 + QUIET_S + 0.001)


def test_every_further_change_starts_the_quiet_anew_until_it_has_lasted_too_long() -> None:
    patience = read_once()
    times = [1.0 + step / 10 for step in range(40)]
    due = [now_s for step, now_s in enumerate(times) if patience.due(signature(step + 1), now_s)]
    assert due[0] == pytest.approx(1.0 + STEADY_S, abs=0.11)


def test_a_change_that_is_taken_back_within_the_quiet_is_looked_at_all_the_same() -> None:
    patience = read_once()
    patience.due(signature(1), 1.0)
    patience.due(signature(0), 1.1)
    assert patience.due(signature(0), 1.1 + QUIET_S + 0.001)


def test_what_changed_while_files_were_read_is_seen_next() -> None:
    patience = Patience()
    patience.read(signature(0), 5.0, 1.0)  # the signature from before the reading
    patience.due(signature(1), 5.1)
    assert patience.due(signature(1), 5.1 + QUIET_S + 0.001)


def test_contents_are_read_now_and_then_although_nothing_seems_to_change() -> None:
    patience = read_once()
    assert patience.due(signature(0), ANYWAY_S)


def test_reading_that_takes_long_is_done_less_often() -> None:
    patience = Patience()
    patience.read(signature(0), 0.0, 1.0)
    assert not patience.due(signature(0), 99.0)
    assert patience.due(signature(0), 100.0)


def test_every_way_to_change_a_file_shows(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    seen = set()

    def note() -> None:
        seen.add(look([str(file)]))

    note()  # not there
    file.write_text("a")
    note()
    file.write_text("b" * 2)  # in place
    note()
    newer = tmp_path / "newer"
    newer.write_text("cc")
    newer.replace(file)  # by rename
    note()
    older = tmp_path / "older"
    older.write_text("dd")
    os.utime(older, (1, 1))
    older.replace(file)  # an older file moved into place
    note()
    assert len(seen) == 5


def test_a_symlink_that_is_swapped_shows_in_the_files_behind_it(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "routes.yaml").write_text("same")
    data = tmp_path / "..data"
    data.symlink_to("1")
    file = tmp_path / "routes.yaml"
    file.symlink_to("..data/routes.yaml")
    before = look([str(file)])
    swapped = tmp_path / "..tmp"
    swapped.symlink_to("2")
    swapped.replace(data)
    assert look([str(file)]) != before
