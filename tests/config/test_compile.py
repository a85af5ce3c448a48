"""Files become a plan that workers can build, again and again the same, and only what changed is made anew."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from proxy.config.compile import compile_files
from proxy.config.text.cache import Cache
from proxy.config.text.files import read_files
from proxy.config.text.fileset import File, FileSet
from proxy.core.generation import Generation, assemble
from proxy.core.plan import encode_plan, plan_name
from tests.config import base
from tests.config.test_schema import FULL

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef0123456789abcdef"
FULL_FILES = {
    "routes.yaml": FULL,
    "accounts.csv": "id,region,tier\nacme,DE,strategic\n",
    "segments/pilots.txt": "acme\n",
    "secrets/edge": "s3cret\n",
    "secrets/cookies": f"{KEY}\n",
    "env:COOKIES_BEFORE": KEY[::-1],
    "flags/orders.flagd.yaml": base.flag(),
}


def built(steps: Generator[None, None, Generation]) -> Generation:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            generation: Generation = done.value
            return generation


def test_a_configuration_with_every_key_becomes_a_plan_that_a_worker_can_build() -> None:
    compiled = compile_files(FileSet.of(FULL_FILES))
    assert compiled.plan is not None, [str(one) for one in compiled.complaints]
    assert compiled.complaints == ()
    text = encode_plan(compiled.plan)
    generation = built(
        assemble(
            text, lambda digest: memoryview(compiled.tables[digest]), number=1, name=plan_name(text), now_s=lambda: 0
        )
    )
    assert set(generation.areas) == {"orders", "blog"}
    assert generation.trusts("10.1.2.3")
    assert not generation.settings.count_leaks
    assert [area.cache for area in compiled.plan.areas] == ["private", "vary"]
    assert compiled.plan.settings.vary == ("Cookie", "X-Account-Id", "X-Beta", "X-Region")


def test_the_sample_at_the_top_is_valid_without_a_warning() -> None:
    compiled = compile_files(read_files(ROOT / "routes.yaml", ROOT / "flags"))
    assert compiled.plan is not None
    assert compiled.complaints == ()


def test_equal_files_give_equal_plans_with_or_without_a_cache() -> None:
    cache = Cache()
    plans = [compile_files(FileSet.of(FULL_FILES), kept).plan for kept in (None, cache, cache)]
    assert plans[0] is not None
    assert len({encode_plan(plan) for plan in plans if plan is not None}) == 1
    assert None not in plans


def test_the_edit_of_a_flag_makes_nothing_else_anew() -> None:
    cache = Cache()
    files = FileSet.of(FULL_FILES)
    before = compile_files(files, cache).plan
    edited = files.with_files({"flags/orders.flagd.yaml": File.of(base.flag("{}").encode())})
    after = compile_files(edited, cache).plan
    assert before is not None
    assert after is not None
    assert after.routes is before.routes
    assert after.segments is before.segments
    assert after.flags != before.flags


def test_what_is_no_longer_asked_for_leaves_the_cache() -> None:
    cache = Cache()
    made = [cache.get("kept", object)]
    for _ in range(20):
        made.append(cache.get("kept", object))
        cache.end_round()
    assert len(set(map(id, made))) == 1
    for _ in range(20):
        cache.end_round()
    assert cache.get("kept", object) is not made[0]


def test_segments_stand_before_those_that_are_made_of_them_whatever_the_order_in_the_file() -> None:
    text = "segments:\n  last: {all: [middle, pilots]}\n  middle: {not: [pilots]}\n  pilots: {accounts: segments/pilots.txt}\n"
    plan = compile_files(base.files({"routes.yaml": text})).plan
    assert plan is not None
    assert [segment.name for segment in plan.segments] == ["pilots", "middle", "last"]


def test_a_chain_of_thousands_of_segments_is_no_deeper_than_one() -> None:
    chain = "".join(f"  s{i}: {{any: s{i + 1}}}\n" for i in range(3000))
    text = f"segments:\n{chain}  s3000: {{accounts: segments/pilots.txt}}\n  pilots: {{any: s0}}\n"
    plan = compile_files(base.files({"routes.yaml": text})).plan
    assert plan is not None
    assert plan.segments[0].name == "s3000"


def test_one_list_that_two_segments_name_is_one_table() -> None:
    text = "segments:\n  pilots: {accounts: segments/pilots.txt}\n  early: {accounts: ./segments/pilots.txt}\n"
    plan = compile_files(base.files({"routes.yaml": text})).plan
    assert plan is not None
    assert len(plan.tables) == 1


def test_a_secret_never_shows_in_a_message() -> None:
    backends = (
        'backends:\n  legacy: {url: "http://l:1", headers: {set: {X-Key: file:key}}}\n  new: {url: "http://n:1"}\n'
    )
    compiled = compile_files(base.files({"routes.yaml": backends, "key": "hunter2\nhunter3\n"}))
    assert compiled.plan is None
    assert "hunter" not in "".join(map(str, compiled.complaints))


def test_names_of_a_file_that_cannot_be_read_are_not_called_unknown() -> None:
    text = "include: more.yaml\ncache: off\nareas:\n  orders: {flag: elsewhere, routes: [{path: /orders, segment: elsewhere}]}\n"
    compiled = compile_files(
        base.files({"routes.yaml": text, "more.yaml": "segments: [\n", "flags/more.flagd.yaml": "flags: [\n"})
    )
    assert [one.code for one in compiled.complaints] == ["bad-yaml", "bad-yaml"]


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("areas:\n  orders: {routes: [{path: /orders}]}\n", True),
        ("areas:\n  orders: {cache: vary, routes: [{path: /orders}]}\n", False),
        ("cache: off\nareas:\n  orders: {routes: [{path: /orders}]}\n", False),
        ("areas:\n  orders: {routes: [{path: /orders, to: new}]}\n", False),
        ("areas:\n  orders: {routes: [{path: /orders, to: new, segment: pilots}]}\n", True),
        ("areas:\n  orders: {retired: true, routes: [{path: /orders}]}\n", False),
        ("identity: {account: []}\nareas:\n  orders: {routes: [{path: /orders}]}\n", False),
    ],
)
def test_shared_caches_are_warned_of_where_answers_depend_on_the_account(text: str, *, warned: bool) -> None:
    assert (
        "shared-cache" in [one.code for one in compile_files(base.files({"routes.yaml": text})).complaints]
    ) == warned


@pytest.mark.parametrize(
    ("targeting", "warned"),
    [
        ("fractional: [[new, 5], [legacy, 95]]\n", True),
        ("fractional: [[new, 0], [legacy, 100]]\n", False),
        ("fractional: [[new, 100], [legacy, 0]]\n", False),
        ("if:\n  - {in: [pilots, {var: segments}]}\n  - new\n  - legacy\n", True),
    ],
)
def test_a_share_of_nobody_or_everybody_gives_no_account_another_answer(targeting: str, *, warned: bool) -> None:
    files = {
        "routes.yaml": "areas:\n  orders: {routes: [{path: /orders}]}\n",
        "flags/orders.flagd.yaml": base.flag(targeting),
    }
    assert ("shared-cache" in [one.code for one in compile_files(base.files(files)).complaints]) == warned
