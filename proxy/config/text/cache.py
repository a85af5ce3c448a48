"""What was made of a file is kept by its content, so that a reload costs only what changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

T = TypeVar("T")

_KEPT_ROUNDS: Final = 8  # compilations; settling takes a few of them, with the old and the new version in turn


class Cache:
    """Values by key; what several compilations in a row didn't ask for is dropped. For one thread at a time."""

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[Any, int]] = {}
        self._round = 0

    def get(self, key: Hashable, build: Callable[[], T]) -> T:
        """The value of a key, built when it isn't there; equal keys must mean equal values."""
        kept = self._values.get(key)
        value: T = build() if kept is None else kept[0]
        self._values[key] = (value, self._round)
        return value

    def end_round(self) -> None:
        """A compilation is over: forget what was not asked for lately."""
        self._round += 1
        oldest = self._round - _KEPT_ROUNDS
        self._values = {key: kept for key, kept in self._values.items() if kept[1] >= oldest}
