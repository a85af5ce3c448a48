"""The latch: the set of rollbacks in force.

Everything here is values; who reads and writes the file is `proxy.control.switches.latchfile`, who follows it in a worker is
`proxy.supervise.latchwatch`. The file's form is a promise (docs/rollback.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

VERSION: Final = 1
"""The version of the latch file; a file of another one means that everything is rolled back."""


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a rollback covers; given keys narrow it, an empty scope is everything."""

    area: str | None = None
    segment: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        given = [f"{key} {value}" for key, value in msgspec.structs.asdict(self).items() if value is not None]
        return ", ".join(given) or "everything"

    def within(self, other: Scope) -> bool:
        """Whether every request of this scope is one of the other's, whatever the configuration says."""
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(other)
        return all(value is None or value == mine[key] for key, value in theirs.items())


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rollback: named, with its author and reason.

    Attributes:
        id: what `release` calls it; unique in the life of a latch file.
        at: when, ISO 8601 in UTC.
        plan: the plan it was thrown under, None where none was known; it goes on deciding what the scope holds.
    """

    id: str
    scope: Scope
    by: str
    reason: str
    at: str
    plan: str | None = None


class Latch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All entries of one epoch; a newer epoch replaces it whole."""

    version: int = VERSION
    epoch: int = 0
    entries: tuple[Entry, ...] = ()

    def find(self, scope: Scope) -> Entry | None:
        """The entry of exactly this scope."""
        return next((entry for entry in self.entries if entry.scope == scope), None)


OPEN: Final = Latch()
"""No rollback is in force."""

UNREADABLE: Final = Entry(
    id="unreadable",
    scope=Scope(),
    by="the proxy",
    reason="the latch file can't be read: everything is rolled back until it can",
    at="-",
)
"""What a latch file that can't be read stands for."""

SIGHTED: Final = Entry(
    id="ROLLBACK",
    scope=Scope(),
    by="whoever made the file ROLLBACK",
    reason="the file ROLLBACK is in the state directory, or was there when a worker looked",
    at="-",
)
"""What the file `ROLLBACK` stands for until it is entered as a rollback of its own."""

STAND_INS: Final = frozenset({UNREADABLE.id, SIGHTED.id})
"""Ids that no entry of a file has."""


class Held(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the latch's page carries.

    Attributes:
        latch: the latest.
        saved: the epoch that the file had when it was last written or found; -1: there is no file.
    """

    latch: Latch
    saved: int = -1


class LatchUnreadable(ValueError):
    """The bytes are no latch of this version."""


class CannotRelease(ValueError):
    """Nothing is released; the text says why, and what stands."""


_decode: Final = msgspec.json.Decoder(Latch)
_decode_held: Final = msgspec.json.Decoder(Held)


def encode_latch(latch: Latch) -> bytes:
    """The file's text: indented, for it is read at three in the morning."""
    return msgspec.json.format(msgspec.json.encode(latch), indent=2) + b"\n"


def decode_latch(text: bytes) -> Latch:
    """A latch from a file's text.

    Raises:
        LatchUnreadable: it isn't JSON of this form and version.
    """
    try:
        latch = _decode.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LatchUnreadable(str(error)) from error
    if latch.version != VERSION:
        raise LatchUnreadable(f"version {latch.version}; this proxy reads {VERSION}")
    return latch


def encode_held(held: Held) -> bytes:
    """The page's text; the supervisor reads `latch.epoch` in it."""
    return msgspec.json.encode(held)


def decode_held(text: bytes) -> Held:
    """What a page carries.

    Raises:
        LatchUnreadable: another version of this program wrote it.
    """
    try:
        return _decode_held.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LatchUnreadable(str(error)) from error


def throw(latch: Latch, entry: Entry) -> tuple[Latch, Entry]:
    """Add a rollback.

    Returns:
        The latch, under the next epoch, and the entry that holds: the same scope thrown again stays one entry.
    """
    standing = latch.find(entry.scope)
    if standing is not None:
        return replace(latch, epoch=latch.epoch + 1), standing
    return replace(latch, epoch=latch.epoch + 1, entries=(*latch.entries, entry)), entry


def release(latch: Latch, wanted: str | Scope) -> tuple[Latch, Entry]:
    """End exactly one rollback, named by its id or its scope.

    Raises:
        CannotRelease: no such entry stands, or a wider one does, which is named: while that stands, the release
            would change nothing, and whoever asked for it would think otherwise.
    """
    if isinstance(wanted, str):
        entry = next((one for one in latch.entries if one.id == wanted), None)
    else:
        entry = latch.find(wanted)
    if entry is None:
        standing = "; ".join(f"{one.id} ({one.scope})" for one in latch.entries) or "none"
        wider = [one for one in latch.entries if isinstance(wanted, Scope) and wanted.within(one.scope)]
        if wider:
            named = ", ".join(f"{one.id} ({one.scope})" for one in wider)
            raise CannotRelease(f"no rollback has exactly this scope; {named} is wider and stands: release that one")
        raise CannotRelease(f"no such rollback; in force: {standing}")
    wider = [one for one in latch.entries if one.scope != entry.scope and entry.scope.within(one.scope)]
    if wider:
        named = ", ".join(f"{one.id} ({one.scope})" for one in wider)
        raise CannotRelease(f"{entry.id} ({entry.scope}) lies within {named}, which stands: release that first")
    rest = tuple(one for one in latch.entries if one is not entry)
    return replace(latch, epoch=latch.epoch + 1, entries=rest), entry


def prevailing(latches: Iterable[Latch]) -> Latch:
    """The latch of the highest epoch; where several have it, every entry of all of these."""
    several = tuple(latches)
    newest = max((latch.epoch for latch in several), default=0)
    return union(latch for latch in several if latch.epoch == newest)


def union(latches: Iterable[Latch]) -> Latch:
    """Every entry of all of them (one for each id and scope), under the highest epoch."""
    entries: dict[tuple[str, Scope], Entry] = {}
    epoch = 0
    for latch in latches:
        epoch = max(epoch, latch.epoch)
        for entry in latch.entries:
            entries.setdefault((entry.id, entry.scope), entry)
    return Latch(epoch=epoch, entries=tuple(entries.values()))
