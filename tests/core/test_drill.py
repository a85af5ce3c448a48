"""Drills: what can be injected, whom it meets, and that it meets nobody beyond its scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.reaching import BreakerCare, EndpointCare
from proxy.core.deciding.decision import Decision
from proxy.core.model import SHARE_TOTAL_BP, Backend, Reason
from proxy.core.plan import Identity, Segment, Source
from proxy.core.switches.bounded import LONGEST_S, Clock, decode_several, encode_several
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveEntry, LiveLatch, Under
from proxy.core.switches.drill import (
    NO_DRILL,
    BadInjection,
    Drill,
    Drills,
    FaultKind,
    Injection,
    LiveDrill,
    hitting,
    read_injection,
)
from proxy.core.switches.latch import Entry, Scope
from proxy.core.switches.rehearsal import BREAKER, EJECTED, UNREACHABLE, Rehearsal
from proxy.core.targeting.bucketing import bucket
from tests.core.plans import HEADER, area, ask, live, plan, route

ENDS_S = 100.0


def drill(scope: Scope, **keys: Any) -> Drill:
    rest = {"fault": Injection(FaultKind.RESET), "id": "d1", "uid": 0, "by": "ann", "reason": "-", "at": "-"}
    ends = {"until": "2027-01-15T08:02:00Z", "until_s": ENDS_S, "boot": "this"}
    return Drill(**{"scope": scope, **rest, **ends, **keys})


GENERATION = live(
    plan(
        route("/orders/**"),
        route("/help/**", area="help", to=Backend.NEW),
        route("/old/**", area="old", to=Backend.LEGACY),
        route("/blog/**", area="blog"),
        areas=(area("orders"), area("help"), area("old"), area("blog", retired=True)),
        segments=(Segment(name="german", place="-", regions=("DE",)),),
        identity=Identity(
            trusted_from=("10.0.0.0/8",),
            account=(HEADER,),
            region=(Source(source="header", name="X-Region", place="-"),),
        ),
    )
)
EVERYTHING_BACK = LiveLatch(1, [LiveEntry(Entry(id="r1", scope=Scope(), by="-", reason="-", at="-"), Under.RUNNING)])
names = st.sampled_from([None, "orders", "help", "old", "blog", "gone"])


@st.composite
def decisions(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Decision:
    path = draw(st.sampled_from(["/orders/1", "/help/", "/old/x", "/blog/", "/nowhere"]))
    region = draw(st.sampled_from([None, "DE", "FR"]))
    headers = "" if region is None else f"X-Region: {region}"
    if draw(st.booleans()):
        headers += "\nX-Account-Id: a\nX-Account-Id: b"  # which of the two, nobody can tell
        account = None
    else:
        account = draw(st.one_of(st.none(), st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True)))
    method = draw(st.sampled_from(["GET", "POST", "DELETE", "HEAD"]))
    latch = NOTHING_ROLLED_BACK if draw(st.booleans()) else EVERYTHING_BACK
    return ask(GENERATION, path, account=account, headers=headers, method=method, latch=latch)


@given(
    decision=decisions(),
    scope=st.builds(
        Scope, area=names, segment=st.sampled_from([None, "german", "gone"]), region=st.sampled_from([None, "DE"])
    ),
    backend=st.sampled_from(Backend),
    share_bp=st.integers(0, SHARE_TOTAL_BP),
    without_account=st.booleans(),
    kind=st.sampled_from(FaultKind),
    now_s=st.sampled_from([ENDS_S - 1, ENDS_S, ENDS_S + 1]),
)
def test_nobody_is_hit_beyond_the_scope(
    decision: Decision,
    scope: Scope,
    backend: Backend,
    share_bp: int,
    without_account: bool,
    kind: FaultKind,
    now_s: float,
) -> None:
    one = drill(scope, backend=backend, share_bp=share_bp, without_account=without_account, fault=Injection(kind, 1.0))
    found = hitting(decision, b"some-request", [LiveDrill(one, ENDS_S)], now_s)
    key = decision.account or ("some-request" if without_account else None)
    unreadable = len(decision.head.all(b"x-account-id")) > 1
    may_be_hit = (
        now_s < ENDS_S
        and (scope.area or scope.segment)
        and scope.area in {None, decision.area}
        and (scope.segment is None or (scope.segment == "german" and decision.region == "DE"))
        and scope.region in {None, decision.region}
        and decision.backend is backend
        and decision.reason is not Reason.ROLLED_BACK
        and not unreadable
        and key is not None
        and bucket("d1", key, SHARE_TOTAL_BP) < share_bp
        and kind is not FaultKind.ROLLBACK
        and not (kind is FaultKind.SLOW and decision.head.method not in {b"GET", b"HEAD"})
    )
    assert (found is not None) == bool(may_be_hit)


def test_the_same_accounts_are_hit_throughout_and_other_drills_choose_others() -> None:
    def hit(name: str) -> list[str]:
        one = LiveDrill(drill(Scope(area="help"), id=name, share_bp=2000), ENDS_S)
        accounts = [f"acct-{n}" for n in range(500)]
        return [a for a in accounts if one.hits(ask(GENERATION, "/help/", account=a), b"-", 0.0)]

    assert hit("d1") == hit("d1")
    assert 50 < len(hit("d1")) < 150
    assert hit("d1") != hit("d2")


def test_what_was_ended_hits_nobody() -> None:
    one = LiveDrill(drill(Scope(area="help")), ENDS_S)
    decision = ask(GENERATION, "/help/", account="acme")
    assert one.hits(decision, b"-", 0.0)
    one.ended = True
    assert not one.hits(decision, b"-", 0.0)


@pytest.mark.parametrize(
    ("text", "injection"),
    [
        ("delay=2s", Injection(FaultKind.DELAY, 2.0)),
        ("delay=250ms", Injection(FaultKind.DELAY, 0.25)),
        ("delay=60s", Injection(FaultKind.DELAY, 60.0)),
        ("status=503", Injection(FaultKind.STATUS, 503.0)),
        ("reset", Injection(FaultKind.RESET)),
        ("refused", Injection(FaultKind.REFUSED)),
        ("slow=1KB", Injection(FaultKind.SLOW, 1000.0)),
    ],
)
def test_faults_are_written_as_people_say_them_and_said_so_that_they_can_be_read(
    text: str, injection: Injection
) -> None:
    assert read_injection(text) == injection
    assert read_injection(str(injection)) == injection


@given(
    st.one_of(st.text(max_size=12), st.from_regex(r"(delay|status|slow|reset|refused|rollback)=?[0-9.]*(ms|s|B|KB)?"))
)
def test_whatever_is_taken_for_a_fault_lies_within_its_bounds(text: str) -> None:
    try:
        injection = read_injection(text)
    except BadInjection:
        pass
    else:
        assert injection.kind is not FaultKind.ROLLBACK
        assert injection.kind is not FaultKind.DELAY or 0 < injection.value <= 60
        assert injection.kind is not FaultKind.STATUS or 400 <= injection.value <= 599


@pytest.mark.parametrize(
    "text", ["delay=61s", "delay=0s", "status=200", "status=600", "status=499", "slow=0B", "reset=1"]
)
def test_a_fault_beyond_its_bounds_is_none(text: str) -> None:
    with pytest.raises(BadInjection, match="is no fault; known are delay=2s"):
        read_injection(text)


def test_the_file_gives_back_what_was_written() -> None:
    drills = NO_DRILL.adding(drill(Scope(area="orders"), ended_by="bob", ended_reason="enough"))
    assert decode_several(encode_several(drills), Drills) == drills


@given(st.floats(1.0, 1e9), st.sampled_from(["this", "next"]), st.floats(0, 1e9))
def test_nothing_makes_a_drill_last_longer_than_15_minutes(until_s: float, boot: str, now_s: float) -> None:
    one = drill(Scope(area="orders"), until_s=until_s)
    assert one.left_s(Clock(boot=boot, monotonic_s=now_s, unix_s=now_s)) <= LONGEST_S


def test_instruments_are_rehearsed_with_their_own_rules() -> None:
    rehearsal = Rehearsal(EndpointCare(faults=3), BreakerCare(least=6), ["http://a", "http://b"])
    for now_s in (1.0, 2.0):
        rehearsal.unanswered("http://a", now_s)
    rehearsal.answered("http://a", 200, 3.0)  # a real answer in between counts, as it would have
    for now_s in (4.0, 5.0):
        rehearsal.unanswered("http://a", now_s)
    assert rehearsal.noticed == {}
    rehearsal.unanswered("http://a", 6.0)
    assert rehearsal.noticed == {EJECTED: 6.0, BREAKER: 6.0}
    rehearsal.unreachable(7.0)
    rehearsal.unreachable(8.0)
    assert rehearsal.noticed == {EJECTED: 6.0, BREAKER: 6.0, UNREACHABLE: 7.0}


def test_a_status_counts_where_the_breaker_looks_at_it() -> None:
    blind, looking = (
        Rehearsal(EndpointCare(), BreakerCare(least=2, statuses=one), ["http://a"]) for one in ((), (503,))
    )
    for rehearsal in (blind, looking):
        for now_s in (1.0, 2.0):
            rehearsal.answered("http://a", 503, now_s)
    assert blind.noticed == {}
    assert looking.noticed == {BREAKER: 2.0}


def test_of_a_single_endpoint_nobody_would_have_let_go() -> None:
    rehearsal = Rehearsal(EndpointCare(faults=1), BreakerCare(), ["http://a"])
    rehearsal.unanswered("http://a", 1.0)
    assert rehearsal.noticed == {}
