"""Whatever stands in the files: a plan or complaints, never an exception, and never both."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.compile import compile_files
from proxy.config.problems import errors
from proxy.config.text.files import read_files
from proxy.control.plans.watch import look
from proxy.core.plan import decode_plan, encode_plan
from tests.config import base
from tests.config.test_compile import FULL_FILES

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 20_000)
    | st.integers()
    | st.sampled_from((2**63, -(2**64), 1e308))
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
WORDS = st.sampled_from(
    ("if", "in", "var", "fractional", "new", "legacy", "segments", "account", "==", "$ref", "pilots", "?:")
)
ANYTHING = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=3),
    max_leaves=15,
)


def hold(contents: Mapping[str, str] | Mapping[str, bytes]) -> list[str]:
    """Go the way of a reload, beginning at the disk; gives the codes of what is told."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name, content in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        files = read_files(root / "routes.yaml", root / "flags")
        look(files.watch)
        assert all(name.encode() for name in files.files)
    compiled = compile_files(files)
    assert (compiled.plan is None) == any(errors(compiled.complaints))
    for complaint in compiled.complaints:
        assert complaint.text
        assert "\n" not in str(complaint)
    if compiled.plan is not None:
        assert decode_plan(encode_plan(compiled.plan)) == compiled.plan
    return [one.code for one in compiled.complaints]


def replaced(tree: Any, steps: list[int], value: Any) -> Any:
    """The tree with one of its values replaced; `steps` choose the way down."""
    if not steps or not isinstance(tree, dict | list) or not tree:
        return value
    at, *rest = steps
    if isinstance(tree, list):
        at %= len(tree)
        return [replaced(one, rest, value) if i == at else one for i, one in enumerate(tree)]
    chosen = list(tree)[at % len(tree)]
    return {key: replaced(one, rest, value) if key == chosen else one for key, one in tree.items()}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), ANYTHING)
def test_any_value_in_any_place_of_routes_yaml(steps: list[int], value: Any) -> None:
    tree = yaml.safe_load(FULL_FILES["routes.yaml"])
    text = yaml.safe_dump(replaced(tree, steps, value), allow_unicode=True)
    hold({**FULL_FILES, "routes.yaml": text})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), ANYTHING)
def test_any_value_in_any_place_of_a_flag_file(steps: list[int], value: Any) -> None:
    tree = yaml.safe_load(base.flag())
    tree["$evaluators"] = {"early": {"in": ["pilots", {"var": "segments"}]}}
    made = replaced(tree, steps, value)
    hold({**FULL_FILES, "flags/orders.flagd.yaml": yaml.safe_dump(made, allow_unicode=True)})
    others = {name: text for name, text in FULL_FILES.items() if name != "flags/orders.flagd.yaml"}
    others["flags/orders.flagd.json"] = json.dumps(made)
    hold(others)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FULL_FILES)), st.integers(0, 3000), st.integers(0, 12), st.binary(max_size=6))
def test_any_bytes_in_any_place_of_any_file(name: str, at: int, gone: int, put: bytes) -> None:
    content = FULL_FILES[name].encode()
    at %= len(content) + 1
    others = {other: text.encode() for other, text in FULL_FILES.items()}
    hold({**others, name: content[:at] + put + content[at + gone :]})


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff", "\\ude00\\ud83d"])
@pytest.mark.parametrize("where", ['"owner": "%s"', '"%s": "desk"'])
def test_half_a_surrogate_pair_in_json_is_told(text: str, where: str) -> None:
    metadata = "{" + where % text + "}"
    flag = '{"state": "ENABLED", "variants": {"new": "new"}, "metadata": ' + metadata + "}"
    assert "bad-json" in hold({**FULL_FILES, "flags/odd.flagd.json": '{"flags": {"odd": ' + flag + "}}"})


def test_a_whole_surrogate_pair_in_json_is_a_character() -> None:
    written = (
        '{"flags": {"odd": {"state": "ENABLED", "variants": {"new": "new"}, "metadata": {"a": "\\ud83d\\ude00"}}}}'
    )
    assert "bad-json" not in hold({**FULL_FILES, "flags/odd.flagd.json": written})


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("accounts", 'segments: {pilots: {accounts: "a\\0b.txt"}}\n'),
        ("register", 'accounts: {register: "a\\0b.csv"}\n'),
        ("include", 'include: ["a\\0b.yaml", "a\\0b/*.yaml"]\n'),
        (
            "file:",
            'backends: {legacy: {url: "http://a"}, new: {url: "http://b", headers: {set: {X-A: "file:a\\0b"}}}}\n',
        ),
        ("env:", 'backends: {legacy: {url: "http://a"}, new: {url: "http://b", headers: {set: {X-A: "env:a\\0b"}}}}\n'),
    ],
)
def test_a_nul_character_in_a_path_is_told(key: str, written: str) -> None:
    codes = hold(base.contents({"routes.yaml": written}))
    assert {"unreadable-file", "missing-env"} & set(codes), key


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take UTF-8 only")
def test_a_name_that_is_no_utf8_is_told() -> None:
    odd = os.fsdecode(b"\xff")
    written = base.contents({"routes.yaml": "include: areas/*.yaml\n"})
    codes = hold({**written, f"areas/{odd}.yaml": b"areas: {}\n", f"flags/{odd}.flagd.yaml": base.flag().encode()})
    assert codes.count("unreadable-file") == 2


def test_evaluators_of_evaluators_are_as_deep_as_anything_else_may_be() -> None:
    deep: Any = {"$ref": "e0"}
    evaluators: dict[str, Any] = {"e0": {"in": ["pilots", {"var": "segments"}]}}
    for number in range(60):
        for _ in range(45):
            deep = {"!": [deep]}
        evaluators[f"e{number + 1}"] = deep
        deep = {"$ref": f"e{number + 1}"}
    targeting = {"if": [deep, "new", "legacy"]}
    flag = {"state": "ENABLED", "variants": {"new": "new", "legacy": "legacy"}, "targeting": targeting}
    contents: dict[str, str | None] = {
        "flags/orders.flagd.yaml": None,
        "flags/orders.flagd.json": json.dumps({"flags": {"orders": flag}, "$evaluators": evaluators}),
    }
    assert "too-deep" in hold(base.contents(contents))
