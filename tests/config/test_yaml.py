"""YAML is read narrower than YAML 1.2, and JSON as strictly as it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.problems import Report
from proxy.config.text.json import read_json
from proxy.config.text.nodes import Mapping, Scalar, data
from proxy.config.text.yaml import read_yaml

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def read(text: str) -> Any:
    report = Report("f")
    node = read_yaml(text, report)
    assert node is not None, report.complaints
    return data(node)


@pytest.mark.parametrize(
    "text",
    [
        "NO",
        "no",
        "off",
        "yes",
        "010",
        "17:00",
        "1_000",
        "0x1F",
        "0o7",
        "2027-03-31",
        "~",
        ".5",
        "1.",
        "+1",
        "True",
        "NULL",
        "<<",
    ],
)
def test_what_other_readers_take_for_something_else_stays_text(text: str) -> None:
    assert read(f"key: {text}\n") == {"key": text}
    assert read(f"[{text}]\n") == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("false", False), ("null", None), ("7", 7), ("-1.5", -1.5), ("1e3", 1000.0), ("", None)],
)
def test_only_json_words_and_numbers_are_not_text(text: str, value: object) -> None:
    assert read(f"key: {text}\n") == {"key": value}
    assert type(read(f"key: {text}\n")["key"]) is type(value)


@pytest.mark.parametrize("quoted", ['"true"', "'7'", "|-\n  null", ">-\n  1.5"])
def test_quotes_and_blocks_make_text_of_anything(quoted: str) -> None:
    assert isinstance(read(f"key: {quoted}\n")["key"], str)


@given(VALUES)
def test_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    report = Report("f")
    node = read_json(json.dumps(value, indent=1), report)
    assert node is not None
    assert data(node) == value
    assert not report.complaints


@given(st.text(alphabet='{}[]",:1ae\\ \n-.u', max_size=12))
def test_what_is_no_json_is_told_and_never_raised(text: str) -> None:
    report = Report("f")
    node = read_json(text, report)
    try:
        expected = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except ValueError:
        assert node is None
        assert [one.code for one in report.complaints] == ["bad-json"]
    else:
        assert node is not None
        if not report.complaints:  # a key that stands twice
            assert data(node) == json.loads(text), expected


@given(st.text(alphabet="ab:-[]{}&*!|>'\"# \n\t?,%\x07é", max_size=24))
def test_whatever_stands_in_a_yaml_file_is_read_or_told_within_the_file(text: str) -> None:
    report = Report("f")
    node = read_yaml(text, report)
    assert node is not None or report.complaints
    lines = text.count("\n") + 2
    assert all(1 <= one.line <= lines and one.column >= 1 for one in report.complaints)


def test_numbers_beyond_what_a_plan_holds_are_doubles_and_beyond_those_text() -> None:
    assert read("a: 99999999999999999999\nb: 1e999\n") == {"a": 1e20, "b": "1e999"}
    report = Report("f")
    assert read_json("1e999", report) is None
    assert [one.code for one in report.complaints] == ["bad-json"]


def test_every_value_knows_its_place_in_characters() -> None:
    node = read_yaml('é: {ü: [a, "b"]}\n', Report("f"))
    assert isinstance(node, Mapping)
    inner = node.get("é")
    assert isinstance(inner, Mapping)
    key, items = inner.entries["ü"]
    assert (key.line, key.column) == (1, 5)
    assert [(one.column, one.text, one.lead) for one in items.items if isinstance(one, Scalar)] == [  # type: ignore[union-attr]
        (9, "a", 0),
        (12, "b", 1),
    ]


def test_an_alias_repeats_what_its_anchor_names() -> None:
    assert read("a: &routes [x, y]\nb: *routes\n") == {"a": ["x", "y"], "b": ["x", "y"]}


@pytest.mark.parametrize("text", ["a: &x [*x]\n", "a: *x\n"])
def test_an_alias_of_nothing_or_of_itself_is_told(text: str) -> None:
    report = Report("f")
    assert read_yaml(text, report) is None
    assert [one.code for one in report.complaints] == ["bad-yaml"]
