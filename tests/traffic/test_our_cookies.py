"""Who comes without an account is given a signed id, on answers that nobody else will get; backends never see it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.deciding.signed import derive
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, Clause, Flag, Identity, Route, Source
from proxy.core.targeting.bucketing import bucket
from tests.traffic.wire import Node, RawBackend, a_plan

KEY = derive(b"a secret of thirty-two bytes at least")
BY_COOKIE = (Source(source="cookie", name="acct", place="-"),)
SILENT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
DAY_S = 86_400


def ramp(new: int = 50) -> Flag:
    clause = Clause(id="1", place="-", then={"fractional": [["new", new], ["legacy", 100 - new]]})
    variants = {"new": "new", "legacy": "legacy"}
    return Flag(key="orders", place="-", enabled=True, variants=variants, default="legacy", clauses=(clause,))


def shop(**keys: Any) -> dict[str, Any]:
    area = Area(name="orders", place="-", flag="orders", **keys.pop("area", {}))
    identity = keys.pop("identity", Identity(account=BY_COOKIE, visitors_s=180 * DAY_S))
    rest = {"flags": (ramp(),), "signing_keys": (KEY,), **keys}
    return {
        "areas": (area,),
        "routes": (Route(id="orders/1", area="orders", place="-", path="/orders/**"),),
        "identity": identity,
        **rest,
    }


class Browser:
    """Keeps the cookies that it is given."""

    def __init__(self, node: Node, legacy: RawBackend, new: RawBackend) -> None:
        self._node = node
        self._backends = {Backend.LEGACY: legacy, Backend.NEW: new}
        self.jar: dict[bytes, bytes] = {}

    def ask(
        self, backend: Backend, *, path: bytes = b"/orders", answer: bytes = SILENT, body: bytes = b"ok"
    ) -> tuple[bytes, bytes]:
        """(the head that the backend gets, the head of the answer); it is that backend that must be asked."""
        cookies = b"; ".join(b"%b=%b" % pair for pair in self.jar.items())
        line = b"Cookie: %b\r\n" % cookies if cookies else b""
        with self._node.client() as client:
            client.send(b"GET %b HTTP/1.1\r\nHost: shop.example\r\n%b\r\n" % (path, line))
            with self._backends[backend].accept() as wire:
                asked = wire.head()
                wire.send(answer, b"\r\n", body)
                told = client.answer()[1] if body else client.head()
        for name, value in re.findall(rb"\r\nSet-Cookie: ([^=]+)=([^;\r]*)", told):
            self.jar[name] = value
        return asked, told


@pytest.fixture
def browse(start: Callable[..., Node], legacy: RawBackend, new: RawBackend) -> Callable[..., Browser]:
    def go(**keys: Any) -> Browser:
        return Browser(start(**shop(**keys)), legacy, new)

    return go


def given(told: bytes) -> list[bytes]:
    """The cookies of ours in an answer."""
    return re.findall(rb"\r\nSet-Cookie: strangler-[^\r]+", told)


def private(told: bytes) -> bool:
    return b"\r\nCache-Control: private\r\n" in told


def test_a_visitor_goes_from_the_second_request_on_where_the_id_lies(browse: Callable[..., Browser]) -> None:
    browser = browse()
    asked, told = browser.ask(Backend.LEGACY)
    (line,) = given(told)
    found = re.fullmatch(
        rb"\r\nSet-Cookie: strangler-visitor=1\.[0-9a-f]{8}\.\d+\.([0-9a-f]{32})\.[0-9a-f]{32}"
        rb"; Max-Age=15552000; Path=/; HttpOnly; SameSite=Lax",
        line,
    )
    assert found is not None
    assert private(told)
    assert b"ookie" not in asked
    home = Backend.NEW if bucket("orders", found[1].decode(), 100) < 50 else Backend.LEGACY
    for _ in range(3):
        asked, told = browser.ask(home)
        assert b"strangler" not in asked.replace(b"Via: 1.1 strangler", b"")
        assert given(told) == []
        assert not private(told)


def test_two_visitors_are_two(browse: Callable[..., Browser]) -> None:
    browser = browse()
    _, one = browser.ask(Backend.LEGACY)
    browser.jar.clear()
    _, other = browser.ask(Backend.LEGACY)
    assert given(one) != given(other)


def test_other_cookies_still_reach_the_backend(browse: Callable[..., Browser]) -> None:
    browser = browse()
    browser.ask(Backend.LEGACY)
    browser.jar = {b"a": b"1", b"strangler-visitor": browser.jar[b"strangler-visitor"] + b"0", b"b": b"2"}
    asked, _ = browser.ask(Backend.LEGACY)
    assert b"\r\nCookie: a=1; b=2\r\n" in asked


@pytest.mark.parametrize(
    ("path", "jar", "backend"),
    [
        (b"/orders", {b"acct": b"acct-1"}, Backend.NEW),  # it has an account
        (b"/orders", {b"acct": b"x" * 300}, Backend.LEGACY),  # or one that can't be read
        (b"/elsewhere", {}, Backend.LEGACY),  # no flag was asked
        (b"/new/x", {}, Backend.NEW),
    ],
)
def test_nobody_else_is_given_an_id(
    browse: Callable[..., Browser], path: bytes, jar: dict[bytes, bytes], backend: Backend
) -> None:
    browser = browse()
    browser.jar = jar
    assert given(browser.ask(backend, path=path)[1]) == []


@pytest.mark.parametrize(
    "said",
    [
        b"Cache-Control: public",
        b"Cache-Control: max-age=60",
        b"CDN-Cache-Control: max-age=60",
        b"Expires: Fri, 31 Dec 9999 23:59:59 GMT",
    ],
)
def test_an_answer_that_shared_caches_are_to_keep_stays_as_it_is(browse: Callable[..., Browser], said: bytes) -> None:
    _, told = browse().ask(Backend.LEGACY, answer=SILENT + said + b"\r\n")
    assert given(told) == []
    assert told.lower().count(b"cache-control") == said.lower().count(b"cache-control")


def test_an_answer_that_no_shared_cache_keeps_gets_the_cookie_and_nothing_else(browse: Callable[..., Browser]) -> None:
    _, told = browse().ask(Backend.LEGACY, answer=SILENT + b"Cache-Control: no-store\r\n")
    assert len(given(told)) == 1
    assert told.count(b"Cache-Control") == 1


def test_what_the_operator_says_of_caches_counts_in_place_of_what_the_backend_says(
    browse: Callable[..., Browser],
) -> None:
    kept = {"answer_headers_set": (("Cache-Control", "public, max-age=60"),)}
    _, told = browse(legacy_options=kept).ask(Backend.LEGACY, answer=SILENT + b"Cache-Control: no-store\r\n")
    assert given(told) == []
    let = {"answer_headers_remove": ("Cache-Control",)}
    _, told = browse(legacy_options=let).ask(Backend.LEGACY, answer=SILENT + b"Cache-Control: public\r\n")
    assert len(given(told)) == 1
    assert private(told)


def test_where_an_area_keeps_shared_caches_out_every_answer_may_have_one(browse: Callable[..., Browser]) -> None:
    browser = browse(area={"cache": "private"})
    _, told = browser.ask(Backend.LEGACY, answer=SILENT + b"Cache-Control: public, max-age=60\r\n")
    assert len(given(told)) == 1
    assert b"Cache-Control: max-age=60, private\r\n" in told


def test_an_answer_that_freshens_a_kept_one_gets_none(browse: Callable[..., Browser]) -> None:
    _, told = browse().ask(Backend.LEGACY, answer=b"HTTP/1.1 304 Not Modified\r\n", body=b"")
    assert given(told) == []


def test_the_cookie_is_secure_where_people_see_https(browse: Callable[..., Browser]) -> None:
    _, told = browse(public_origin="https://shop.example").ask(Backend.LEGACY)
    assert given(told)[0].endswith(b"; Secure")


def test_no_backend_may_set_a_cookie_of_ours(browse: Callable[..., Browser]) -> None:
    browser = browse(identity=Identity())
    _, told = browser.ask(
        Backend.LEGACY, answer=SILENT + b"Set-Cookie: strangler-visitor=mine\r\nSet-Cookie: sid=1\r\n"
    )
    assert given(told) == []
    assert b"Set-Cookie: sid=1\r\n" in told


def test_an_id_signed_with_the_key_before_is_signed_anew_and_stays(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**shop())
    browser = Browser(node, legacy, new)
    browser.ask(Backend.LEGACY)
    before = browser.jar[b"strangler-visitor"]
    id_ = before.split(b".")[3]
    home = Backend.NEW if bucket("orders", id_.decode(), 100) < 50 else Backend.LEGACY
    fresh = derive(b"another secret of thirty-two bytes!")
    options = shop(signing_keys=(fresh, KEY))
    node.swap(a_plan(legacy.url, new.url, **options))
    browser.ask(home)
    after = browser.jar[b"strangler-visitor"]
    assert after.split(b".")[1] == fresh.id.encode()
    assert after.split(b".")[3] == id_
    assert given(browser.ask(home)[1]) == []


PINNED = {"identity": Identity(account=BY_COOKIE), "area": {"pin_s": 1800.0}}


def test_a_client_stays_where_it_began_until_the_share_comes_to_its_end(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**shop(**PINNED))
    browser = Browser(node, legacy, new)
    browser.jar[b"acct"] = b"acct-1"  # whose bucket is 6
    _, told = browser.ask(Backend.NEW)
    (line,) = given(told)
    assert re.fullmatch(
        rb"\r\nSet-Cookie: strangler-pin=1b\.[0-9a-f]{8}\.(\d+)\.orders:n:\1\.[0-9a-f]{32}"
        rb"; Max-Age=1800; Path=/; HttpOnly; SameSite=Lax",
        line,
    )
    assert private(told)
    for number, (share, backend) in enumerate(((1, Backend.NEW), (99, Backend.NEW), (0, Backend.LEGACY)), 2):
        node.swap(a_plan(legacy.url, new.url, **shop(flags=(ramp(share),), **PINNED)), number)
        asked, told = browser.ask(backend)
        assert b"\r\nCookie: acct=acct-1\r\n" in asked  # and nothing of ours
        assert given(told) == []
    reasons = [json.loads(line)["reason"] for line in node.log_lines(4)]
    assert reasons == ["share", "pinned", "share", "share"]
    assert node.count('strangler_decisions_total{area="orders",backend="new",reason="pinned"}') == 1


def test_who_began_without_an_account_stays_there_after_signing_in(browse: Callable[..., Browser]) -> None:
    browser = browse(area={"pin_s": 1800.0})
    browser.ask(Backend.LEGACY)  # brings the visitor's id: nobody was placed yet, so there is nothing to stay with
    assert set(browser.jar) == {b"strangler-visitor"}
    id_ = browser.jar[b"strangler-visitor"].split(b".")[3].decode()
    home = Backend.NEW if bucket("orders", id_, 100) < 50 else Backend.LEGACY
    browser.ask(home)
    assert set(browser.jar) == {b"strangler-visitor", b"strangler-pin"}
    browser.jar[b"acct"] = b"acct-1" if home is Backend.LEGACY else b"acme"  # whose bucket lies on the other side
    _, told = browser.ask(home)
    assert given(told) == []


def test_who_is_answered_by_fallback_began_nowhere(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    new.stop_listening()
    area = {"pin_s": 1800.0, "fallback": Fallback.SAFE}
    browser = Browser(start(**shop(identity=Identity(account=BY_COOKIE), area=area)), legacy, new)
    browser.jar[b"acct"] = b"acct-1"  # whose bucket is new's
    assert given(browser.ask(Backend.LEGACY)[1]) == []
