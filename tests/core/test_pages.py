"""A note is read whole or not at all, whoever dies while writing it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.override import override
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page, Posted, Roster


def board() -> tuple[bytearray, Page[Posted]]:
    buffer = bytearray(PAGE_BYTES)
    return buffer, Page(memoryview(buffer), Posted)


def test_an_empty_page_has_no_note() -> None:
    _, page = board()
    assert page.read() is None
    assert page.version == 0


def test_a_note_is_read_as_written_and_changes_the_version() -> None:
    _, page = board()
    for generation in (1, 2):
        before = page.version
        note = Posted(generation=generation, plan="ab" * 32)
        page.write(note)
        assert page.read() == note
        assert page.version != before


def test_a_note_of_another_version_is_read_as_far_as_it_is_understood() -> None:
    page = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
    page.write_text(b'{"pid":7,"start_id":"a","generation":3,"mood":["good"]}')
    assert page.read() == Confirmed(pid=7, start_id="a", generation=3)


def test_lists_of_children_come_back_as_they_were() -> None:
    page = Page(memoryview(bytearray(PAGE_BYTES)), Roster)
    roster = Roster(pid=7, workers=2, worker_starts=(1, 4), worker_pids=(8, 0))
    page.write(roster)
    assert page.read() == roster


@given(at=st.integers(0, 200), value=st.integers(0, 255))
def test_a_note_with_any_byte_changed_is_the_note_or_none(at: int, value: int) -> None:
    buffer, page = board()
    note = Posted(generation=3, plan="cd" * 32)
    page.write(note)
    changed = 8 <= at < 16 or buffer[at] == value  # the beats aren't part of the note
    buffer[at] = value
    if 0 <= at < 8:
        assert page.read() in (note, None)  # another even version is as good: only its change means anything
    elif at >= 32 + 96 or changed:
        assert page.read() in (note, None)
    else:
        assert page.read() is None


def test_a_writer_killed_half_way_leaves_no_note_and_its_successor_writes_over_it() -> None:
    buffer, page = board()
    page.write(Posted(generation=1, plan="ab" * 32))
    memoryview(buffer).cast("Q")[0] += 1
    assert page.read() is None
    successor = Page(memoryview(buffer), Posted)
    successor.write(Posted(generation=2, plan="cd" * 32))
    assert page.read() == Posted(generation=2, plan="cd" * 32)
    assert page.version % 2 == 0


def test_a_reader_that_meets_a_writer_at_work_reads_the_note_once_it_is_whole() -> None:
    buffer, page = board()
    page.write(Posted(generation=1, plan="ab" * 32))
    words = memoryview(buffer).cast("Q")
    looks = 0

    class Meeting(Page[Posted]):
        @override
        def _look(self) -> bytes | None:
            nonlocal looks
            looks += 1
            words[0] += {1: 1, 5: 1}.get(looks, 0)  # the writer begins before the first look and ends before the fifth
            return super()._look()

    assert Meeting(memoryview(buffer), Posted).read() == Posted(generation=1, plan="ab" * 32)
    assert looks == 5


def test_a_note_that_does_not_fit_is_refused_and_the_old_one_stays() -> None:
    page = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
    page.write(Confirmed(pid=1, start_id="a"))
    with pytest.raises(ValueError, match="doesn't fit"):
        page.write(Confirmed(pid=1, start_id="a", trouble="x" * PAGE_BYTES))
    assert page.read() == Confirmed(pid=1, start_id="a")


def test_beats_show_life_without_touching_the_note() -> None:
    _, page = board()
    page.write(Posted(generation=1, plan="ab" * 32))
    version = page.version
    page.beat()
    page.beat()
    assert (page.beats, page.version) == (2, version)
    assert page.read() is not None
