"""Text that clients keep for us and that is believed when it comes back: signed, for one purpose, until a time.

A token is `MARK.KEY.UNTIL.VALUE.MAC`: the version (`1`, or `1b` when it is bound to a subject), eight hex digits that
name the key, Unix seconds, the value, and 32 hex digits of keyed BLAKE2b (RFC 7693 §2.9) over all that stands before,
and over the subject, which the token doesn't carry. It is signed, not encrypted: whoever has it can read the value.

Each purpose has a hash of its own by BLAKE2b's personalisation, so what was signed as one thing is never believed as
another (as itsdangerous does by its `salt`, Rails by the name of the cookie). The first key signs and all verify, so
that a key can be replaced without anybody being forgotten (itsdangerous, Rack's `old_secret`, Django's fallbacks).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum, unique
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple

LONGEST_TOKEN_BYTES: Final = 3072
"""Longer ones are none of ours; browsers keep cookies of up to 4096 bytes (RFC 6265 §6.1), name and attributes included."""

_PLAIN: Final = "1"
_BOUND: Final = "1b"
_MAC_BYTES: Final = 16  # nobody can try 2^128 forgeries, and each would have to be tried here
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 4
_KEPT: Final = 4096
_LONGEST_KEPT_BYTES: Final = 384  # a visitor's token has 80, a pin of four areas 150
TOKENS_KEPT_BYTES: Final = _KEPT * (2 * _LONGEST_KEPT_BYTES + 500)
"""What one signer remembers at most, as objects."""

_BETWEEN: Final = b"\0"  # stands in no header, so no value can end in what looks like a subject


@unique
class Purpose(StrEnum):
    """What a token is for; at most 16 characters, the length of BLAKE2b's personalisation."""

    VISITOR = "visitor"
    PIN = "pin"


@unique
class Doubt(StrEnum):
    """Why a token isn't believed."""

    MALFORMED = "no token"
    UNKNOWN_KEY = "signed with a key that isn't known here"
    FORGED = "its signature is wrong, or it was given to another account"
    EXPIRED = "expired"


class SigningKey(NamedTuple):
    """A key as the plan has it: what `derive` made of the operator's, which therefore stands in no file of ours."""

    id: str  # 8 hex digits, told to clients
    secret: str  # 64 hex digits


class Token:
    """What a believed token says; `renew`: it is signed with a key that is on its way out."""

    __slots__ = ("renew", "until_s", "value")

    def __init__(self, value: str, until_s: int, *, renew: bool) -> None:
        self.value = value
        self.until_s = until_s
        self.renew = renew


def derive(secret: bytes) -> SigningKey:
    """The key that an operator's secret gives, the same on every node.

    Args:
        secret: any bytes, one key's worth of randomness in them (`proxy.config.edges.signing` sees to the length).
    """
    key = blake2b(secret, digest_size=_SECRET_BYTES, person=b"strangler-key")
    name = blake2b(key.digest(), digest_size=_ID_BYTES, person=b"strangler-key-id")
    return SigningKey(id=name.hexdigest(), secret=key.hexdigest())


class Signer:
    """Signs and verifies for one purpose.

    Clients send the same token with every request, so what was believed is remembered: finding it again costs a twentieth of
    verifying it (Envoy's `jwt_cache_config` does the same). What isn't believed is never kept, and time is asked every time.

    Args:
        keys: the first signs, all verify; one at least.
        purpose: what a token is for.
    """

    __slots__ = ("_believed", "_first", "_hashes")

    def __init__(self, keys: Iterable[SigningKey], purpose: Purpose) -> None:
        # Hashes that have taken in their key: a copy of one costs half of making it anew.
        self._hashes = {
            key.id: blake2b(key=bytes.fromhex(key.secret), digest_size=_MAC_BYTES, person=purpose.value.encode())
            for key in keys
        }
        self._first = next(iter(self._hashes))
        self._believed: dict[tuple[str, bytes], Token] = {}  # by token and subject

    def sign(self, value: str, until_s: int, subject: bytes = b"") -> str:
        """A token.

        Args:
            value: what may stand in a cookie's value (RFC 6265 §4.1.1).
            until_s: Unix seconds from which on it isn't believed.
            subject: whom it is bound to; empty: whoever has it.
        """
        body = f"{_BOUND if subject else _PLAIN}.{self._first}.{until_s}.{value}"
        return f"{body}.{self._mac(self._first, body, subject)}"

    def verify(self, token: str, now_s: float, subject: bytes = b"") -> Token | Doubt:
        """What a token says, if it is believed.

        Args:
            token: as a client sent it, its octets as Latin-1 (`proxy.core.http.cookies` says why).
            now_s: Unix seconds.
            subject: who sends it; a token that is bound to somebody else isn't believed.
        """
        known = self._believed.get((token, subject))
        if known is not None:
            return known if now_s < known.until_s else Doubt.EXPIRED
        if len(token) > LONGEST_TOKEN_BYTES or not token.isascii():
            return Doubt.MALFORMED
        body, _, mac = token.rpartition(".")
        parts = body.split(".", 3)
        if len(parts) != 4 or parts[0] not in (_PLAIN, _BOUND):
            return Doubt.MALFORMED
        mark, key = parts[0], parts[1]
        if key not in self._hashes:
            return Doubt.UNKNOWN_KEY
        if not compare_digest(mac, self._mac(key, body, subject if mark == _BOUND else b"")):
            return Doubt.FORGED
        until_s = int(parts[2])  # ours: it is signed
        if now_s >= until_s:
            return Doubt.EXPIRED
        believed = Token(parts[3], until_s, renew=key != self._first)
        if len(token) + len(subject) <= _LONGEST_KEPT_BYTES:
            if len(self._believed) >= _KEPT:
                self._believed.clear()
            self._believed[token, subject] = believed
        return believed

    def _mac(self, key: str, body: str, subject: bytes) -> str:
        hashed = self._hashes[key].copy()
        said = body.encode()
        hashed.update(said + _BETWEEN + subject if subject else said)
        return hashed.hexdigest()
