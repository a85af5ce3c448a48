"""A bounded queue in which accounts take turns, so that no one of them can fill it or hold the others up.

Each account has a line of its own, first come, first served. The lines take turns: whoever was served goes behind the others.
So an account that has one request waiting is served after at most one of each other account's, however many these have. An
account may have only a part of the places: the rest stays free for others while it floods.

Sources: round robin over flows, Nagle, "On Packet Switches with Infinite Storage" (RFC 970); a bounded line for each, Kubernetes'
API Priority and Fairness (`queueLengthLimit`).
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto, unique
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


@unique
class Offered(Enum):
    """What became of somebody who wanted to wait."""

    WAITS = auto()
    FULL = auto()  # all places are taken
    TOO_MANY = auto()  # the account's places are


class FairQueue(Generic[ItemT]):
    """Who waits, in lines by account.

    Attributes:
        most: how many may wait; who waits already when it is lowered stays.
        most_of_one: of them, how many of one account.
    """

    __slots__ = ("_account_of", "_lines", "most", "most_of_one")

    def __init__(self, most: int, most_of_one: int) -> None:
        self.most = most
        self.most_of_one = most_of_one
        # OrderedDict and not dict: the first key of a dict that only ever loses its first is searched for ever longer.
        self._lines: OrderedDict[str, OrderedDict[ItemT, None]] = OrderedDict()  # the one whose turn it is first
        self._account_of: dict[ItemT, str] = {}

    def __len__(self) -> int:
        return len(self._account_of)

    def __contains__(self, item: object) -> bool:
        return item in self._account_of

    def offer(self, account: str, item: ItemT) -> Offered:
        """Let somebody wait who doesn't yet, if there is a place."""
        if len(self._account_of) >= self.most:
            return Offered.FULL
        line = self._lines.get(account)
        if line is None:
            if self.most_of_one < 1:
                return Offered.TOO_MANY
            line = self._lines[account] = OrderedDict()
        elif len(line) >= self.most_of_one:
            return Offered.TOO_MANY
        line[item] = None
        self._account_of[item] = account
        return Offered.WAITS

    def take(self) -> ItemT | None:
        """Whose turn it is; None: nobody waits."""
        if not self._lines:
            return None
        account, line = self._lines.popitem(last=False)
        item, _ = line.popitem(last=False)
        del self._account_of[item]
        if line:
            self._lines[account] = line
        return item

    def leave(self, item: ItemT) -> None:
        """Somebody waits no longer, or never did."""
        account = self._account_of.pop(item, None)
        if account is not None:
            line = self._lines[account]
            del line[item]
            if not line:
                del self._lines[account]

    def take_all(self) -> list[ItemT]:
        """Everybody, in the order in which they came; nobody waits any more."""
        everybody = list(self._account_of)
        self._account_of.clear()
        self._lines.clear()
        return everybody
