"""Where nobody may be sent for a while, although it would answer: an endpoint that calls itself unwell, an address that a name has no more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from soak.story import Arrival, Story


@dataclass(slots=True, kw_only=True)
class Shunned:
    """One endpoint of a system, or one address of all of them.

    Attributes:
        endpoint: its number; None: all.
        address: empty: all.
        at_need: a request that another endpoint has failed may come here all the same.
        since_s, until_s: in which that is known to every worker; a request must have begun after it to be judged.
    """

    system: str
    since_s: float
    endpoint: int | None = None
    address: str = ""
    at_need: bool = False
    until_s: float = math.inf

    def forbids(self, story: Story, arrival: Arrival) -> bool:
        """Whether a request that arrived somewhere must not have come there."""
        if self.at_need and any(other.at_s < arrival.at_s for other in story.arrivals):
            return False
        return (
            arrival.backend == self.system
            and self.endpoint in {None, arrival.endpoint}
            and self.address in {"", arrival.address}
            and self.since_s <= story.sent.began_s
            and arrival.at_s <= self.until_s
        )
