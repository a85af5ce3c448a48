"""The oracle can fail: a doctored story for every kind of violation; and its model of the configuration is the published one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from soak.expected import History, Situation, bucket_bp, murmur3
from soak.oracle import Cause, Oracle, Wrong
from soak.run import not_once
from soak.story import Arrival, End, Seen, Sent, Story

VECTORS = yaml.safe_load((Path(__file__).parents[1] / "vectors" / "buckets.yaml").read_text())
BEFORE = Situation(shares_bp={"orders": 0}, fixed={"elsewhere": "legacy"}, pilots=frozenset({"pilot"}))
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
        (Wrong.FROZEN, story(seen=Seen(10.2, End.WHOLE, 503, own="proxy-request-frozen"))),
        (Wrong.UNEXPLAINED, story(HI, seen=Seen(10.2, End.CUT, 200))),
        (Wrong.UNEXPLAINED, story(HI, seen=Seen(10.2, End.WHOLE, 502, own="legacy-head-cut"))),
    ],
)  # fmt: skip
def test_a_doctored_story_is_found_out(wrong: Wrong, doctored: Story) -> None:
    assert [violation.wrong for violation in oracle().judge(doctored)] == [wrong]
    assert "arrived at" in doctored.told() or not doctored.arrivals


def test_a_write_that_arrives_in_a_freeze_is_found_out() -> None:
    assert [violation.wrong for violation in frozen().judge(story(HI))] == [Wrong.UNFROZEN]
    held_up = story(seen=Seen(10.2, End.WHOLE, 503, own="proxy-request-frozen"))
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
    assert not_once([done], []) == ["a (exit 3) stands there 0 times"]
    assert not_once([done], [("rollback", "a")] * 2) == ["a (exit 3) stands there 2 times"]
    assert not_once([refused], [("canary", "b")]) == ["b (exit 1) stands there 1 times"]
