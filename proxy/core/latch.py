"""The latch: the set of rollbacks in force, as a request sees it."""

from __future__ import annotations

import msgspec


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a rollback covers; given keys narrow it, an empty scope is everything."""

    area: str | None = None
    segment: str | None = None
    region: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One rollback: named, with its author and reason."""

    id: str
    scope: Scope
    by: str
    reason: str
    at: str


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """All entries of one epoch; a newer epoch replaces it whole."""

    epoch: int = 0
    entries: tuple[Entry, ...] = ()


OPEN = Latch()
"""No rollback is in force."""
