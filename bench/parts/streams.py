"""100 MB past a slow reader, both ways: memory stays flat."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.asking import cookies
from bench.backends import SLOW_BYTES_PER_S, backends
from bench.field import Ground, chosen, scratch
from bench.memory import MIB, watched
from bench.node import LOOPBACK
from bench.options import Options
from bench.section import Section, Table
from bench.tables import beside

_BYTES: Final = 100_000_000
_STREAMS: Final = 4
_AIM_MIB: Final = 10.0
_PIECE: Final = bytes(256 * 1024)


def run(options: Options) -> Section:
    rows = []
    with scratch() as here, backends(here / "backends") as systems:
        ground = Ground(here, systems)
        for name, peer in chosen(options).items():
            cells = []
            for stream in (_down, _up):
                with peer.start(ground.job()) as running:
                    asyncio.run(_all(stream, running.port, 1_000_000, 1))  # what is allocated once belongs to no stream
                    with watched([running.worker]) as seen:
                        asyncio.run(_all(stream, running.port, _BYTES, _STREAMS))
                    grew = (max(seen) - seen[0]) / MIB
                    cells.append(beside(grew, _AIM_MIB, 1) if name == "strangler" else f"{grew:.1f}")
            rows.append([peer.title, *cells])
    return Section(
        title="Streams",
        method=(
            f"`python -m bench streams`: {_STREAMS} streams of {_BYTES // 1_000_000} MB at once, each read at {SLOW_BYTES_PER_S // 1_000_000} MB/s while its sender sends as fast as it "
            "may: down past a client, up past a backend. By how much the private memory of the process that carries the traffic grew at the most, "
            f"looked at fifty times a second. Aim: flat, at most {_AIM_MIB:g} MiB. (nginx with its defaults writes what waits to disk.)"
        ),
        tables=[Table(title="growth", head=["", "down, MiB", "up, MiB"], rows=rows)],
    )


async def _all(stream: object, port: int, count: int, streams: int) -> None:
    assert callable(stream)
    async with asyncio.timeout(60):
        await asyncio.gather(*(stream(port, count) for _ in range(streams)))


async def _down(port: int, count: int) -> None:
    """A client that reads slowly.

    Raises:
        RuntimeError: the answer isn't whole.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(_head("GET", f"/down/{count}", 0))
    status = await reader.readuntil(b"\r\n\r\n")
    left = count
    while left and (piece := await reader.read(len(_PIECE))):
        left -= len(piece)
        await asyncio.sleep(len(piece) / SLOW_BYTES_PER_S)
    writer.close()
    if left:
        raise RuntimeError(f"a download was cut: {left} bytes are missing after {status!r}")


async def _up(port: int, count: int) -> None:
    """A client that sends as fast as it may, to a backend that reads slowly.

    Raises:
        RuntimeError: the upload wasn't taken.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(_head("POST", "/slow", count))
    for at in range(0, count, len(_PIECE)):
        writer.write(_PIECE[: min(len(_PIECE), count - at)])
        await writer.drain()
    status = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    if not status.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"an upload was not taken: {status!r}")


def _head(method: str, path: str, length: int) -> bytes:
    sized = f"Content-Length: {length}\r\n" if length else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\n{sized}Cookie: {cookies(1)}\r\n\r\n".encode()
