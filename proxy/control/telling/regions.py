"""Which regions requests had lately, for whoever rolls one back."""

from __future__ import annotations

from typing import Final

from proxy.core.layout import StateDir
from proxy.core.telling.pages import TextPage
from proxy.core.telling.sightings import Seen

_LOOKS: Final = 20  # a page is written in some microseconds, once a second


def regions_seen(state: StateDir) -> Seen:
    """What the workers of all slots saw, dead ones too; nothing, where no proxy ever ran."""
    seen = Seen()
    for path in sorted(state.run.glob("worker-*.regions")):
        for _ in range(_LOOKS):
            try:
                page = TextPage(memoryview(path.read_bytes()))
            except OSError:
                break
            text = page.read_text()
            if text is not None:
                seen.add(text)
            if text is not None or page.version == 0:
                break
    return seen
