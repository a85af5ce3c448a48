"""Waiting for a condition in another process or task, with a deadline that only a hang reaches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_DEADLINE_S = 30.0
_EVERY_S = 0.02


def until(ask: Callable[[], T], what: str, deadline_s: float = _DEADLINE_S) -> T:
    """The first true answer."""
    ends = time.monotonic() + deadline_s
    pause = threading.Event()
    while not (answer := ask()):
        assert time.monotonic() < ends, f"waited {deadline_s:g} s in vain: {what}"
        pause.wait(_EVERY_S)
    return answer


async def until_async(ask: Callable[[], T], what: str, deadline_s: float = _DEADLINE_S) -> T:
    """The first true answer, while the loop goes on."""
    async with asyncio.timeout(deadline_s):
        while not (answer := ask()):
            await asyncio.sleep(_EVERY_S)
        return answer
    raise AssertionError(what)
