from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from json_logic import builtins, jsonLogic

from proxy.core.targeting.logic import OPERATORS, lower, names_read

DATA = {"a": 1, "b": "2", "c": [1, "x", [3]], "d": {"e": None, "f": 0.5}, "s": "text", "t": True, "n": None}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([0.5, -1.25, 2.0]),
    st.sampled_from(["", "1", " 2 ", "x", "text", "1e3"]),
)
names = st.sampled_from(["a", "b", "c", "c.1", "c.length", "d", "d.e", "d.f", "s", "s.0", "t", "n", "zz", "", 1, "c.9"])


def applied(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pair = st.lists(inner, min_size=2, max_size=2)
    unary, some = st.lists(inner, min_size=1, max_size=1), st.lists(inner, max_size=4)
    lists = st.one_of(st.lists(inner, max_size=3), st.sampled_from([{"var": "c"}, {"var": "s"}]))
    each = st.one_of(inner, st.just({"var": ""}), st.just({">": [{"var": ""}, 1]}))
    return st.one_of(
        st.builds(lambda op, args: {op: args}, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "-", "in"]), pair),
        st.builds(lambda op, args: {op: args}, st.sampled_from(["!", "!!", "-", "cat"]), unary),
        st.builds(lambda op, args: {op: args}, st.sampled_from(["if", "?:", "and", "or", "+", "*", "cat", "merge"]), some),
        st.builds(lambda args: {"<": args}, st.lists(inner, min_size=3, max_size=3)),
        st.builds(lambda op, a, b: {op: [a, b]}, st.sampled_from(["map", "filter", "all", "some", "none"]), lists, each),
        st.builds(lambda a: {"reduce": [a, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}, lists),
        st.builds(lambda a, b: {"substr": [a, b]}, inner, st.integers(-6, 6)),
        st.builds(lambda a, b, c: {"substr": [a, b, c]}, inner, st.integers(0, 6), st.integers(-6, 6)),
        st.builds(lambda name: {"var": name}, names),
        st.builds(lambda name, default: {"var": [name, default]}, names, scalars),
        st.builds(lambda args: {"missing": args}, st.lists(st.sampled_from(["a", "zz", "d.e"]), max_size=3)),
        st.builds(lambda n, args: {"missing_some": [n, args]}, st.integers(0, 3), st.lists(st.sampled_from(["a", "zz"]), max_size=3)),
    )  # fmt: skip


expressions = st.recursive(st.one_of(scalars, st.builds(lambda name: {"var": name}, names)), applied, max_leaves=12)


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours) and math.isnan(theirs):
        return True
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs)


@pytest.fixture(autouse=True, scope="module")
def corrected_oracle() -> Iterator[None]:
    """The oracle reads a truth value as Python's "True"; JsonLogic, and every other flagd, as "true"."""
    as_it_is = builtins.to_string
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            builtins, "to_string", lambda value: str(value).lower() if isinstance(value, bool) else as_it_is(value)
        )
        yield


@settings(max_examples=1_000)
@given(expressions)
def test_expressions_mean_what_they_mean_to_flagd(expression: Any) -> None:
    try:
        theirs = jsonLogic(expression, DATA)
    except Exception:  # noqa: BLE001  the oracle fails, variously, on pairs that JavaScript compares (a list with null)
        assume(False)
    assert same(lower(expression, "f")(DATA), theirs), theirs


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"starts_with": [{"var": "s"}, "te"]}, True),
        ({"ends_with": [{"var": "s"}, "te"]}, False),
        ({"starts_with": [1, "te"]}, None),
        ({"starts_with": ["te"]}, None),
        ({"sem_ver": ["1.2.3", "=", "v1.2.3"]}, True),
        ({"sem_ver": ["1.2", "<", "1.2.1"]}, True),
        ({"sem_ver": ["1.2.3-rc.1", "<", "1.2.3"]}, True),
        ({"sem_ver": ["1.2.3-rc.2", "<", "1.2.3-rc.10"]}, True),
        ({"sem_ver": ["1.2.3-alpha", ">", "1.2.3-1"]}, True),
        ({"sem_ver": ["1.9.9", "^", "1.0.0"]}, True),
        ({"sem_ver": ["1.9.9", "~", "1.0.0"]}, False),
        ({"sem_ver": ["1.2.3+build", "!=", "1.2.3"]}, False),
        ({"sem_ver": ["1.2.3", ">=", "1.2.3"]}, True),
        ({"sem_ver": ["1.2.3", "<=", "1.2.2"]}, False),
        ({"sem_ver": ["not", "=", "1.2.3"]}, None),
        ({"sem_ver": ["1.2.3", "??", "1.2.3"]}, None),
        ({"sem_ver": ["1.2.3", "="]}, None),
        ({"===": [1, 1.0]}, True),
        ({"!==": ["a", "a"]}, False),
        ({"%": [7, 4]}, 3),
        ({"/": [7, 2]}, 3.5),
        ({"min": [3, "1", 2]}, 1),
        ({"max": [3, "1", 2]}, 3),
        ({"in": ["a", {"var": "zz"}]}, False),
        ({"<": [1, 2, 2]}, False),
    ],
)
def test_an_operator_gives(expression: Any, value: Any) -> None:
    assert lower(expression, "f")(DATA) == value


def test_an_unknown_operator_cannot_be_lowered() -> None:
    with pytest.raises(ValueError, match='unknown operator "oder"'):
        lower({"if": [True, {"oder": []}]}, "f")
    assert "log" not in OPERATORS


def test_the_names_an_expression_reads_are_told() -> None:
    expression = {"cat": [{"var": "claims.tier"}, {"var": ["account", ""]}, {"var": {"cat": ["a", "b"]}}]}
    assert list(names_read(expression)) == ["claims", "account", None]
