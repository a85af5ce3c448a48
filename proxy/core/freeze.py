"""Freezes: for a bounded time no request may change data of an area, so that its data can be moved.

Everything here is values; who writes the file is `proxy.control.freezefile`, who follows it in a worker is
`proxy.supervise.freezewatch`. The file's form is a promise (docs/cutting-over-a-segment.md).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from proxy.core.covering import holds
from proxy.core.latch import Scope

if TYPE_CHECKING:
    from proxy.core.facts import Facts

VERSION: Final = 1
"""The version of the file of freezes."""

LONGEST_S: Final = 900.0
"""No freeze lasts longer, whatever its file and the clocks say: writes that stand still are an outage."""

MOST: Final = 16
"""Freezes at the same time: each worker publishes what is in flight under each."""

READING: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""The methods that pass. TRACE is safe too (RFC 9110 §9.2.1), but nobody moves a business with it."""


class Freeze(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One freeze.

    Attributes:
        id: unique in the life of a file.
        scope: an area, or a segment in it.
        by: who, by name.
        reason: why.
        at: when, ISO 8601 in UTC.
        until: its end on the wall clock, ISO 8601 in UTC: what counts after a reboot.
        until_s: its end on the monotonic clock of the machine that runs since `boot`: what counts before.
        boot: tells one run of a machine from all others.
    """

    id: str
    scope: Scope
    by: str
    reason: str
    at: str
    until: str
    until_s: float
    boot: str

    def left_s(self, clock: Clock) -> float:
        """How long it still lasts; 0 or less: it is over."""
        if self.boot == clock.boot:
            left_s = self.until_s - clock.monotonic_s
        else:
            left_s = dt.datetime.fromisoformat(self.until).timestamp() - clock.unix_s
        return min(left_s, LONGEST_S)


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """One moment, on both clocks."""

    boot: str
    monotonic_s: float
    unix_s: float


class Freezes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All freezes of one epoch; a newer epoch replaces them whole."""

    version: int = VERSION
    epoch: int = 0
    entries: tuple[Freeze, ...] = ()

    def find(self, scope: Scope) -> Freeze | None:
        """The freeze of exactly this scope."""
        return next((entry for entry in self.entries if entry.scope == scope), None)

    def lasting(self, clock: Clock) -> Freezes:
        """Those that aren't over."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.left_s(clock) > 0))


NOTHING_FROZEN: Final = Freezes()


class FreezesUnreadable(ValueError):
    """The bytes are no file of freezes of this version."""


_decode: Final = msgspec.json.Decoder(Freezes)


def encode_freezes(freezes: Freezes) -> bytes:
    """The file's text, indented for people."""
    plain: dict[str, Any] = msgspec.to_builtins(freezes)
    for entry in plain["entries"]:
        entry["scope"] = {key: value for key, value in entry["scope"].items() if value is not None}
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


def decode_freezes(text: bytes) -> Freezes:
    """Freezes from a file's text.

    Raises:
        FreezesUnreadable: it isn't JSON of this form and version.
    """
    try:
        freezes = _decode.decode(text)
        for entry in freezes.entries:
            dt.datetime.fromisoformat(entry.until)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise FreezesUnreadable(str(error)) from error
    if freezes.version != VERSION:
        raise FreezesUnreadable(f"version {freezes.version}; this proxy reads {VERSION}")
    return freezes


def with_freeze(freezes: Freezes, freeze: Freeze) -> Freezes:
    """Add a freeze under the next epoch; one of the same scope is replaced, and keeps its place."""
    former = freezes.find(freeze.scope)
    entries = tuple(freeze if entry is former else entry for entry in freezes.entries)
    return replace(freezes, epoch=freezes.epoch + 1, entries=entries if former is not None else (*entries, freeze))


def without_freeze(freezes: Freezes, scope: Scope) -> Freezes:
    """End the freeze of exactly a scope, under the next epoch."""
    return replace(
        freezes,
        epoch=freezes.epoch + 1,
        entries=tuple(entry for entry in freezes.entries if entry.scope != scope),
    )


class LiveFreeze:
    """A freeze as requests meet it.

    Attributes:
        freeze: what it is.
        ends_s: on the monotonic clock of this process.
    """

    __slots__ = ("ends_s", "freeze")

    def __init__(self, freeze: Freeze, ends_s: float) -> None:
        self.freeze = freeze
        self.ends_s = ends_s

    def retry_after_s(self, now_s: float) -> int:
        """What a client is told to wait: whole seconds, 1 at least."""
        return max(1, math.ceil(self.ends_s - now_s))


def writes(method: bytes) -> bool:
    """Whether a request of this method is one that a freeze holds up."""
    return method not in READING


def freezing(facts: Facts, freezes: Iterable[LiveFreeze]) -> LiveFreeze | None:
    """The freeze in whose scope a request lies, the one that lasts longest; its method isn't looked at.

    As with a rollback, what can't be judged counts as in scope. Unlike one, nothing lies outside: not what is
    retired or fixed by its route, and neither system is spared.
    """
    found = [live for live in freezes if holds(live.freeze.scope, facts)]
    return max(found, key=lambda live: live.ends_s, default=None)
