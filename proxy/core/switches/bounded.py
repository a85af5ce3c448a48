"""What somebody puts in force for a bounded time: it ends by itself, by each process's own clock, whatever becomes of the rest.

Freezes and drills are such. All of one kind stand in one file of the state directory, which control writes and workers follow.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Generic, Self, TypeVar

import msgspec
from msgspec.structs import replace

from proxy.core.switches.latch import Scope

LONGEST_S: Final = 900.0
"""Nothing of this kind lasts longer, whatever its file and the clocks say: writes that stand still, or fail on purpose, are an outage."""


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """One moment, on both clocks."""

    boot: str
    monotonic_s: float
    unix_s: float


class Bounded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing in force for a bounded time.

    Attributes:
        id: unique in the life of a file.
        scope: an area, a segment, a region, or some of these together.
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


EntryT = TypeVar("EntryT", bound=Bounded)


class Several(msgspec.Struct, Generic[EntryT], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of one kind under one epoch; a newer epoch replaces them whole."""

    version: int = 1
    epoch: int = 0
    entries: tuple[EntryT, ...] = ()

    def find(self, scope: Scope) -> EntryT | None:
        """The one of exactly this scope."""
        return next((entry for entry in self.entries if entry.scope == scope), None)

    def lasting(self, clock: Clock) -> Self:
        """Those that aren't over."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.left_s(clock) > 0))

    def adding(self, one: EntryT) -> Self:
        """With one more, under the next epoch; one of the same scope is replaced, and keeps its place."""
        former = self.find(one.scope)
        entries = tuple(one if entry is former else entry for entry in self.entries)
        return replace(self, epoch=self.epoch + 1, entries=entries if former is not None else (*self.entries, one))

    def ending(self, scope: Scope) -> Self:
        """Without the one of exactly a scope, under the next epoch."""
        return replace(
            self, epoch=self.epoch + 1, entries=tuple(entry for entry in self.entries if entry.scope != scope)
        )


class SeveralUnreadable(ValueError):
    """The bytes are no file of this kind and version."""


AnyT = TypeVar("AnyT", bound=Several[Any])


def encode_several(several: Several[Any]) -> bytes:
    """A file's text, indented for people; keys of a scope that narrow nothing are left out."""
    plain: dict[str, Any] = msgspec.to_builtins(several)
    for entry in plain["entries"]:
        entry["scope"] = {key: value for key, value in entry["scope"].items() if value is not None}
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


def decode_several(text: bytes, kind: type[AnyT]) -> AnyT:
    """What a file's text says.

    Raises:
        SeveralUnreadable: it isn't JSON of this form and version.
    """
    try:
        several: AnyT = msgspec.json.decode(text, type=kind)
        for entry in several.entries:
            dt.datetime.fromisoformat(entry.until)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise SeveralUnreadable(str(error)) from error
    known = kind().version
    if several.version != known:
        raise SeveralUnreadable(f"version {several.version}; this proxy reads {known}")
    return several
