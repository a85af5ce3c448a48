"""Files are read from disk as one set, whatever way they got there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.compile import Compiled, compile_files
from proxy.config.text.files import read_files
from proxy.config.text.fileset import FileSet, matches
from tests.config import base


def put(root: Path, over: dict[str, str | None] | None = None) -> Path:
    for name, content in base.contents(over).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def read(root: Path, in_force: FileSet | None = None) -> FileSet:
    return read_files(root / "routes.yaml", root / "flags", in_force)


def codes(compiled: Compiled) -> list[str]:
    return [one.code for one in compiled.complaints]


def test_everything_that_routes_yaml_names_belongs_to_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_KEY", "s3cret")
    headers = "{set: {X-A: file:secrets/edge, X-B: env:EDGE_KEY}}"
    text = (
        "include: [areas/*.yaml, extra.yaml]\naccounts: {register: accounts.csv}\nbackends:\n"
        f'  legacy: {{url: "http://legacy.internal:8080", headers: {headers}}}\n  new: {{url: "http://new.internal:9000"}}\n'
    )
    more = "segments:\n  others: {accounts: segments/others.txt}\n"
    over: dict[str, str | None] = {
        "routes.yaml": text,
        "areas/b.yaml": "areas:\n  b: {routes: [{path: /b, to: new}]}\n",
        "areas/a.yaml": "areas:\n  a: {routes: [{path: /a, to: new}]}\n",
        "extra.yaml": more,
        "segments/others.txt": "borealis\n",
        "segments/unused.txt": "nobody\n",
        "accounts.csv": "id,region\nacme,DE\n",
        "secrets/edge": "key\n",
    }
    files = read(put(tmp_path, over))
    compiled = compile_files(files)
    assert compiled.plan is not None, codes(compiled)
    assert (
        set(files.files)
        == compiled.used
        == {*over, "segments/pilots.txt", "flags/orders.flagd.yaml", "env:EDGE_KEY"} - {"segments/unused.txt"}
    )
    assert [area.name for area in compiled.plan.areas] == ["orders", "a", "b"]  # routes.yaml, then by path
    assert compiled.plan.backends[0].headers_set == (("X-A", "key"), ("X-B", "s3cret"))
    watched = {Path(one) for one in files.watch}
    assert {tmp_path / "flags", tmp_path / "areas", tmp_path / "secrets/edge", tmp_path / "routes.yaml"} <= watched


def test_the_plan_is_the_same_wherever_the_directory_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = compile_files(read(put(tmp_path / "one"))).plan
    monkeypatch.chdir(put(tmp_path / "two"))
    assert compile_files(read_files(Path("routes.yaml"), Path("flags/"))).plan == one


def test_a_link_that_is_swapped_is_read_through(tmp_path: Path) -> None:
    put(tmp_path / "v1")
    put(tmp_path / "v2", {"routes.yaml": "otherwise: new\n"})
    link = tmp_path / "data"
    link.symlink_to("v1")
    root = tmp_path / "mounted"
    (root / "flags").mkdir(parents=True)
    (root / "segments").mkdir()
    for name in base.contents():
        (root / name).symlink_to(link / name)
    before = compile_files(read(root)).plan
    fresh = tmp_path / "fresh"
    fresh.symlink_to("v2")
    fresh.replace(link)
    after = compile_files(read(root)).plan
    assert before is not None
    assert after is not None
    assert (before.settings.otherwise, after.settings.otherwise) == ("legacy", "new")


def test_a_directory_and_a_pipe_in_place_of_a_file_are_told(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "segments/pilots.txt").unlink()
    os.mkfifo(tmp_path / "segments/pilots.txt")
    (tmp_path / "flags/orders.flagd.yaml").unlink()
    (tmp_path / "flags/orders.flagd.yaml").mkdir()
    compiled = compile_files(read(tmp_path))
    assert compiled.plan is None
    assert codes(compiled) == ["unreadable-file", "unreadable-file"]


def test_while_routes_yaml_is_broken_the_files_in_force_are_read_too(tmp_path: Path) -> None:
    before = read(put(tmp_path))
    put(tmp_path, {"segments/pilots.txt": "borealis\n"})
    (tmp_path / "routes.yaml").write_text("areas: [\n")
    assert not read(tmp_path).complete
    wanted = read(tmp_path, before)
    assert wanted.complete
    assert wanted.files["segments/pilots.txt"].content == b"borealis\n"


def test_a_missing_directory_of_flags_is_a_configuration_without_flags(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "flags/orders.flagd.yaml").unlink()
    (tmp_path / "flags").rmdir()
    compiled = compile_files(read(tmp_path))
    assert codes(compiled) == ["no-flags", "no-flag"]
    assert str(compiled.complaints[0]).startswith("flags  warning: there is no such directory")


def test_a_missing_routes_yaml_is_told(tmp_path: Path) -> None:
    compiled = compile_files(read(tmp_path))
    assert compiled.plan is None
    assert [str(one) for one in compiled.complaints] == [
        "routes.yaml  there is no such file; it says what is routed where (docs/routes.md)"
    ]


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("areas/*.yaml", "areas/a.yaml", True),
        ("areas/*.yaml", "areas/a/b.yaml", False),
        ("areas/*.yaml", "areas/.hidden.yaml", False),
        ("areas/**/*.yaml", "areas/a.yaml", True),
        ("areas/**/*.yaml", "areas/x/y/a.yaml", True),
        ("./areas/[ab].yaml", "areas/b.yaml", True),
        ("areas/[!ab].yaml", "areas/b.yaml", False),
        ("../shared/?.yaml", "../shared/a.yaml", True),
        ("a.yaml", "./a.yaml", True),
        ("areas/[z-a].yaml", "areas/b.yaml", False),
    ],
)
def test_an_include_means_these_names(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, os.path.normpath(name)) is expected


@given(st.text(alphabet="ab/*?[]!-.", max_size=10), st.text(alphabet="ab/.", min_size=1, max_size=8))
def test_no_pattern_is_too_odd_to_be_asked(pattern: str, name: str) -> None:
    assert matches(pattern, name) in (True, False)


def test_an_identical_set_has_identical_hashes(tmp_path: Path) -> None:
    files = read(put(tmp_path))
    assert all(re.fullmatch("[0-9a-f]{64}", file.hash) for file in files.files.values())
    assert files == read(tmp_path)
