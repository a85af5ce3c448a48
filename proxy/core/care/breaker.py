"""A circuit breaker for one backend: who leaves too much unanswered is left alone for a while. No clock, no sockets.

===========  ==================================  ==================================
State        Requests                            Ends when
===========  ==================================  ==================================
closed       pass                                too large a share of them failed
open         are refused at once                 its time is over
half open    a few pass, to try                  one of these fails, or enough don't
===========  ==================================  ==================================

`TRANSITIONS` is all there is of it: every event in every state, most of which come too late to mean anything.

What fails is an exchange, after all endpoints that may be asked were: so one dead endpoint of two opens nothing, as the other
answers; nor does a retry that is withheld while an endpoint stands that nothing speaks against. The two work at different heights: `proxy.core.care.endpointhealth` chooses between endpoints and leaves out half of them at
most, for somebody must answer; the breaker is for when nobody does, and saves both sides the wait and the crowd.

Open it stays for `first_s`, twice as long each time it opens again before `window_s` have passed in peace, `longest_s` at
most; by a quarter more or less at random, so that workers and nodes don't all try at the same moment.

Half open it stays until requests prove something, however long none comes: silence says nothing of the backend, and closed by the clock
it would let a whole crowd through to one that is still down (resilience4j waits as well, unless it is told otherwise).

Sources: Nygard, "Release It!", chapter 5; the rolling window with a least number of requests, Hystrix (10 s, 20, 50 %); a number
of trials, resilience4j (`permittedNumberOfCallsInHalfOpenState`); the growing time with its jitter, Envoy's outlier detection.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, StrEnum, auto, unique
from typing import Final, NamedTuple

from proxy.core.care.reaching import BreakerCare
from proxy.core.model import Backend

_SAMPLES: Final = 32  # of a window: it is exact to a thirty-second of itself
_JITTER: Final = 0.5  # of the time, around it


@unique
class State(StrEnum):
    """What becomes of requests."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@unique
class Event(Enum):
    """What may happen to a breaker."""

    FAILED_TOO_OFTEN = auto()  # a share of the window's exchanges
    TIME_OVER = auto()  # for which it is open
    TRIAL_FAILED = auto()
    PROVED = auto()  # as many trials were answered as it takes
    SWITCHED_OFF = auto()


@unique
class Effect(Enum):
    """What is to be done about it."""

    NOTHING = auto()
    REFUSE = auto()
    TRY = auto()
    PASS = auto()


class Transition(NamedTuple):
    """Where an event leads."""

    to: State
    effect: Effect


TRANSITIONS: Final[dict[tuple[State, Event], Transition]] = {
    (State.CLOSED, Event.FAILED_TOO_OFTEN): Transition(State.OPEN, Effect.REFUSE),
    (State.CLOSED, Event.TIME_OVER): Transition(State.CLOSED, Effect.NOTHING),
    (State.CLOSED, Event.TRIAL_FAILED): Transition(State.CLOSED, Effect.NOTHING),
    (State.CLOSED, Event.PROVED): Transition(State.CLOSED, Effect.NOTHING),
    (State.CLOSED, Event.SWITCHED_OFF): Transition(State.CLOSED, Effect.NOTHING),
    (State.OPEN, Event.FAILED_TOO_OFTEN): Transition(State.OPEN, Effect.NOTHING),
    (State.OPEN, Event.TIME_OVER): Transition(State.HALF_OPEN, Effect.TRY),
    (State.OPEN, Event.TRIAL_FAILED): Transition(State.OPEN, Effect.NOTHING),
    (State.OPEN, Event.PROVED): Transition(State.OPEN, Effect.NOTHING),
    (State.OPEN, Event.SWITCHED_OFF): Transition(State.CLOSED, Effect.PASS),
    (State.HALF_OPEN, Event.FAILED_TOO_OFTEN): Transition(State.HALF_OPEN, Effect.NOTHING),
    (State.HALF_OPEN, Event.TIME_OVER): Transition(State.HALF_OPEN, Effect.NOTHING),
    (State.HALF_OPEN, Event.TRIAL_FAILED): Transition(State.OPEN, Effect.REFUSE),
    (State.HALF_OPEN, Event.PROVED): Transition(State.CLOSED, Effect.PASS),
    (State.HALF_OPEN, Event.SWITCHED_OFF): Transition(State.CLOSED, Effect.PASS),
}


class _Sample(NamedTuple):
    """What had ended, and what of it had failed, at a time."""

    at_s: float
    ended: int
    failed: int


def breaker_series(backend: Backend, state: State) -> str:
    """The series in which a worker says, by 1, that its breaker of a backend is in this state."""
    return f'strangler_breaker_open{{backend="{backend}",state="{state}"}}'


def half_open_series(backend: Backend) -> str:
    """The series in which a worker says for how many seconds its breaker of a backend has been half open."""
    return f'strangler_breaker_half_open_s{{backend="{backend}"}}'


class Breaker:
    """One backend's breaker on one worker. Times are seconds of any clock that doesn't go back.

    Whoever owns it counts the exchanges that ended, which is all that those that succeed cost, and hands the count in.

    Attributes:
        state: the present one.
        care: when it opens, and for how long.
        failed_of: how many of how many exchanges failed, when it opened last.
    """

    __slots__ = ("_closed_s", "_failed", "_proved", "_samples", "_times", "_until_s", "care", "failed_of", "state")

    def __init__(self, care: BreakerCare) -> None:
        self.state = State.CLOSED
        self.care = care
        self.failed_of = (0, 0)
        self._failed = 0
        self._samples: deque[_Sample] = deque()
        self._proved = 0  # trials that were answered, in a row
        self._times = 0  # it opened, since there was peace
        self._until_s = 0.0
        self._closed_s = 0.0  # when it was closed last

    def obey(self, care: BreakerCare) -> Effect:
        """Follow other settings from now on."""
        self.care = care
        return self._on(Event.SWITCHED_OFF) if care.share_bp == 0 else Effect.NOTHING

    def tick(self, now_s: float, ended: int) -> Effect:
        """Time passes.

        Args:
            now_s: the time.
            ended: how many exchanges have ended so far; only ever grows.
        """
        samples = self._samples
        window_s = self.care.window_s
        if not samples or now_s - samples[-1].at_s >= window_s / _SAMPLES:
            samples.append(_Sample(now_s, ended, self._failed))
        while len(samples) > 1 and samples[1].at_s <= now_s - window_s:
            samples.popleft()
        if self.state is State.CLOSED and self._times and now_s - self._closed_s >= window_s:
            self._times = 0
        return self.try_now() if self.state is State.OPEN and now_s >= self._until_s else Effect.NOTHING

    def try_now(self) -> Effect:
        """Its time is over, or somebody doesn't want to wait for that."""
        if self.state is not State.OPEN:
            return Effect.NOTHING
        self._proved = 0
        return self._on(Event.TIME_OVER)

    def failed(self, now_s: float, ended: int, draw: float) -> Effect:
        """An exchange failed that was no trial.

        Args:
            now_s: the time.
            ended: how many have ended so far, without this one.
            draw: at random from [0, 1).
        """
        self._failed += 1
        care = self.care
        if care.share_bp == 0 or self.state is not State.CLOSED:
            return Effect.NOTHING
        since = self._samples[0] if self._samples else _Sample(now_s, 0, 0)
        requests, failures = ended + 1 - since.ended, self._failed - since.failed
        if requests < care.least or failures * 10_000 < care.share_bp * requests:
            return Effect.NOTHING
        self.failed_of = (min(failures, requests), requests)
        self._open_for(now_s, draw)
        return self._on(Event.FAILED_TOO_OFTEN)

    def trial_failed(self, now_s: float, draw: float) -> Effect:
        """An exchange failed that was let through to try."""
        self._failed += 1
        if self.state is State.HALF_OPEN:
            self._open_for(now_s, draw)
        return self._on(Event.TRIAL_FAILED)

    def trial_answered(self, now_s: float, ended: int) -> Effect:
        """One was answered."""
        if self.state is State.HALF_OPEN:
            self._proved += 1
            if self._proved >= self.care.trials:
                self._closed_s = now_s
                self._samples.clear()  # what failed before it opened is paid for
                self._samples.append(_Sample(now_s, ended, self._failed))
                return self._on(Event.PROVED)
        return Effect.NOTHING

    def may_try(self, under_way: int) -> bool:
        """Whether one more may be let through, with so many trials under way."""
        return self.state is State.HALF_OPEN and under_way < self.care.trials - self._proved

    def closed_for_s(self, now_s: float) -> float:
        """How long nobody will be let through, for sure."""
        return max(0.0, self._until_s - now_s) if self.state is State.OPEN else 0.0

    def _open_for(self, now_s: float, draw: float) -> None:
        open_s = min(self.care.longest_s, self.care.first_s * 2.0**self._times)
        self._until_s = now_s + open_s * (1.0 + _JITTER * (draw - 0.5))
        self._times = min(self._times + 1, 32)

    def _on(self, event: Event) -> Effect:
        self.state, effect = TRANSITIONS[self.state, event]
        return effect
