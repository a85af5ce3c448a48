"""The oracle can fail: a doctored story for every kind of violation; and its model of the configuration is the published one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from soak.drilled import Drilled
from soak.expected import History, Situation, bucket_bp, murmur3
from soak.oracle import Cause, Oracle, Wrong
from soak.pressure import Bounds, Pressure
from soak.run import not_once
from soak.shunned import Shunned
from soak.story import Arrival, End, Seen, Sent, Story, Way

VECTORS = yaml.safe_load((Path(__file__).parents[1] / "vectors" / "buckets.yaml").read_text())
BEFORE = Situation(
    shares_bp={"orders": 0, "basket": 5000, "search": 10_000},
    fixed={"elsewhere": "legacy", "help": "new", "reports": "legacy"},
    pilots=frozenset({"pilot"}),
    falls_back=frozenset({"search"}),
)
HI = Arrival(
    10.1,
    "legacy",
    0,
    whole=True,
    body_bytes=2,
    digest="hi",
    answered=True,
    answer_whole=True,
    answer_bytes=9,
    answer_digest="a",
)
WELL = Seen(10.2, End.WHOLE, 200, 9, "a", "s-1")


def oracle() -> Oracle:
    history = History(BEFORE)
    history.begin(BEFORE.at_share("orders", 100), 20.0)
    history.settle(21.0)
    return Oracle(history)


BOUNDS = Bounds(workers=2, capped="reports", per_s=20, burst=40, places=4, wait_s=0.3, timeout_s=4.0)
FELL = Seen(10.2, End.WHOLE, 200, 9, "a", "s-1", answered_by="legacy", decided=("legacy", "search", "fallback", "3"))
CAPPED = Seen(10.2, End.WHOLE, 429, own="client-request-capped", retry_after="1")
BUSY = Seen(10.2, End.WHOLE, 503, own="new-connect-busy", retry_after="1")
AT_NEW = replace(HI, backend="new")
ON_LEGACY, ON_NEW = "acct-0", "acct-1"
"""Accounts whose buckets of `basket` lie above and below its share."""


def story(*arrivals: Arrival, seen: Seen = WELL, **sent: object) -> Story:
    given = {
        "at_s": 10.0,
        "method": "POST",
        "area": "orders",
        "account": "acme",
        "body_bytes": 2,
        "digest": "hi",
        **sent,
    }
    return Story("s-1", Sent(**given), list(arrivals), seen)  # type: ignore[arg-type]  # a row of the table below


def frozen() -> Oracle:
    history = History(replace(BEFORE, frozen=frozenset({"orders"})))
    return Oracle(history)


def test_a_story_in_which_all_went_well_is_not_complained_of() -> None:
    assert oracle().judge(story(HI)) == []


@pytest.mark.parametrize(
    ("wrong", "doctored"),
    [
        (Wrong.SYSTEM, story(replace(HI, backend="new"))),
        (Wrong.SYSTEM, story(replace(HI, at_s=30.1), seen=replace(WELL, at_s=30.2), at_s=30.0)),
        (Wrong.DOUBLED, story(HI, HI)),
        (Wrong.TRUNCATED, story(replace(HI, answer_whole=False))),
        (Wrong.TRUNCATED, story(HI, seen=replace(WELL, body_bytes=4, digest="b"))),
        (Wrong.TRUNCATED, story(HI, whole=False)),
        (Wrong.ALTERED, story(HI, seen=replace(WELL, digest="b"))),
        (Wrong.ALTERED, story(replace(HI, digest="ho"))),
        (Wrong.MIXED_UP, story(HI, seen=replace(WELL, told_id="s-2"))),
        (Wrong.INVENTED, story()),
        (Wrong.FROZEN, story(seen=Seen(10.2, End.WHOLE, 503, own="proxy-request-frozen", retry_after="9"))),
        (Wrong.UNEXPLAINED, story(HI, seen=Seen(10.2, End.CUT, 200))),
        (Wrong.UNEXPLAINED, story(HI, seen=Seen(10.2, End.WHOLE, 502, own="legacy-head-cut"))),
    ],
)  # fmt: skip
def test_a_doctored_story_is_found_out(wrong: Wrong, doctored: Story) -> None:
    assert [violation.wrong for violation in oracle().judge(doctored)] == [wrong]
    assert "arrived at" in doctored.told() or not doctored.arrivals


def test_a_write_that_arrives_in_a_freeze_is_found_out() -> None:
    assert [violation.wrong for violation in frozen().judge(story(HI))] == [Wrong.UNFROZEN]
    held_up = story(seen=Seen(10.2, End.WHOLE, 503, own="proxy-request-frozen", retry_after="9"))
    assert frozen().judge(held_up) == []


def test_while_a_change_is_under_way_both_systems_are_right_and_afterwards_one() -> None:
    for backend in ("legacy", "new"):
        arrival = replace(HI, backend=backend, at_s=20.6)
        assert oracle().judge(story(arrival, seen=replace(WELL, at_s=20.7), at_s=20.5)) == []


def test_a_failure_needs_a_cause_at_its_time_and_what_ends_streams_explains_no_plain_request() -> None:
    cut = story(HI, seen=Seen(10.2, End.CUT, 200))
    judge = oracle()
    judge.causes = [Cause("killed", 11.0, 12.0), Cause("restart", 9.0, 12.0, lasting_only=True)]
    assert [violation.wrong for violation in judge.judge(cut)] == [Wrong.UNEXPLAINED]
    judge.causes.append(Cause("killed", 10.1, 10.15))
    assert judge.judge(cut) == []


def test_a_restart_explains_that_nothing_came_but_no_answer_that_was_begun_or_of_the_proxys_own() -> None:
    judge = oracle()
    judge.causes = [Cause("restart", 9.0, 12.0, unanswered_only=True)]
    nothing, cut = Seen(10.2, End.NONE), Seen(10.2, End.CUT, 200)
    failed = Seen(10.2, End.WHOLE, 502, own="legacy-head-cut")
    late = replace(nothing, own="timeout of the client")
    assert wrongs(judge, story(seen=nothing), story(HI, seen=cut, way=Way.EVENTS)) == []
    assert wrongs(judge, story(HI, seen=cut), story(seen=failed), story(seen=late)) == [Wrong.UNEXPLAINED] * 3


def test_a_refused_change_was_never_in_force() -> None:
    history = History(BEFORE)
    history.begin(replace(BEFORE, rolled_back=frozenset({("", "")})), 5.0)
    history.withdraw()
    assert history.during(-math.inf, math.inf) == [BEFORE]


@pytest.mark.parametrize(
    "row", [one for one in VECTORS if len(str(one["account"]).encode()) < 256], ids=lambda row: row["account"][:20]
)
def test_the_model_buckets_accounts_as_published(row: dict[str, Any]) -> None:
    assert murmur3(bytes.fromhex(row["cbor"])) == row["h"]
    assert bucket_bp(row["flag"], row["account"]) == row["bucket"]


def test_a_command_that_the_journal_lost_doubled_or_made_up_is_found_out() -> None:
    done, refused, ended = ("rollback", "a", 3), ("canary", "b", 1), ("freeze", "c", 0)
    assert not_once([done, refused, ended], [("rollback", "a"), ("thaw", "c")]) == []
    assert not_once([("drilled", "d1", 0)], [("drilled", "d1")] * 2) == ["d1 (exit 0) stands there 2 times"]
    assert not_once([done], []) == ["a (exit 3) stands there 0 times"]
    assert not_once([done], [("rollback", "a")] * 2) == ["a (exit 3) stands there 2 times"]
    assert not_once([refused], [("canary", "b")]) == ["b (exit 1) stands there 1 times"]


def wrongs(judge: Oracle, *judged: Story) -> list[Wrong]:
    return [violation.wrong for one in judged for violation in judge.judge(one)]


def test_the_accounts_of_these_tests_lie_where_they_are_said_to() -> None:
    assert bucket_bp("basket", ON_NEW) < 5000 <= bucket_bp("basket", ON_LEGACY)


def test_who_is_taken_from_where_a_pin_keeps_them_is_found_out_but_not_where_the_share_is_an_end_of_the_ramp() -> None:
    kept = story(AT_NEW, area="basket", account=ON_LEGACY, pinned="new")
    taken = story(HI, area="basket", account=ON_LEGACY, pinned="new")
    assert wrongs(Oracle(History(BEFORE)), kept, taken) == [Wrong.PIN]
    nobody = Oracle(History(BEFORE.at_share("basket", 0)))
    assert wrongs(nobody, taken, kept) == [Wrong.SYSTEM]
    rolled_back = Oracle(History(replace(BEFORE, rolled_back=frozenset({("basket", "")}))))
    assert wrongs(rolled_back, taken, kept) == [Wrong.SYSTEM]


def test_a_visitor_is_placed_by_the_id_they_were_given_and_by_nothing_before_that() -> None:
    known = story(AT_NEW, area="basket", account="", visitor=ON_NEW)
    unknown = story(AT_NEW, area="basket", account="")
    assert wrongs(Oracle(History(BEFORE)), known, unknown) == [Wrong.SYSTEM]


def test_a_fallback_is_borne_of_reads_alone_while_new_is_dead_where_it_is_wanted_and_if_it_is_told() -> None:
    judge = Oracle(History(BEFORE), [Cause("backend gone", 9.0, 11.0, system="new")])
    read = {"method": "GET", "area": "search"}
    assert wrongs(judge, story(HI, seen=FELL, **read)) == []
    as_a_share = replace(FELL, decided=("legacy", "search", "share", "3"))
    assert wrongs(judge, story(HI, seen=as_a_share, **read)) == [Wrong.FELL]
    assert wrongs(judge, story(HI, seen=FELL, area="search")) == [Wrong.SYSTEM, Wrong.FELL]
    assert wrongs(judge, story(HI, seen=FELL, method="GET", area="help")) == [Wrong.SYSTEM, Wrong.FELL]
    alive = Oracle(History(BEFORE), [Cause("backend gone", 9.0, 11.0, system="legacy")])
    assert wrongs(alive, story(HI, seen=FELL, **read)) == [Wrong.SYSTEM, Wrong.FELL]
    elsewhere = replace(WELL, answered_by="legacy", decided=("new", "search", "share", "3"))
    assert wrongs(judge, story(HI, seen=elsewhere, area="elsewhere")) == [Wrong.MISTOLD]


def drilled(**other: Any) -> Drilled:
    kept: dict[str, Any] = {
        "id": "d1",
        "kind": "status",
        "area": "help",
        "segment": "",
        "pilots": BEFORE.pilots,
        "share_bp": 10_000,
    }
    times = {"since_s": 9.0, "sure_from_s": 9.5, "sure_until_s": 10.5, "until_s": 11.0}
    return Drilled(**(kept | times | other))


MET = Seen(10.2, End.WHOLE, 503, own="new-head-drilled", drill="d1")


@pytest.mark.parametrize(
    ("found", "doctored", "drill"),
    [
        ([], story(seen=MET, area="help"), drilled()),
        ([Wrong.DRILLED], story(seen=MET, area="help"), drilled(id="d2")),
        ([Wrong.DRILLED], story(seen=MET, area="help"), drilled(since_s=10.3)),
        ([Wrong.DRILLED], story(seen=MET, area="help"), drilled(until_s=9.9, sure_until_s=9.8)),
        ([Wrong.DRILLED], story(seen=MET, area="help"), drilled(area="orders")),
        ([Wrong.DRILLED], story(seen=MET, area="help"), drilled(segment="pilots")),
        ([Wrong.DRILLED], story(seen=MET, area="help"), drilled(share_bp=0)),
        ([Wrong.DRILLED], story(seen=MET, area="orders"), drilled(area="orders")),  # which legacy answers
        ([Wrong.DRILLED], story(seen=replace(MET, drill=""), area="help"), drilled()),
        ([Wrong.DRILLED], story(AT_NEW, seen=replace(WELL, drill="d1"), area="help"), drilled(sure_until_s=0.0)),
        ([Wrong.DRILLED], story(AT_NEW, area="help"), drilled()),
        ([], story(AT_NEW, area="help"), drilled(sure_from_s=10.05)),
        ([], story(AT_NEW, seen=replace(WELL, drill="d1"), area="help"), drilled(kind="delay")),
        ([Wrong.DRILLED], story(AT_NEW, seen=replace(WELL, drill="d1"), area="help"), drilled(kind="slow")),
    ],
)
def test_who_meets_a_drill_outside_of_it_or_passes_it_is_found_out(
    found: list[Wrong], doctored: Story, drill: Drilled
) -> None:
    judge = Oracle(History(BEFORE), drills={drill.id: drill})
    assert wrongs(judge, doctored) == found


def under(pressure: list[Story]) -> Oracle:
    judge = Oracle(History(BEFORE))
    judge.pressure = Pressure(BOUNDS, pressure)
    return judge


def test_a_cap_must_have_been_used_up_by_the_very_account() -> None:
    capped = story(seen=CAPPED, area="reports", account="acme")
    twenty = [story(HI, area="reports", account="acme", at_s=10.0) for _ in range(20)]
    assert wrongs(under(twenty), capped) == []
    for fewer in (twenty[1:], [replace(one, sent=replace(one.sent, account="other")) for one in twenty]):
        assert wrongs(under(fewer), capped) == [Wrong.REFUSED]
    longer_ago = [replace(one, sent=replace(one.sent, at_s=7.0), seen=replace(WELL, at_s=7.1)) for one in twenty]
    assert wrongs(under(longer_ago), capped) == [Wrong.REFUSED]
    assert wrongs(under(twenty), story(seen=replace(CAPPED, retry_after=""), area="reports")) == [Wrong.UNTOLD]


def test_a_flood_has_what_its_cap_allows_and_no_more() -> None:
    flood = [story(replace(HI, at_s=11.0), area="reports", account="acme") for _ in range(62)]
    assert Pressure(BOUNDS, flood).unheld("acme") == ""
    assert "had 63" in Pressure(BOUNDS, [*flood, flood[0]]).unheld("acme")
    assert "nothing at all" in Pressure(BOUNDS, []).unheld("acme")


def test_who_is_refused_as_busy_must_have_found_the_places_taken_and_not_have_waited_for_longer_than_the_queue_lets() -> (
    None
):
    refused = story(seen=BUSY, area="help")
    there = [
        story(replace(AT_NEW, at_s=at_s), area="help", at_s=at_s, seen=replace(WELL, at_s=at_s + 0.3))
        for at_s in (9.9, 10.1)
    ]
    assert wrongs(under(there), refused) == []
    assert wrongs(under(there[:1]), refused) == [Wrong.REFUSED]
    one_by_one = [replace(there[0], seen=replace(WELL, at_s=10.05)), there[1]]
    assert wrongs(under(one_by_one), refused) == [Wrong.REFUSED]
    late = replace(refused, sent=replace(refused.sent, at_s=6.0))
    assert wrongs(under(there), late) == [Wrong.WAITED]
    behind_others = replace(late, sent=replace(late.sent, turn_s=9.9))
    assert wrongs(under(there), behind_others) == []


@pytest.mark.parametrize(
    ("found", "shunned"),
    [
        ([Wrong.SHUNNED], Shunned(system="legacy", endpoint=0, since_s=9.0)),
        ([Wrong.SHUNNED], Shunned(system="legacy", address="127.0.0.1", since_s=9.0)),
        ([], Shunned(system="new", endpoint=0, since_s=9.0)),
        ([], Shunned(system="legacy", endpoint=1, since_s=9.0)),
        ([], Shunned(system="legacy", address="127.0.0.2", since_s=9.0)),
        ([], Shunned(system="legacy", endpoint=0, since_s=10.05)),
        ([], Shunned(system="legacy", endpoint=0, since_s=9.0, until_s=10.05)),
    ],
)
def test_who_is_sent_to_an_endpoint_that_is_unwell_or_an_address_that_was_given_up_is_found_out(
    found: list[Wrong], shunned: Shunned
) -> None:
    judge = oracle()
    judge.shunned.append(shunned)
    assert wrongs(judge, story(replace(HI, address="127.0.0.1"))) == found


def test_who_is_unwell_may_be_asked_when_another_endpoint_has_failed_but_an_address_that_was_given_up_may_not() -> None:
    second = replace(HI, at_s=10.15)
    retried = story(replace(HI, endpoint=1), second, method="GET")
    for at_need, found in ((True, []), (False, [Wrong.SHUNNED])):
        judge = oracle()
        judge.shunned.append(Shunned(system="legacy", endpoint=0, since_s=9.0, at_need=at_need))
        assert wrongs(judge, retried) == found
