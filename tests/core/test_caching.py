"""What shared caches are told of answers that depend on who asks, beside what the backend says itself."""

from __future__ import annotations

import pytest

from proxy.core.http.caching import Private, Sharing, Varying, sharing
from proxy.core.model import Backend
from proxy.core.plan import Area, Clause, Flag, new_settings
from tests.core.plans import NOW_S, area, live, plan, route


def edited(how: Private | Varying, *lines: str) -> list[str]:
    written = [line.encode() for line in lines]
    names = [line.partition(b":")[0].lower() for line in written]
    return [line.decode() for line in how.edit(names, written)]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((), ("Cache-Control: private",)),
        (("cache-control: public, max-age=60",), ("Cache-Control: max-age=60, private",)),
        (
            ("Cache-Control: max-age=5", "Cache-Control: S-MaxAge=9 , immutable"),
            ("Cache-Control: max-age=5, immutable, private",),
        ),
        (('Cache-Control: private="x-a, x-b", ext="a,public"',), ('Cache-Control: ext="a,public", private',)),
        (("Cache-Control: no-cache", "CDN-Cache-Control: max-age=9"), ("Cache-Control: no-cache, private",)),
        (
            ("Cloudflare-CDN-Cache-Control: max-age=9", "Surrogate-Control: a", "X-Accel-Expires: 9"),
            ("Cache-Control: private",),
        ),
        (("CDN-Cache-Control: max-age=9", "Cache-Control: no-store"), ("Cache-Control: no-store",)),
        (
            ("Cache-Control: no-store, Must-Understand, max-age=9",),  # who understands doesn't mind no-store
            ("Cache-Control: no-store, max-age=9, private",),
        ),
    ],
)
def test_an_answer_is_made_private(said: tuple[str, ...], told: tuple[str, ...]) -> None:
    assert edited(Private(), "X-A: 1", *said, "X-B: 2") == ["X-A: 1", "X-B: 2", *told]


@pytest.mark.parametrize(
    "said", ["cache-control:Private,max-age=60", "Cache-Control: No-Store", "Cache-Control: no-store, public"]
)
def test_what_keeps_shared_caches_out_already_passes_byte_for_byte(said: str) -> None:
    assert edited(Private(), "X-A: 1", said, "X-B: 2") == ["X-A: 1", said, "X-B: 2"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((), ("Vary: Cookie, X-Id",)),
        (("Vary: Accept, cookie", "vary: Origin"), ("Vary: Accept, cookie, Origin, X-Id",)),
        (("Vary: *",), ("Vary: *",)),
        (("vary:X-ID,COOKIE",), ("vary:X-ID,COOKIE",)),
    ],
)
def test_an_answer_varies_by_what_requests_are_decided_by(said: tuple[str, ...], told: tuple[str, ...]) -> None:
    assert edited(Varying(("Cookie", "X-Id")), *said) == list(told)


@pytest.mark.parametrize(
    ("keys", "of_area", "asks"),
    [
        ({}, {}, True),
        ({"to": Backend.NEW}, {}, False),
        ({"to": Backend.NEW, "segment": ("pilots",)}, {}, True),
        ({"to": Backend.NEW, "cookies": {"beta": ("yes",)}}, {}, True),
        ({}, {"retired": True}, False),
        ({}, {"cache": None}, False),
    ],
)
def test_only_answers_that_depend_on_who_asks_are_edited_whatever_the_share(
    keys: dict[str, object], of_area: dict[str, object], *, asks: bool
) -> None:
    one: Area = area("orders", **{"cache": "vary", **of_area})
    everyone = Flag(
        key="orders", place="-", enabled=True, variants={"new": "new"}, clauses=(Clause(id="1", place="-", then="new"),)
    )
    made = plan(
        route("/orders", **keys),
        areas=(one,),
        flags=(everyone,),
        settings=new_settings(otherwise=Backend.LEGACY, vary=("Cookie",)),
    )
    assert (live(made).routes["orders//orders"].caching is not None) == asks


@pytest.mark.parametrize(
    ("said", "of_shared"),
    [
        ((), Sharing.UNSAID),
        (("Cache-Control: no-cache", "Expires: Fri, 31 Dec 9999 23:59:59 GMT"), Sharing.UNSAID),
        (("Cache-Control: Max-Age=0",), Sharing.UNSAID),
        (("Expires: 0",), Sharing.UNSAID),
        (("Expires: Thu, 01 Jan 99999 00:00:00 GMT",), Sharing.UNSAID),
        (("Expires: Thu, 01 Jan 99999999999999999999 00:00:00 GMT",), Sharing.UNSAID),
        ((f"Expires: Thu, 01 Jan 2020 {'9' * 5000}:00:00 GMT",), Sharing.UNSAID),
        (("Expires: Tue, 14 Nov 2023 22:13:20 GMT",), Sharing.UNSAID),  # now
        (("Expires: Tue, 14 Nov 2023 22:13:21 GMT",), Sharing.WANTED),
        (("Cache-Control: Max-Age=1",), Sharing.WANTED),
        (('Cache-Control: max-age="10"',), Sharing.WANTED),
        (("Cache-Control: no-cache", "cache-control: Public"), Sharing.WANTED),
        (("Cache-Control: s-maxage=0",), Sharing.WANTED),
        (("Cache-Control: no-store, must-understand, max-age=9",), Sharing.WANTED),
        (("Cache-Control: no-store", "Surrogate-Control: max-age=9"), Sharing.WANTED),
        (("Cache-Control: PRIVATE, max-age=9",), Sharing.FORBIDDEN),
        (("Cache-Control: no-store, public",), Sharing.FORBIDDEN),
    ],
)
def test_what_an_answer_says_of_shared_caches(said: tuple[str, ...], of_shared: Sharing) -> None:
    lines = [line.encode() for line in said]
    assert sharing([line.partition(b":")[0].lower() for line in lines], lines, NOW_S) is of_shared
