"""What worker and control share as processes: when to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def ending(life: int) -> Iterator[asyncio.Event]:
    """An event that is set by SIGTERM, or by the supervisor's death.

    Args:
        life: reading end of a pipe whose other end only the supervisor holds.
    """
    loop = asyncio.get_running_loop()
    end = asyncio.Event()

    def on_life() -> None:
        if not os.read(life, 1):
            logging.getLogger().warning("the supervisor is gone: draining and ending")
            loop.remove_reader(life)
            end.set()

    loop.add_reader(life, on_life)
    loop.add_signal_handler(signal.SIGTERM, end.set)
    try:
        yield end
    finally:
        loop.remove_reader(life)
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def hangups() -> Iterator[asyncio.Event]:
    """An event that every SIGHUP sets; whoever answers it clears it."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    try:
        yield asked
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def either(first: asyncio.Event, second: asyncio.Event) -> None:
    """Wait until one of two events is set."""
    waits = {asyncio.ensure_future(event.wait()) for event in (first, second)}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
