"""What one worker believes of one endpoint, and how that belief changes: a state machine without clock or sockets.

=============  =================================================  ==========================================
Standing       Comes of                                           Ends with
=============  =================================================  ==========================================
sound          (the beginning)
unreachable    one connection that couldn't be made               a connection that was made
ejected        `faults` exchanges in a row that it left           an answer, once its time is over
               unanswered
unhealthy      its probes, as control tells                       the same, or control's silence
returning      the end of any of these                            `slow_start_s`, in which its part grows
=============  =================================================  ==========================================

Who is out stays so for `first_s`, twice as long each time it fails again, `longest_s` at most; then it is on trial, with a
tenth of its part, until something proves that it works. A status never counts: a 500 is an answer, and what is asked
may be what breaks it.

Sources: consecutive faults and the growing time, Envoy's outlier detection; one failed connection, nginx `max_fails=1`;
a tenth at first, Envoy's `min_weight_percent`.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Final

from proxy.core.care.reaching import EndpointCare
from proxy.core.model import Backend
from proxy.core.telling.metrics import label

TRIAL_SHARE: Final = 0.1
"""Of its part, for an endpoint that nothing has proved to work yet."""


@unique
class Standing(IntEnum):
    """Who is asked first: a higher one only where no lower one is left, so that in the worst case everybody is asked."""

    SOUND = 0
    RETURNING = 1
    EJECTED = 2
    UNHEALTHY = 3
    UNREACHABLE = 4


ENDPOINT_SERIES: Final = "strangler_endpoint_held_off{"
"""What each series of `endpoint_series` begins with."""


def endpoint_series(backend: Backend, url: str, standing: Standing) -> str:
    """The series in which a worker says, by 1, that it believes this of an endpoint."""
    return f'{ENDPOINT_SERIES}backend="{backend}",endpoint="{label(url)}",why="{standing.name.lower()}"}}'


class EndpointHealth:
    """One endpoint, in the eyes of one worker. Times are seconds of any clock that doesn't go back.

    Attributes:
        care: how many faults it may have, and for how long it is left out; replaced with its generation.
    """

    __slots__ = ("_faults", "_out_until_s", "_probed_down", "_proved", "_since_s", "_times", "_why", "care")

    def __init__(self, care: EndpointCare) -> None:
        self.care = care
        self._faults = 0  # in a row
        self._times = 0  # it was left out, since it was last sound
        self._why = Standing.SOUND  # what it was left out for
        self._out_until_s = 0.0
        self._proved = True  # that it works, since it was left out
        self._since_s = 0.0  # when it was proved
        self._probed_down = False

    @property
    def sound(self) -> bool:
        """Whether nothing at all speaks against it."""
        return self._why is Standing.SOUND and not self._faults and not self._probed_down

    def unreachable(self, now_s: float) -> None:
        """No connection could be made. Attempts that were under way together count as one."""
        if self._why is not Standing.UNREACHABLE or now_s >= self._out_until_s:
            self._leave_out(Standing.UNREACHABLE, now_s)

    def connected(self, now_s: float) -> None:
        """A connection was made. It proves nothing of one that takes connections and leaves requests unanswered."""
        if self._why is Standing.UNREACHABLE and not self._proved:
            self._prove(now_s)

    def faulted(self, now_s: float, *, out: int, of: int) -> bool:
        """An exchange was left unanswered.

        Args:
            now_s: the time.
            out: how many other endpoints of the backend are out already, for whatever reason.
            of: how many it has.

        Returns:
            Whether it is ejected now. At most half are: so many suspects would mean that the suspicion is wrong, or
            that the rest can't carry the load.
        """
        self._faults += 1
        if not 0 < self.care.faults <= self._faults or now_s < self._out_until_s or (out + 1) * 2 > of:
            return False
        self._leave_out(Standing.EJECTED, now_s)
        self._faults = self.care.faults - 1  # on trial one is enough
        return True

    def answered(self, now_s: float) -> None:
        """An exchange ended as it should. One that had begun before it was ejected doesn't bring it back."""
        self._faults = 0
        if not self._proved and now_s >= self._out_until_s:
            self._prove(now_s)

    def probed(self, now_s: float, *, healthy: bool) -> None:
        """What its probes say, or that nobody probes it any more, which is `healthy`."""
        if healthy and self._probed_down:
            if self._why is Standing.SOUND:
                self._why = Standing.UNHEALTHY  # what it returns from
            self._prove(now_s)
        self._probed_down = not healthy

    def believed(self, now_s: float) -> Standing:
        """How it stands, as people are told."""
        if now_s < self._out_until_s and self._why is Standing.UNREACHABLE:
            return Standing.UNREACHABLE
        if self._probed_down:
            return Standing.UNHEALTHY
        if now_s < self._out_until_s:
            return Standing.EJECTED
        return Standing.SOUND if self._why is Standing.SOUND else Standing.RETURNING

    def standing(self, now_s: float, draw: float) -> Standing:
        """How it stands for one request.

        Args:
            now_s: the time.
            draw: at random from [0, 1); an endpoint that returns is sound for as many requests as its part has grown.
        """
        believed = self.believed(now_s)
        if believed is Standing.RETURNING and draw < self._part(now_s):
            return Standing.SOUND
        return believed

    def settle(self, now_s: float) -> None:
        """Forget what is over: its part has grown whole."""
        if self._proved and now_s >= self._out_until_s and now_s - self._since_s >= self.care.slow_start_s:
            self._why = Standing.SOUND
            self._times = 0

    def _part(self, now_s: float) -> float:
        if not self._proved:
            return TRIAL_SHARE
        slow_s = self.care.slow_start_s
        return 1.0 if slow_s <= 0 else max(TRIAL_SHARE, (now_s - self._since_s) / slow_s)

    def _leave_out(self, why: Standing, now_s: float) -> None:
        self._why = why
        self._proved = False
        self._out_until_s = now_s + min(self.care.longest_s, self.care.first_s * 2.0**self._times)
        self._times = min(self._times + 1, 32)

    def _prove(self, now_s: float) -> None:
        self._proved = True
        self._since_s = now_s
        self._out_until_s = now_s
