"""Which system must answer: a small model of the configuration over time that shares no line with the proxy.

What is in force changes within a window: from the moment a command is issued (or a file is edited) until every worker has confirmed it. Within it
both situations are right. Flags are ramps over accounts with a segment in front; buckets are computed here from the published definition
(docs/flags.md): murmur3 of the canonical CBOR of [flag, account].
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from soak.story import SAFE

_MASK: Final = 0xFFFFFFFF


def murmur3(data: bytes) -> int:
    """MurmurHash3_x86_32 with seed 0 (Austin Appleby, public domain), unsigned."""
    value = 0
    for at in range(0, len(data) - len(data) % 4, 4):
        value ^= _scrambled(int.from_bytes(data[at : at + 4], "little"))
        value = (value << 13 | value >> 19) & _MASK
        value = (value * 5 + 0xE6546B64) & _MASK
    if tail := data[len(data) - len(data) % 4 :]:
        value ^= _scrambled(int.from_bytes(tail, "little"))
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & _MASK
    return value ^ value >> 16


def _scrambled(word: int) -> int:
    word = word * 0xCC9E2D51 & _MASK
    word = (word << 15 | word >> 17) & _MASK
    return word * 0x1B873593 & _MASK


def _cbor_text(text: str) -> bytes:
    """RFC 8949 section 3: major type 3, for less than 256 bytes."""
    raw = text.encode()
    return (bytes([0x60 + len(raw)]) if len(raw) < 24 else bytes([0x78, len(raw)])) + raw


def bucket_bp(flag: str, account: str) -> int:
    """An account's place on a flag's ramp, in [0, 10 000)."""
    return murmur3(b"\x82" + _cbor_text(flag) + _cbor_text(account)) * 10_000 >> 32


Scope = tuple[str, str]
"""(area, segment); empty: all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is in force at one moment.

    Attributes:
        shares_bp: of each area with a flag.
        fixed: areas that are fixed to a system.
        pilots: accounts that have new in areas with a flag.
        rolled_back: scopes of the rollbacks that stand.
        frozen: areas whose writes are stopped.
        falls_back: areas in which legacy may answer a read that new can't.
    """

    shares_bp: Mapping[str, int]
    fixed: Mapping[str, str]
    pilots: frozenset[str]
    rolled_back: frozenset[Scope] = frozenset()
    frozen: frozenset[str] = frozenset()
    falls_back: frozenset[str] = frozenset()

    def system(self, area: str, account: str, *, visitor: str = "", pinned: str = "") -> str:
        """`legacy` or `new`.

        Args:
            area: of the request.
            account: empty: none.
            visitor: stands in for an account where a share decides; empty: none.
            pinned: the system where the client began; it holds against a share, and only between its ends.
        """
        for in_area, segment in self.rolled_back:
            if in_area in {"", area} and (not segment or account in self.pilots):
                return "legacy"
        if area in self.fixed:
            return self.fixed[area]
        if account in self.pilots:
            return "new"
        whose, share_bp = account or visitor, self.shares_bp[area]
        if not whose:
            return "legacy"
        if pinned and 0 < share_bp < 10_000:
            return pinned
        return "new" if bucket_bp(area, whose) < share_bp else "legacy"

    def holds_up(self, area: str, method: str) -> bool:
        """Whether a freeze answers it with 503."""
        return area in self.frozen and method not in SAFE

    def at_share(self, area: str, percent: int) -> Situation:
        """With another share."""
        return replace(self, shares_bp={**self.shares_bp, area: percent * 100})


@dataclass(slots=True)
class _Span:
    situation: Situation
    since_s: float
    until_s: float = math.inf


class History:
    """Situations, each with the time in which it may be in force; none begins or ends before one that was begun earlier."""

    def __init__(self, first: Situation) -> None:
        self._spans = [_Span(first, -math.inf)]

    @property
    def latest(self) -> Situation:
        """What was asked for last."""
        return self._spans[-1].situation

    def begin(self, situation: Situation, now_s: float) -> None:
        """It may be in force from now on."""
        self._spans.append(_Span(situation, now_s))

    def settle(self, now_s: float) -> None:
        """Every worker has confirmed the latest: nothing that came before is in force any more."""
        for span in self._spans[:-1]:
            span.until_s = min(span.until_s, now_s)

    def withdraw(self) -> None:
        """The latest was refused: it was never in force."""
        self._spans.pop()

    def during(self, since_s: float, until_s: float) -> list[Situation]:
        """What may have been in force at any moment of a time."""
        first = bisect_left(self._spans, since_s, key=lambda span: span.until_s)
        last = bisect_right(self._spans, until_s, key=lambda span: span.since_s)
        return [span.situation for span in self._spans[first:last]]
