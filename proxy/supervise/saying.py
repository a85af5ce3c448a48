"""What a worker says of itself on its page: one note, to which several parts of it contribute."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from proxy.core.pages import Confirmed, Page


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
        """Change what is said; the arguments are fields of `Confirmed`."""
        self.note = dataclasses.replace(self.note, **changes)
        self._page.write(self.note)

    def beat(self) -> None:
        """Show that the worker lives."""
        self._page.beat()
