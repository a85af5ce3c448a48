"""Scopes of rollbacks and drills, as people read them in a terminal."""

from __future__ import annotations


def scope_text(scope: dict[str, str | None]) -> str:
    """A scope as people say it."""
    return ", ".join(f"{key} {value}" for key, value in scope.items() if value is not None) or "everything"
