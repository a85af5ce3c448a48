"""Whatever stands in the files: a plan or complaints, never an exception, and never both."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.compile import compile_files
from proxy.config.fileset import FileSet
from proxy.config.problems import errors
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


def hold(files: FileSet) -> None:
    compiled = compile_files(files)
    assert (compiled.plan is None) == any(errors(compiled.complaints))
    for complaint in compiled.complaints:
        assert complaint.text
        assert "\n" not in str(complaint)
    if compiled.plan is not None:
        assert decode_plan(encode_plan(compiled.plan)) == compiled.plan


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
    hold(FileSet.of({**FULL_FILES, "routes.yaml": text}))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), ANYTHING)
def test_any_value_in_any_place_of_a_flag_file(steps: list[int], value: Any) -> None:
    tree = yaml.safe_load(base.flag())
    tree["$evaluators"] = {"early": {"in": ["pilots", {"var": "segments"}]}}
    text = yaml.safe_dump(replaced(tree, steps, value), allow_unicode=True)
    hold(FileSet.of({**FULL_FILES, "flags/orders.flagd.yaml": text}))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FULL_FILES)), st.integers(0, 3000), st.integers(0, 12), st.binary(max_size=6))
def test_any_bytes_in_any_place_of_any_file(name: str, at: int, gone: int, put: bytes) -> None:
    content = FULL_FILES[name].encode()
    at %= len(content) + 1
    hold(FileSet.of({**FULL_FILES, name: content[:at] + put + content[at + gone :]}))
