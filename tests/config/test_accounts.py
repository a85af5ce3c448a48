"""Account lists and the register."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.routes.accounts import Accounts, read_list, read_register
from proxy.config.text.cache import Cache
from proxy.config.text.fileset import File
from proxy.core.table import Table


def a_list(content: bytes) -> Accounts:
    return read_list("list.txt", File.of(content), Cache())


def register(text: str) -> Accounts:
    return read_register("accounts.csv", File.of(text.encode()), Cache())


def told(accounts: Accounts) -> list[tuple[str, int]]:
    return [(one.code, one.line) for one in accounts.complaints]


def entries(accounts: Accounts) -> dict[str, str]:
    assert accounts.complaints == ()
    return {key.decode(): value.decode() for key, value in Table(memoryview(accounts.table))}


def test_a_list_has_one_account_a_line_and_comments() -> None:
    content = b"\xef\xbb\xbf# pilots\n  acme  \r\n\nborealis # since May\n#later\nno#comment\nacme\n\ttwo words\n"
    assert sorted(entries(a_list(content))) == ["acme", "borealis", "no#comment", "two words"]


@given(
    st.lists(
        st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() and "#" not in text and text.strip())
    )
)
def test_every_account_that_is_listed_is_found_and_no_other(accounts: list[str]) -> None:
    made = read_list("list.txt", File.of("\n".join(accounts).encode()), Cache())
    found = {key.decode() for key, _ in Table(memoryview(made.table))}
    assert found == {account.encode().strip().decode() for account in accounts}


@pytest.mark.parametrize("account", ["a\tb", "a\x00", "a\x7f", "a\u0085b", "x" * 257, "é" * 129])
def test_an_account_that_no_request_can_carry_is_told_with_its_line(account: str) -> None:
    assert told(a_list(f"acme\n{account}\n".encode())) == [("bad-account", 2)]


def test_a_list_that_is_wrong_from_top_to_bottom_is_not_told_line_by_line() -> None:
    assert len(told(a_list(b"\x01\n" * 1000))) == 20


def test_a_register_gives_accounts_their_attributes() -> None:
    made = register('tier,id,region\nstrategic,acme,DE\n,borealis,\n"a, b",cobalt,AT\n\n')
    assert made.attributes == {"tier", "region"}
    assert {key: json.loads(value) for key, value in entries(made).items()} == {
        "acme": {"tier": "strategic", "region": "DE"},
        "borealis": {},
        "cobalt": {"tier": "a, b", "region": "AT"},
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("bad-register", 1)]),
        ("name\n", [("bad-register", 1)]),
        ("id,a b\n", [("bad-register", 1)]),
        ("id,x,x\n", [("bad-register", 1)]),
        ("id,x\na\n", [("bad-row", 2)]),
        ('id,x\n"a,b\n', [("bad-row", 2)]),
        ("id,x\na,1\na,2\n", [("duplicate-account", 3)]),
        ("id,x\n,1\n", [("bad-account", 2)]),
        ("id\n" + "x" * 257 + "\n", [("bad-account", 2)]),
        ("id\na\x07\n", [("bad-account", 2)]),
    ],
)
def test_a_register_that_is_wrong_is_told_with_its_line(text: str, expected: list[tuple[str, int]]) -> None:
    assert told(register(text)) == expected
