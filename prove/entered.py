"""A node for coroutines: started and stopped in a thread, so that the loop goes on answering as its backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.node import Node, node


@asynccontextmanager
async def entered(
    directory: Path, *, port: int | None = None, options: Sequence[str] = (), wrap: Sequence[str] = ()
) -> AsyncIterator[Node]:
    """Serve the configuration in a directory while the block runs; see `bench.node.node`."""
    running = node(directory, port=port, options=options, wrap=wrap)
    try:
        yield await asyncio.to_thread(running.__enter__)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
