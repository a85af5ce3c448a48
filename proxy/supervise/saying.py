"""What a worker says of itself on its page: one note, to which several parts of it contribute."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, Final

from proxy.core.telling.pages import Confirmed, Page

_TEXT_BYTES: Final = 1000
"""The longest text as it stands on the page: two of them, and all the rest, fit into it."""


class Saying:
    """The one writer of a worker's page."""

    def __init__(self, page: Page[Confirmed], start_id: str) -> None:
        """Say nothing yet: until the first `say`, the page tells of the predecessor.

        Args:
            page: written by nobody else.
            start_id: tells this process from all others that had the slot.
        """
        self._page = page
        self.note = Confirmed(pid=os.getpid(), start_id=start_id)

    def say(self, **changes: Any) -> None:
        """Change what is said; the arguments are fields of `Confirmed`. A text that is too long is cut."""
        fitting: dict[str, Any] = {
            name: _cut(value) if isinstance(value, str) else value for name, value in changes.items()
        }
        self.note = dataclasses.replace(self.note, **fitting)
        self._page.write(self.note)

    def beat(self) -> None:
        """Show that the worker lives."""
        self._page.beat()


def _cut(text: str) -> str:
    """The text as far as there is room: a character takes up to 12 bytes (a path may hold any)."""
    room = _TEXT_BYTES
    for i, character in enumerate(text):
        room -= len(json.dumps(character)) - 2
        if room < 0:
            return text[:i]
    return text
