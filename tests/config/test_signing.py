"""The keys of our own cookies: where they may stand, what they must be, and that nobody is shown them."""

from __future__ import annotations

import pytest

from proxy.config.compile import Compiled, compile_files
from proxy.config.text.fileset import FileSet
from proxy.core.deciding.signed import derive
from proxy.core.plan import encode_plan
from tests.config import base

ONE = "0123456789abcdef0123456789abcdef"
OTHER = ONE[::-1]


def read(keys: str, identity: str = "visitors: cookie", **files: str) -> Compiled:
    routes = f"signing: {{keys: {keys}}}\nidentity: {{account: 'cookie:acct', {identity}}}\n"
    named = {name.replace("_", "/", 1).replace("env/", "env:"): text for name, text in files.items()}
    return compile_files(FileSet.of(base.contents({"routes.yaml": routes, **named})))


def told(compiled: Compiled) -> list[tuple[str, str]]:
    return [(one.code, one.text) for one in compiled.complaints]


def test_keys_are_read_from_files_and_the_environment_in_their_order() -> None:
    compiled = read("['file:keys/one', 'env:OTHER']", keys_one=f"{ONE}\n", env_OTHER=OTHER)
    assert told(compiled) == []
    assert compiled.plan is not None
    assert compiled.plan.settings.signing_keys == (derive(ONE.encode()), derive(OTHER.encode()))
    assert compiled.plan.identity.visitors_s == 180 * 86_400
    assert {"keys/one", "env:OTHER"} <= compiled.used


def test_the_plan_holds_what_is_made_of_a_key_and_never_the_key() -> None:
    plan = read("file:keys/one", "visitors: cookie, visitor_days: 7", keys_one=ONE).plan
    assert plan is not None
    assert ONE.encode() not in encode_plan(plan)
    assert plan.identity.visitors_s == 7 * 86_400


@pytest.mark.parametrize(
    ("keys", "files", "code"),
    [
        (f"'{ONE}'", {}, "bad-signing-key"),  # in routes.yaml itself
        ("file:keys/one", {"keys_one": ONE[:31]}, "bad-signing-key"),
        ("file:keys/one", {"keys_one": ONE[:31] + "\n"}, "bad-signing-key"),  # a line end is no part of it
        ("file:keys/one", {"keys_one": "abcd" * 16}, "bad-signing-key"),
        ("env:ONE", {"env_ONE": "secret"}, "bad-signing-key"),
        ("file:keys/one", {}, "missing-file"),
        ("env:ONE", {}, "missing-env"),
        ("['file:keys/one', 'file:keys/other']", {"keys_one": ONE, "keys_other": f"{ONE}\n"}, "twice"),
        ("[]", {}, "empty"),
    ],
)
def test_a_key_that_will_not_do_is_told_without_being_shown(keys: str, files: dict[str, str], code: str) -> None:
    compiled = read(keys, **files)
    assert compiled.plan is None
    ((found, text),) = told(compiled)
    assert found == code
    assert not any(secret in text for secret in (ONE[:31], "abcdabcd", "secret"))


def test_keys_alone_are_no_mistake_and_give_nobody_a_cookie() -> None:
    plan = read("file:keys/one", "visitors: off", keys_one=ONE).plan
    assert plan is not None
    assert plan.identity.visitors_s is None


def test_pins_need_a_key_too_wherever_their_area_stands() -> None:
    areas = "areas:\n  more:\n    cache: off\n    pin: 30m\n    flag: orders\n    routes: [{path: /more}]\n"
    over = {"routes.yaml": "include: more.yaml\n", "more.yaml": areas}
    compiled = compile_files(FileSet.of(base.contents(over)))
    assert [str(one) for one in compiled.complaints] == [
        'more.yaml:4:10  areas.more.pin: there is no key to sign pins with; write `signing: {keys: ["file:secrets/cookies"]}`'
    ]
    keys = {**over, "routes.yaml": "include: more.yaml\nsigning: {keys: 'file:one'}\n", "one": ONE}
    plan = compile_files(FileSet.of(base.contents(keys))).plan
    assert plan is not None
    assert {area.name: area.pin_s for area in plan.areas} == {"orders": None, "more": 1800.0}


def test_answers_of_an_area_that_pins_vary_by_cookies() -> None:
    files = {
        "routes.yaml": "cache: vary\nidentity: {trusted_from: 10.0.0.0/8, account: 'header:X-Id'}\nsigning: {keys: 'file:one'}\n"
        "areas:\n  orders:\n    pin: 30m\n    routes: [{path: /orders}]\n",
        "one": ONE,
    }
    plan = compile_files(FileSet.of(base.contents(files))).plan
    assert plan is not None
    assert plan.settings.vary == ("Cookie", "X-Id")
