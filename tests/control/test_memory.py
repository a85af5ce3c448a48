"""What was last good is remembered, and damage is noticed."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest

from proxy.config.text.fileset import File, FileSet
from proxy.control.durable import ensure_file, write_file
from proxy.control.plans.memory import Remembered, Unremembered, forget, recall, remember
from proxy.core.layout import StateDir

FILES = FileSet.of(
    {"routes.yaml": "version: 1\n", "flags/orders.flagd.yaml": "flags: {}\n", "env:TOKEN": b"\xffsecret"}
)


def remembered(files: FileSet = FILES, generation: int = 7) -> Remembered:
    return Remembered(generation=generation, plan="ab" * 32, files=files)


def test_what_was_remembered_is_recalled(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    remember(state, remembered())
    found = recall(state)
    assert (found.generation, found.plan) == (7, "ab" * 32)
    assert dict(found.files.files) == dict(FILES.files)
    assert (found.files.routes, found.files.flags) == (FILES.routes, FILES.flags)


def test_a_file_that_could_not_be_read_is_recalled_as_such(tmp_path: Path) -> None:
    files = FileSet(files=MappingProxyType({"pilots.txt": File.unreadable("Permission denied")}))
    remember(StateDir(tmp_path), remembered(files))
    assert recall(StateDir(tmp_path)).files.files["pilots.txt"].trouble == "Permission denied"


def test_contents_are_private_and_old_ones_stay_until_they_are_forgotten(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    remember(state, remembered())
    changed = FILES.with_files({"routes.yaml": File.of(b"version: 1 # edited\n")})
    remember(state, remembered(changed, 8))
    assert state.file(FILES.files["routes.yaml"].hash).exists()  # workers may be reading it
    forget(state, changed)
    kept = list(state.files.iterdir())
    assert {path.name for path in kept} == {file.hash for file in changed.files.values()}
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*kept, state.in_force])


def test_nothing_remembered_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unremembered, match="remembers no configuration"):
        recall(StateDir(tmp_path))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda state: state.in_force.write_text("{"), "can't be read"),
        (
            lambda state: state.in_force.write_text(state.in_force.read_text().replace('"version": 1', '"version": 2')),
            "of version 2",
        ),
        (lambda state: (state.files / FILES.files["routes.yaml"].hash).unlink(), "lost the content of routes.yaml"),
        (
            lambda state: (state.files / FILES.files["routes.yaml"].hash).write_text("x"),
            "damaged content of routes.yaml",
        ),
    ],
)
def test_damage_is_noticed(tmp_path: Path, damage: object, why: str) -> None:
    state = StateDir(tmp_path)
    remember(state, remembered())
    assert callable(damage)
    damage(state)
    with pytest.raises(Unremembered, match=why):
        recall(state)


def test_a_file_is_replaced_whole_and_nothing_is_left_when_it_can_not_be(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    write_file(path, b"one")
    with path.open("rb") as reader:
        write_file(path, b"two")
        assert reader.read() == b"one", "whoever has it open keeps it"
    assert path.read_bytes() == b"two"
    directory = tmp_path / "directory"
    directory.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_file(directory, b"three")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["directory", "plan"]


def test_a_damaged_file_that_is_named_by_its_content_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_bytes(b"dam")
    ensure_file(path, b"one")
    inode = path.stat().st_ino
    ensure_file(path, b"one")
    assert path.read_bytes() == b"one"
    assert path.stat().st_ino == inode
