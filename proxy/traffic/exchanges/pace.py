"""Whether somebody who isn't silent is so slow all the same that waiting has no end.

A silence ends with its first byte, so whoever sends one byte now and then would hold a connection for ever (Slowloris, slow
read). So whoever is waited for must also move a number of bytes a second, on average over the time that a silence would be
borne: what curl does with `--speed-limit` and `--speed-time`. Apache's `MinRate` and Kestrel's data rates count from the
beginning instead, and what was quick at first may then dawdle for days.

Only ticks of waiting count. A client whose bytes wait for a slow backend isn't late, and the other way round.
"""

from __future__ import annotations


class Pace:
    """How fast one side moves; made when it is first waited for, asked once in each tick of waiting.

    Args:
        moved_bytes: what it has moved so far.
    """

    __slots__ = ("_base_bytes", "_seen_bytes", "_waited")

    def __init__(self, moved_bytes: int) -> None:
        self._base_bytes = moved_bytes
        self._seen_bytes = moved_bytes
        self._waited = 0

    def moved(self, moved_bytes: int) -> bool:
        """Whether it has moved anything since this was asked last."""
        before, self._seen_bytes = self._seen_bytes, moved_bytes
        return moved_bytes != before

    def lags(self, moved_bytes: int, window_ticks: int, bytes_a_tick: float) -> bool:
        """Whether a window has ended, and a tick, in which it moved less than it must.

        Args:
            moved_bytes: what it has moved so far.
            window_ticks: how long a window is.
            bytes_a_tick: what must have been moved for each tick of it; 0: nothing.
        """
        self._waited += 1
        if self._waited <= window_ticks:  # a whole window of silence is told as such before
            return False
        moved = moved_bytes - self._base_bytes
        enough = moved >= bytes_a_tick * self._waited
        self._base_bytes = moved_bytes
        self._waited = 0
        return not enough


class Paces:
    """How fast both sides of an exchange move.

    Args:
        by_client: bytes that the client has given and taken so far.
        answered: bytes of the answer so far.

    Attributes:
        backend: taking the request.
        answer: giving the answer.
        head_ticks: for how many ticks a part of the answer's head has been here.
    """

    __slots__ = ("answer", "backend", "client", "head_ticks")

    def __init__(self, by_client: int, answered: int) -> None:
        self.client = Pace(by_client)
        self.backend = Pace(0)
        self.answer = Pace(answered)
        self.head_ticks = 0
