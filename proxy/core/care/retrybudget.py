"""How many retries a backend gets: so many that a fault here and there goes unnoticed, too few to keep it down when all of it is failing.

At every retry that is granted, the window that ends with it holds no more retries than a share of the requests in it and a floor
besides. The floor lets a quiet backend be retried at all. Sources: Finagle's and Linkerd's retry budget (20 %, 10 a second,
10 s); Envoy's `retry_budget` (20 %, at least 3 at once).

Time comes in as slots; requests as a count that only grows, so that no request has to be told to a budget.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from proxy.core.care.reaching import Retries

_PERCENT: Final = 100


class RetryBudget:
    """The retries of one backend, on one worker.

    Args:
        terms: how many there may be.
        slot_s: how long a slot is.
        requests: how many have been sent to the backend so far.
    """

    __slots__ = ("_before", "_requests", "_retries", "_slot_s", "_slots", "_spent", "_terms")

    def __init__(self, terms: Retries, slot_s: float, requests: int = 0) -> None:
        self._slot_s = slot_s
        self._requests: deque[int] = deque([requests])  # the count at the beginning of each slot in the window
        self._retries: deque[int] = deque([0])  # in each of them
        self._before = 0  # of them all but the last: kept, as a storm asks often
        self._spent = 0  # in the last
        self.obey(terms)

    def obey(self, terms: Retries) -> None:
        """Other terms hold from now on; what was spent stays spent."""
        self._terms = terms
        self._slots = max(1, round(terms.over_s / self._slot_s))
        self._forget()

    def turn(self, requests: int) -> None:
        """A slot is over.

        Args:
            requests: how many have been sent to the backend so far.
        """
        self._retries[-1] = self._spent
        self._before += self._spent
        self._spent = 0
        self._requests.append(requests)
        self._retries.append(0)
        self._forget()

    def spend(self, requests: int) -> bool:
        """Ask for one retry.

        Args:
            requests: how many have been sent to the backend so far.

        Returns:
            Whether it is granted; it is spent then.
        """
        terms = self._terms
        earned = terms.percent * (requests - self._requests[0])
        floor = int(terms.per_second * terms.over_s)
        if (self._before + self._spent + 1 - floor) * _PERCENT > earned:
            return False
        self._spent += 1
        return True

    def _forget(self) -> None:
        while len(self._requests) > self._slots:
            self._requests.popleft()
            self._before -= self._retries.popleft()
