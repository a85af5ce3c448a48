"""Which regions requests had lately, as each worker publishes it on a page.

For one question: a rollback of a region that no request has is probably a typing error, and is told. Regions are a client's words, so
they stand in no metric's label, and how many are remembered is bounded.

The page's text: the Unix second when a region last found no room (0: never), then a line `SECOND REGION` for each.
Standard library only: the supervisor allocates the pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.core.telling.pages import TextPage

REGIONS_KEPT: Final = 128
"""Of one worker. More than any map has; a source that gives more gives something else than regions."""

_LONGEST_BYTES: Final = (
    256  # `proxy.core.deciding.identity`, which this doesn't import: the supervisor reads this module
)

LATELY_S: Final = 900
"""A region that no request had for so long isn't seen any more: a quarter of an hour, longer than a quiet moment."""

REGIONS_PAGE_BYTES: Final = 36 << 10
"""Room for as many of the longest identity there is (256 bytes), each with its second."""


class Sightings:
    """The regions that one worker sees; `see` costs a set's insertion, the rest is done now and then.

    Attributes:
        see: take note of a region.
    """

    def __init__(self, page: TextPage) -> None:
        """Go on where the slot's last worker stopped.

        Args:
            page: the slot's; this is its one writer.
        """
        self._page = page
        seen = Seen()
        text = page.read_text()
        if text is not None:
            seen.add(text)
        self._last_s = dict(seen.last_s)
        self._crowded_s = seen.crowded_s
        self._fresh: set[str] = set()

    def see(self, region: str) -> None:
        """Take note of a region that a request has."""
        if len(self._fresh) <= REGIONS_KEPT:  # one more than is kept: that there are too many is told, too
            self._fresh.add(region)

    def publish(self, now_s: int) -> None:
        """Put what was seen since the last time on the page."""
        if not self._fresh:
            return
        fresh, self._fresh = self._fresh, set()
        kept = {region: at_s for region, at_s in self._last_s.items() if now_s - at_s <= LATELY_S}
        for region in fresh:
            if not region.isprintable() or len(region.encode()) > _LONGEST_BYTES:
                continue  # out of a register: a request can't carry such a one
            if region in kept or len(kept) < REGIONS_KEPT:
                kept[region] = now_s
            else:
                self._crowded_s = now_s
        self._last_s = kept
        lines = [str(self._crowded_s), *(f"{at_s} {region}" for region, at_s in kept.items())]
        self._page.write_text("\n".join(lines).encode())


class Seen:
    """What all workers saw.

    Attributes:
        last_s: region → Unix second of the last request that had it.
        crowded_s: when a region last found no room; 0: never.
    """

    __slots__ = ("crowded_s", "last_s")

    def __init__(self) -> None:
        self.last_s: dict[str, int] = {}
        self.crowded_s = 0

    def add(self, text: bytes) -> None:
        """Take in what stands on a page."""
        first, *lines = text.decode().split("\n")
        self.crowded_s = max(self.crowded_s, int(first))
        for line in lines:
            second, _, region = line.partition(" ")
            self.last_s[region] = max(self.last_s.get(region, 0), int(second))

    def lately(self, now_s: float) -> frozenset[str]:
        """The regions that requests had lately."""
        return frozenset(region for region, at_s in self.last_s.items() if now_s - at_s <= LATELY_S)

    def crowded(self, now_s: float) -> bool:
        """Whether there were more lately than are remembered."""
        return now_s - self.crowded_s <= LATELY_S
