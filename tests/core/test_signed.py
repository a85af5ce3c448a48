"""What is signed comes back as it was, for its purpose, until its time; anything else isn't believed."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.deciding.signed import LONGEST_TOKEN_BYTES, Doubt, Purpose, Signer, Token, derive

OLD, FRESH = derive(b"the secret of last year, kept until nobody has it"), derive(b"the secret of this year, " * 2)
NOW_S = 1_700_000_000
LATER_S = NOW_S + 60
SIGNER = Signer((FRESH, OLD), Purpose.VISITOR)


class _Says(NamedTuple):
    value: str
    until_s: int
    renew: bool


def _said(found: Token | Doubt) -> _Says | Doubt:
    return _Says(found.value, found.until_s, found.renew) if isinstance(found, Token) else found


values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='",;\\'), max_size=60)
subjects = st.sampled_from((b"", b"acme", b"acme.1", "żółw".encode()))


@given(values, subjects)
def test_a_token_says_what_was_signed_until_its_time(value: str, subject: bytes) -> None:
    token = SIGNER.sign(value, LATER_S, subject)
    assert _said(SIGNER.verify(token, NOW_S, subject)) == _Says(value, LATER_S, renew=False)
    assert _said(SIGNER.verify(token, LATER_S - 0.001, subject)) == _Says(value, LATER_S, renew=False)
    assert SIGNER.verify(token, LATER_S, subject) is Doubt.EXPIRED


@given(values, subjects, st.data())
def test_a_token_of_which_one_bit_is_another_is_not_believed(value: str, subject: bytes, data: st.DataObject) -> None:
    token = bytearray(SIGNER.sign(value, LATER_S, subject).encode())
    bit = data.draw(st.integers(0, 8 * len(token) - 1))
    token[bit // 8] ^= 1 << bit % 8
    assert isinstance(SIGNER.verify(token.decode("latin-1"), NOW_S, subject), Doubt)


def test_no_bit_of_a_token_may_be_another() -> None:
    token = SIGNER.sign("0123abcd", LATER_S, b"acme").encode()
    for bit in range(8 * len(token)):
        changed = bytearray(token)
        changed[bit // 8] ^= 1 << bit % 8
        assert isinstance(SIGNER.verify(changed.decode("latin-1"), NOW_S, b"acme"), Doubt), bit


@given(values, subjects)
def test_what_was_signed_for_one_purpose_is_not_believed_for_another(value: str, subject: bytes) -> None:
    assert Signer((FRESH,), Purpose.PIN).verify(SIGNER.sign(value, LATER_S, subject), NOW_S, subject) is Doubt.FORGED


@given(values, subjects, subjects)
def test_a_token_that_is_bound_is_believed_of_its_subject_alone(value: str, subject: bytes, other: bytes) -> None:
    found = SIGNER.verify(SIGNER.sign(value, LATER_S, subject), NOW_S, other)
    assert isinstance(found, Token) is (subject in (b"", other))


@given(st.text(max_size=200) | values)
def test_anything_else_is_no_token(raw: str) -> None:
    assert isinstance(SIGNER.verify(raw, NOW_S), Doubt)
    assert isinstance(SIGNER.verify(f"1.{FRESH.id}.{raw}", NOW_S), Doubt)


def test_a_token_that_is_longer_than_any_of_ours_is_not_even_looked_at() -> None:
    room = LONGEST_TOKEN_BYTES - len(SIGNER.sign("", LATER_S))
    assert isinstance(SIGNER.verify(SIGNER.sign("x" * room, LATER_S), NOW_S), Token)
    assert SIGNER.verify(SIGNER.sign("x" * (room + 1), LATER_S), NOW_S) is Doubt.MALFORMED


def test_a_key_can_be_replaced_without_anybody_being_forgotten() -> None:
    token = Signer((OLD,), Purpose.VISITOR).sign("7", LATER_S)
    assert _said(SIGNER.verify(token, NOW_S)) == _Says("7", LATER_S, renew=True)
    assert Signer((FRESH,), Purpose.VISITOR).verify(token, NOW_S) is Doubt.UNKNOWN_KEY
    assert Signer((OLD,), Purpose.VISITOR).verify(SIGNER.sign("7", LATER_S), NOW_S) is Doubt.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("subject", "token"),
    [
        (b"", "1.aa5b453a.1700000060.0123abcd.90b002a2384489a2df69fe0959ad92ac"),
        (b"acme", "1b.aa5b453a.1700000060.0123abcd.b833128cf6754d12050225b277daf249"),
    ],
)
def test_tokens_stay_the_same_between_versions_and_nodes(subject: bytes, token: str) -> None:
    # Clients keep them for months: another format, hash or derivation needs another mark.
    assert SIGNER.sign("0123abcd", LATER_S, subject) == token
