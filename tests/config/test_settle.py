"""Every file has its own last good version."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.compile import compile_files
from proxy.config.problems import errors
from proxy.config.settle import Settled, settle
from proxy.config.text.cache import Cache
from proxy.config.text.fileset import FileSet
from proxy.core.plan import Plan, encode_plan
from tests.config import base

INCLUDING = "include: areas/*.yaml\n"
BILLING = "areas:\n  billing: {routes: [{path: /billing, segment: pilots, to: new}]}\n"
ANOTHER_FLAG = base.flag().replace("  orders:", "  search:")


def after(running: Mapping[str, str | None], wanted: Mapping[str, str | None]) -> Settled:
    before = settle(base.files(running), None)
    assert before.compiled.plan is not None, [str(one) for one in before.compiled.complaints]
    return settle(base.files(wanted), before.in_force)


def plan(settled: Settled) -> Plan:
    assert settled.compiled.plan is not None, [str(one) for one in settled.compiled.complaints]
    return settled.compiled.plan


def told(settled: Settled) -> list[str]:
    return [complaint.code for complaint in settled.compiled.complaints]


def share(settled: Settled, key: str = "orders") -> int:
    (found,) = [flag for flag in plan(settled).flags if flag.key == key]
    weight: int = found.clauses[-1].then["fractional"][0][1]
    return weight


def test_at_start_a_broken_file_means_no_plan_and_every_problem_is_told() -> None:
    settled = settle(base.files({"flags/orders.flagd.yaml": "flags: [\n", "routes.yaml": "otherwise: old\n"}), None)
    assert settled.compiled.plan is None
    assert told(settled) == ["bad-yaml", "unknown-value"]


def test_a_file_that_fails_by_itself_stays_and_holds_back_no_other() -> None:
    settled = after(
        {},
        {
            "routes.yaml": "otherwise: new\n",
            "flags/orders.flagd.yaml": "flags: [\n",
            "segments/pilots.txt": "acme\nborealis\n",
        },
    )
    assert plan(settled).settings.otherwise == "new"
    assert plan(settled).tables[0].entries == 2
    assert share(settled) == 5
    assert list(settled.held_back) == ["flags/orders.flagd.yaml"]
    assert told(settled) == ["bad-yaml"]


def test_the_files_in_force_are_those_that_the_plan_was_made_of() -> None:
    settled = after({}, {"flags/orders.flagd.yaml": "flags: [\n"})
    again = compile_files(settled.in_force)
    assert again.plan is not None
    assert encode_plan(again.plan) == encode_plan(plan(settled))


def test_a_file_comes_into_force_once_it_is_mended() -> None:
    broken = after({}, {"flags/orders.flagd.yaml": "flags: [\n"})
    mended = settle(base.files({"flags/orders.flagd.yaml": base.flag().replace("5", "6", 1)}), broken.in_force)
    assert share(mended) == 6
    assert not mended.held_back


def test_a_new_file_that_is_broken_is_left_out() -> None:
    settled = after({"routes.yaml": INCLUDING}, {"routes.yaml": INCLUDING, "areas/billing.yaml": "areas: [\n"})
    assert [area.name for area in plan(settled).areas] == ["orders"]
    assert list(settled.held_back) == ["areas/billing.yaml"]


def test_a_renamed_segment_stays_where_it_was_while_it_is_used_elsewhere() -> None:
    # The error points to areas/billing.yaml, which didn't change; the definition was in routes.yaml, which did.
    files = {"routes.yaml": INCLUDING, "areas/billing.yaml": BILLING}
    renamed = INCLUDING + "segments:\n  early: {accounts: segments/pilots.txt}\notherwise: new\n"
    flag = base.flag("fractional: [[new, 7], [legacy, 93]]\n")
    settled = after(files, {**files, "routes.yaml": renamed, "flags/orders.flagd.yaml": flag})
    assert [segment.name for segment in plan(settled).segments] == ["pilots"]
    assert list(settled.held_back) == ["routes.yaml"]
    assert share_of_last(settled) == 7
    assert "unknown-segment" in told(settled)


def share_of_last(settled: Settled) -> int:
    weight: int = plan(settled).flags[0].clauses[-1].then["fractional"][0][1]
    return weight


def test_a_rename_on_both_sides_comes_into_force_together() -> None:
    files = {"routes.yaml": INCLUDING, "areas/billing.yaml": BILLING}
    renamed = INCLUDING + "segments:\n  early: {accounts: segments/pilots.txt}\n"
    settled = after(
        files,
        {
            "routes.yaml": renamed,
            "areas/billing.yaml": BILLING.replace("pilots", "early"),
            "flags/orders.flagd.yaml": base.flag(base.MANAGED.replace("pilots", "early")),
        },
    )
    assert [segment.name for segment in plan(settled).segments] == ["early"]
    assert not settled.held_back


def test_two_new_files_that_define_one_area_are_both_held_back() -> None:
    settled = after(
        {"routes.yaml": INCLUDING},
        {"routes.yaml": INCLUDING, "areas/a.yaml": BILLING, "areas/b.yaml": BILLING.replace("/billing", "/bills")},
    )
    assert sorted(settled.held_back) == ["areas/a.yaml", "areas/b.yaml"]


def test_a_deleted_area_file_takes_its_routes_with_it_and_is_told_once() -> None:
    running = {"routes.yaml": INCLUDING, "areas/billing.yaml": BILLING}
    settled = after(running, {"routes.yaml": INCLUDING})
    assert [area.name for area in plan(settled).areas] == ["orders"]
    assert "file-gone" in told(settled)
    again = settle(base.files({"routes.yaml": INCLUDING}), settled.in_force)
    assert "file-gone" not in told(again)


def test_a_deleted_flag_that_is_implied_means_legacy() -> None:
    running = {
        "routes.yaml": "cache: off\nareas:\n  orders: {routes: [{path: /orders}]}\n  search: {routes: [{path: /search}]}\n",
        "flags/search.flagd.yaml": ANOTHER_FLAG,
    }
    settled = after(running, {"routes.yaml": running["routes.yaml"]})
    assert [flag.key for flag in plan(settled).flags] == ["orders"]
    assert told(settled) == ["flag-gone", "no-flag"]
    again = settle(base.files({"routes.yaml": running["routes.yaml"]}), settled.in_force)
    assert told(again) == ["no-flag"]


def test_a_flag_that_goes_with_its_area_is_nobodys_loss() -> None:
    running = {
        "routes.yaml": "areas:\n  search: {routes: [{path: /search}]}\n",
        "flags/search.flagd.yaml": ANOTHER_FLAG,
    }
    for areas in ("retired: true, routes: [{path: /search}]", "routes: [{path: /search, to: new}]"):
        settled = after(running, {"routes.yaml": f"areas:\n  search: {{{areas}}}\n"})
        assert "flag-gone" not in told(settled)


def test_a_flag_that_leaves_its_file_is_told_as_gone() -> None:
    routes = "areas:\n  orders: {routes: [{path: /orders}]}\n  search: {routes: [{path: /search}]}\n"
    both = base.flag() + ANOTHER_FLAG.removeprefix("flags:\n")
    settled = after({"routes.yaml": routes, "flags/orders.flagd.yaml": both}, {"routes.yaml": routes})
    assert "warning: the flag search is gone: " in "".join(map(str, settled.compiled.complaints))


def test_a_flag_is_said_to_be_written_by_hand_when_it_becomes_so_and_not_again() -> None:
    by_hand = base.flag("if: [{in: [pilots, {var: segments}]}, new]\n")
    settled = after({}, {"flags/orders.flagd.yaml": by_hand})
    assert told(settled) == ["now-by-hand"]
    assert told(settle(base.files({"flags/orders.flagd.yaml": by_hand}), settled.in_force)) == []


def test_a_flag_that_is_switched_off_is_no_accident() -> None:
    assert told(after({}, {"flags/orders.flagd.yaml": base.flag().replace("ENABLED", "DISABLED")})) == []


def test_a_deleted_flag_that_is_written_stays_in_force() -> None:
    written = (
        "cache: off\nareas:\n  orders: {routes: [{path: /orders}]}\n  find: {flag: search, routes: [{path: /search}]}\n"
    )
    settled = after({"routes.yaml": written, "flags/search.flagd.yaml": ANOTHER_FLAG}, {"routes.yaml": written})
    assert share(settled, "search") == 5
    assert list(settled.held_back) == ["flags/search.flagd.yaml"]
    assert told(settled) == ["unknown-flag"]


def test_a_deleted_list_whose_segment_is_in_use_stays_in_force() -> None:
    settled = after({}, {"segments/pilots.txt": None})
    assert plan(settled).tables[0].entries == 1
    assert list(settled.held_back) == ["segments/pilots.txt"]


def test_the_last_flags_stay_in_force_when_all_of_them_vanish() -> None:
    two = {"flags/search.flagd.yaml": ANOTHER_FLAG, "routes.yaml": "areas:\n  search: {routes: [{path: /s}]}\n"}
    wanted = {"routes.yaml": two["routes.yaml"], "flags/orders.flagd.yaml": None}
    settled = after(two, wanted)
    assert share(settled, "search") == 5
    assert sorted(settled.held_back) == ["flags/orders.flagd.yaml", "flags/search.flagd.yaml"]
    assert "flags-vanished" in told(settled)


def test_the_last_flags_may_go_with_the_last_area_that_asks_one() -> None:
    for over in (
        "  orders: {retired: true, routes: [{path: /orders}]}",
        "  orders: {routes: [{path: /orders, to: new}]}",
    ):
        settled = after({}, {"routes.yaml": f"areas:\n{over}\n", "flags/orders.flagd.yaml": None})
        assert plan(settled).flags == ()
        assert settled.held_back == {}
        assert told(settled) == []


def test_deleting_routes_yaml_changes_nothing() -> None:
    before = settle(base.files(), None)
    wanted = base.files()
    gone = FileSet(files={name: file for name, file in wanted.files.items() if name != "routes.yaml"}, complete=False)
    settled = settle(gone, before.in_force)
    assert plan(settled) == plan(before)
    assert list(settled.held_back) == ["routes.yaml"]


def test_while_routes_yaml_is_broken_the_other_files_are_still_taken_over() -> None:
    # A reader that couldn't read routes.yaml doesn't know of segments/pilots.txt: unread isn't deleted.
    before = settle(base.files(), None)
    broken = {"routes.yaml": b"areas: [\n", "flags/orders.flagd.yaml": base.flag().replace("5", "9", 1).encode()}
    unread = FileSet(files=FileSet.of(broken).files, complete=False)
    settled = settle(unread, before.in_force)
    assert share(settled) == 9
    assert plan(settled).tables == plan(before).tables
    assert list(settled.held_back) == ["routes.yaml"]


def test_files_that_nobody_names_any_more_leave_the_set() -> None:
    unused = "segments:\n  pilots: {regions: [DE]}\n"
    settled = after({}, {"routes.yaml": unused})
    assert "segments/pilots.txt" not in settled.in_force.files


VERSIONS: dict[str, list[str | None]] = {
    "routes.yaml": [
        INCLUDING,
        INCLUDING + "otherwise: new\n",
        INCLUDING + "segments:\n  early: {accounts: segments/pilots.txt}\n",
        "areas: [\n",
        INCLUDING + "areas:\n  orders: {flag: search, routes: [{path: /orders}]}\n",
    ],
    "areas/billing.yaml": [BILLING, None, BILLING.replace("pilots", "early"), "area: {}\n"],
    "areas/more.yaml": [None, BILLING, "areas:\n  more: {routes: [{path: /more, to: new}]}\n"],
    "segments/pilots.txt": ["acme\n", "acme\nborealis\n", None, "a\x07\n"],
    "flags/orders.flagd.yaml": [base.flag(), base.flag("fractional: [[new, 7], [legacy, 93]]\n"), None, "flags: [\n"],
    "flags/search.flagd.yaml": [None, ANOTHER_FLAG, base.flag()],
}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.fixed_dictionaries({name: st.sampled_from(made) for name, made in VERSIONS.items()}), max_size=4))
def test_whatever_is_edited_there_is_a_plan_and_what_is_not_held_back_is_in_force(
    edits: list[dict[str, str | None]],
) -> None:
    cache = Cache()
    settled = settle(base.files({"routes.yaml": INCLUDING}), None, cache)
    for edit in edits:
        wanted = base.files(edit)
        settled = settle(wanted, settled.in_force, cache)
        assert settled.compiled.plan is not None
        for name in settled.compiled.used - settled.held_back.keys():
            assert settled.in_force.hash_of(name) == wanted.hash_of(name)
        # A file is held back for a reason that is told, and nothing is told that nobody is held back for.
        assert bool(settled.held_back) == any(errors(settled.compiled.complaints))
        fresh = compile_files(settled.in_force)
        assert fresh.plan is not None
        assert encode_plan(fresh.plan) == encode_plan(settled.compiled.plan)
