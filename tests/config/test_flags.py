"""Flags are compiled to clauses that know their places."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.config.compile import Compiled, compile_files
from proxy.config.text.fileset import FileSet
from proxy.core.plan import Flag
from tests.config import base


def compiled(targeting: str, **flags: str) -> Compiled:
    over: dict[str, str | None] = {"flags/orders.flagd.yaml": base.flag(targeting) + "".join(flags.values())}
    return compile_files(base.files(over))


def flag(targeting: str, **rest: str) -> Flag:
    done = compiled(targeting, **rest)
    assert done.plan is not None, [str(one) for one in done.complaints]
    (found,) = done.plan.flags
    return found


def codes(targeting: str) -> list[str]:
    return [one.code for one in compiled(targeting).complaints]


def test_an_if_is_flattened_into_clauses_with_their_places() -> None:
    found = flag(base.MANAGED)
    assert found.managed
    assert [(one.id, one.place, one.when, one.then) for one in found.clauses] == [
        ("1", "flags/orders.flagd.yaml:8:11", {"in": ["pilots", {"var": "segments"}]}, "new"),
        ("2", "flags/orders.flagd.yaml:10:11", None, {"fractional": [["new", 5], ["legacy", 95]]}),
    ]


@pytest.mark.parametrize(
    ("targeting", "clauses"),
    [
        ("{}", []),
        ("if: [true, new]", [(True, "new")]),
        ("if: [true, new, legacy]", [(True, "new"), (None, "legacy")]),
        ("if: [true, new, {if: [false, legacy, new]}]", [(True, "new"), (False, "legacy"), (None, "new")]),
        ('"?:": [true, new, legacy]', [(True, "new"), (None, "legacy")]),
        ("if: [true, null, legacy]", [(True, None), (None, "legacy")]),
        ("if: [null, new, legacy]", [(False, "new"), (None, "legacy")]),
        ("if: [true, new, null]", [(True, "new")]),
        ("fractional: [new, legacy]", None),
        ("and: [true, new]", [(None, {"and": [True, "new"]})]),
        (
            "if: [true, {if: [false, legacy, new]}, legacy]",
            [(True, {"if": [False, "legacy", "new"]}), (None, "legacy")],
        ),
    ],
)
def test_targeting_becomes_these_clauses(targeting: str, clauses: list[tuple[Any, Any]] | None) -> None:
    if clauses is None:
        assert "bad-share" in codes(targeting)
    else:
        assert [(one.when, one.then) for one in flag(targeting).clauses] == clauses


@pytest.mark.parametrize(
    "targeting",
    [
        "fractional: [[new, 5], [legacy, 95]]",  # no if
        "if: [{in: [pilots, {var: segments}]}, new, {fractional: [[new, 5], [legacy, 94]]}]",  # total
        "if: [{in: [pilots, {var: segments}]}, new, {fractional: [[legacy, 95], [new, 5]]}]",  # order
        "if: [{in: [pilots, {var: segments}]}, new, {if: [{fractional: [[new, 5], [legacy, 95]]}]}]",  # nested
        "if: [{in: [{var: account}, [acme]]}, new, {fractional: [[new, 5], [legacy, 95]]}]",  # another condition
        "if: [{in: [pilots, {var: segments}]}, null, {fractional: [[new, 5], [legacy, 95]]}]",
        "if: [{in: [pilots, {var: segments}]}, new, {fractional: [{var: region}, [new, 5], [legacy, 95]]}]",
        "if: [{in: [pilots, {var: segments}]}, new]",
        "{}",
    ],
)
def test_anything_but_the_managed_shape_is_hand_written(targeting: str) -> None:
    assert not flag(targeting).managed


@pytest.mark.parametrize("total", [100, 10_000])
@pytest.mark.parametrize("new", [0, 1, 50])
def test_the_managed_shape_holds_at_every_share(total: int, new: int) -> None:
    assert flag(f"if: [{{fractional: [[new, {new}], [legacy, {total - new}]]}}]").managed


def test_a_ref_is_replaced_by_what_it_names_and_makes_a_flag_hand_written() -> None:
    found = flag(
        "if: [{$ref: early}, new, {fractional: [[new, 5], [legacy, 95]]}]\n",
        evaluators="$evaluators:\n  early: {$ref: pilots}\n  pilots: {in: [pilots, {var: segments}]}\n",
    )
    assert found.clauses[0].when == {"in": ["pilots", {"var": "segments"}]}
    assert not found.managed


def test_a_json_file_says_the_same_as_a_yaml_file() -> None:
    targeting = {"if": [{"in": ["pilots", {"var": "segments"}]}, "new", {"fractional": [["new", 5], ["legacy", 95]]}]}
    written = {
        "flags": {
            "orders": {
                "state": "ENABLED",
                "variants": {"new": "new", "legacy": "legacy"},
                "defaultVariant": "legacy",
                "targeting": targeting,
            }
        }
    }
    over: dict[str, str | None] = {
        "flags/orders.flagd.yaml": None,
        "flags/orders.flagd.json": json.dumps(written, indent=2),
    }
    done = compile_files(base.files(over))
    assert done.plan is not None
    (found,) = done.plan.flags
    assert found.managed
    assert [one.then for one in found.clauses] == [one.then for one in flag(base.MANAGED).clauses]
    assert found.clauses[0].place == "flags/orders.flagd.json:12:11"


@pytest.mark.parametrize(
    ("targeting", "code"),
    [
        ('if: [{in: [{var: account}, ["1", 2]]}, new]', "number-for-text"),
        ('if: [{"===": [7, {var: [region]}]}, new]', "number-for-text"),
        ("fractional: [[new, {var: region}], [legacy, 5]]", "needs-timed"),
        ("if: [{var: {cat: [a, b]}}, new]", "needs-timed"),
        ("fractional: [[newer, 5], [legacy, 95]]", "unknown-variant"),
        ("if: [true, {if: [true, newer]}]", "unknown-variant"),
        ("if: [true, 7]", "unknown-variant"),
        ("fractional: [[new, -5], [legacy, 95]]", "bad-share"),
        ("fractional: [[new, 2147483647], [legacy, 1]]", "bad-total"),
        ("if: [{sem_ver: [{var: region}, is, 1.0.0]}, new]", "unknown-value"),
        ("if: [{in: [pilot, {var: segments}]}, new]", "unknown-segment"),
        ("if: [{var: claims.tier}, new]", "not-yet"),
        ("fractional: [[new, 1], [legacy, 100]]", "odd-total"),
        ("fractional: [[new, 50], [legacy, 49]]", "odd-total"),
        ("fractional: [[new, 5000], [legacy, 5001]]", "odd-total"),
        ("if: [{in: [pilots, {var: segments}]}, {in: [pilots, {var: segments}]}, new]", "out-of-step"),
        ("if: [{in: [pilots, {var: segments}]}, legacy, new, legacy]", "out-of-step"),
    ],
)
def test_what_is_wrong_inside_targeting_is_found_at_any_depth(targeting: str, code: str) -> None:
    assert code in codes(targeting)


@pytest.mark.parametrize(
    "targeting",
    [
        'if: [{in: [{var: account}, ["1", "2"]]}, new]',
        'if: [{"==": [{var: $flagd.flagKey}, orders]}, new]',
        "fractional: [[new], [legacy]]",
        "fractional: [{cat: [{var: region}, x]}, [new, 5], [legacy, 95]]",
        "fractional: [[new, 0], [legacy, 100]]",
        "fractional: [[new, 250], [legacy, 9750]]",
        "if: [{in: [pilots, {var: segments}]}, {fractional: [[new, 5], [legacy, 95]]}, legacy]",
        'if: [{"==": [{var: region}, DE]}, {fractional: [[new, 5], [legacy, 95]]}]',
        'if: [{some: [{var: segments}, {"==": [{var: ""}, pilots]}]}, new]',
        'if: [{reduce: [[1, 2], {"+": [{var: current}, {var: accumulator}]}, 0]}, new]',
    ],
)
def test_what_is_right_is_not_complained_about(targeting: str) -> None:
    assert codes(targeting) == []


def test_a_timed_flag_may_read_the_time_and_compute_its_share() -> None:
    timed = "    metadata: {timed: true}\n"
    found = flag('fractional: [[new, {"-": [{var: $flagd.timestamp}, 1]}], [legacy, 5]]\n', metadata=timed)
    assert found.clauses[0].when is None


def test_only_flags_that_an_area_uses_are_in_the_plan_and_held_to_its_variants() -> None:
    other = "flags:\n  banner: {state: ENABLED, variants: {on: true, off: false}, defaultVariant: on}\n"
    done = compile_files(base.files({"flags/other.flagd.yaml": other}))
    assert done.plan is not None
    assert [one.key for one in done.plan.flags] == ["orders"]
    assert [one.code for one in done.complaints] == ["unused-flag"]


def test_a_flag_that_its_area_leaves_for_another_is_told_which() -> None:
    routes = "areas:\n  search: {flag: orders, routes: [{path: /search}]}\n"
    search = "flags:\n  search: {state: DISABLED, variants: {new: new, legacy: legacy}}\n"
    told = [
        str(one)
        for one in compile_files(base.files({"routes.yaml": routes, "flags/search.flagd.yaml": search})).complaints
    ]
    assert any(
        one.endswith('flags.search: warning: no area uses this flag; area search asks "orders"') for one in told
    ), told


@pytest.mark.parametrize(
    ("targeting", "says"),
    [
        ("fractional: [[new 10], [legacy, 90]]", '"new 10": a share is [variant, weight], with a comma: [new, 10]'),
        ("fractional: [[new, 10%], [legacy, 90%]]", 'a weight is a whole number, not "10%"; write 10, without %'),
    ],
)
def test_a_share_that_is_written_wrong_is_told_once_with_the_right_way(targeting: str, says: str) -> None:
    told = [one.text for one in compiled(targeting).complaints]
    assert told[0] == says
    assert not [one for one in told if "variant of this flag" in one]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", " \n"])
def test_an_empty_file_is_told_alone(text: str) -> None:
    flags = compile_files(base.files({"flags/orders.flagd.yaml": text}))
    json_flags = compile_files(base.files({"flags/orders.flagd.yaml": None, "flags/orders.flagd.json": ""}))
    routes = compile_files(FileSet.of({**base.contents(), "routes.yaml": text}))
    assert [str(one) for one in (*flags.complaints, *json_flags.complaints, *routes.complaints)] == [
        "flags/orders.flagd.yaml  is empty; docs/flags.md shows what stands in it",
        "flags/orders.flagd.json  is empty; docs/flags.md shows what stands in it",
        "routes.yaml  is empty; docs/routes.md shows what stands in it",
    ]


def test_a_key_with_a_line_end_doesnt_break_a_complaint_in_two() -> None:
    done = compile_files(base.files({"flags/orders.flagd.yaml": 'flags:\n  "a\\nb": {state: ON}\n'}))
    assert [str(one) for one in done.complaints if "\n" in str(one)] == []
    assert "flags.a\\nb.state: " in "".join(map(str, done.complaints))
