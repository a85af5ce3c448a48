"""What one worker tells of one drill: a row of the note on its page. Standard library only: the supervisor knows the note."""

from __future__ import annotations

from typing import Any, NamedTuple


class DrillTally(NamedTuple):
    """What came of it so far. Times are seconds of the machine's monotonic clock, which all its processes share.

    Attributes:
        id: the drill's.
        hits: requests that met the fault.
        spared: requests that should have, and found no room to wait in.
        first_s, last_s: when the first and the last was hit; 0: none was.
        noticed: when the proxy's instruments would have noticed, by the name of what they would have said.
    """

    id: str
    hits: int = 0
    spared: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    noticed: dict[str, float] = {}  # noqa: RUF012 - a default that nobody changes


def read_tally(row: Any) -> DrillTally:
    """A row, as JSON gave it back."""
    return DrillTally(*row)
