"""Limits as they are written: sizes, counts, durations, and what stands for none."""

from __future__ import annotations

import pytest

from proxy.config.compile import Compiled, compile_files
from proxy.config.edges.limits import ROWS
from proxy.config.quantities import duration_text, size_text
from proxy.core.limits import DEFAULT_LIMITS
from proxy.core.plan import encode_plan
from tests.config import base


def with_limits(text: str, rest: str = "") -> Compiled:
    return compile_files(base.files({"routes.yaml": f"limits: {{{text}}}\n{rest}"}))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2048", 2048),
        ("2048B", 2048),
        ("2KiB", 2048),
        ("2kB", 2000),
        ("1MiB", 1 << 20),
        ("1MB", 1_000_000),
        ("1GiB", 1 << 30),
        ("1GB", 10**9),
        ("off", 0),
    ],
)
def test_a_size_is_a_number_of_bytes_with_or_without_a_unit(text: str, size: int) -> None:
    plan = with_limits(f"body: {text}").plan
    assert plan is not None
    assert plan.settings.limits.body_bytes == size


@pytest.mark.parametrize("text", ["1.5MB", "64 KiB", "64kb", "64K", "-1", "0", "2000GiB", "0x10", "null", '""'])
def test_anything_else_is_no_size(text: str) -> None:
    assert {one.code for one in with_limits(f"body: {text}").complaints} <= {"bad-size", "wrong-kind"}
    assert with_limits(f"body: {text}").plan is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("head: off", "bad-size"),  # nobody reads a head without end
        ("head: 100", "bad-size"),
        ("headers: off", "wrong-kind"),
        ("connections: 0", "bad-number"),
        ("connections_per_client: 0", "bad-number"),
        ("idle: off", "bad-duration"),
        ("boddy: 1MB", "unknown-key"),
    ],
)
def test_what_a_limit_does_not_take_is_told(text: str, code: str) -> None:
    assert [one.code for one in with_limits(text).complaints] == [code]


def test_an_area_has_its_own_limit_of_bodies_or_the_files() -> None:
    areas = "areas:\n  orders: {body: 5MB, routes: [{path: /orders}]}\n  files: {body: off, routes: [{path: /files, to: new}]}\n"
    plan = with_limits("body: 1MB", areas + "  rest: {routes: [{path: /rest, to: new}]}\n").plan
    assert plan is not None
    assert {area.name: area.body_bytes for area in plan.areas} == {"orders": 5_000_000, "files": 0, "rest": None}


def test_defaults_written_out_are_the_same_plan() -> None:
    written = ", ".join(f"{row.limit}: {row.without.strip('`')}" for row in ROWS if row.default is None)
    plan, without = with_limits(written).plan, compile_files(base.files()).plan
    assert plan is not None
    assert without is not None
    assert plan.settings.limits == DEFAULT_LIMITS
    assert encode_plan(plan).splitlines()[0] == encode_plan(without).splitlines()[0]


@pytest.mark.parametrize("size", [1, 512, 1024, 1536, 65536, 1 << 20, 3 << 30])
def test_a_size_that_is_told_can_be_read_again(size: int) -> None:
    text = size_text(size)
    found = with_limits(f"body: {text}").plan
    assert found is not None
    assert found.settings.limits.body_bytes == size


def test_durations_are_told_as_people_write_them() -> None:
    assert [duration_text(seconds) for seconds in (3600.0, 90.0, 0.25)] == ["1h", "90s", "0.25s"]
