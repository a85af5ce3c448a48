"""The Unix socket on which commands reach control: one JSON line asks, one JSON line answers.

The socket is private to the user (0600); the kernel says who asks (the peer's uid). Everything is bounded: a request's size, the time it
may take to arrive, how many are served at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from proxy.control.asking import Answer, NotRunning, Refused, Request, ask
from proxy.core.socketaddress import socket_address

LONGEST_REQUEST_BYTES: Final = 1 << 20
_ARRIVES_WITHIN_S: Final = 10.0
_ANSWERS_WITHIN_S: Final = 60.0
_AT_ONCE: Final = 32

_USAGE: Final = 2

_T = TypeVar("_T")

_log = logging.getLogger("control")


class Command(Protocol):
    """One thing that control does when asked. A new command is one more class and one more row in control's table."""

    @property
    def name(self) -> str:
        """What requests call it."""
        ...

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        """Do it; what is returned becomes JSON.

        Raises:
            Refused: it isn't done.
        """
        ...


def read_arguments(arguments: dict[str, Any], kind: type[_T], what: str) -> _T:
    """A command's arguments as its own type.

    Raises:
        Refused: they aren't `what` they should be (usage).
    """
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise Refused(f"not {what}: {error}", _USAGE) from error


@contextlib.asynccontextmanager
async def serve_commands(path: Path, commands: Iterable[Command]) -> AsyncIterator[None]:
    """Serve commands while the block runs.

    Raises:
        OSError: the socket can't be made.
    """
    table = {command.name: command for command in commands}
    room = asyncio.Semaphore(_AT_ONCE)

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with room:
                answer = await _answer(reader, writer, table)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await asyncio.wait_for(writer.drain(), _ARRIVES_WITHIN_S)
        except (OSError, TimeoutError):
            pass  # whoever asked has left
        finally:
            writer.close()

    _remove(path)  # a control that was killed left it; the state's lock says that no other one lives
    former = os.umask(0o177)  # the socket is private from its first moment
    try:
        server = await asyncio.start_unix_server(
            on_connection, socket_address(path, Path.cwd()), limit=LONGEST_REQUEST_BYTES
        )
    finally:
        os.umask(former)
    async with server:
        yield
    _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, table: dict[str, Command]) -> Answer:
    try:
        line = await asyncio.wait_for(reader.readline(), _ARRIVES_WITHIN_S)
        request = msgspec.json.decode(line, type=Request)
    except (ValueError, TimeoutError) as error:  # readline raises ValueError for a line over the limit
        return Answer(error=f"not a request: {error}", code=2)
    if request.until_s is not None and time.monotonic() >= request.until_s:
        return Answer(error="came too late: nobody waits for it any more, and nothing was done", code=1)
    command = table.get(request.command)
    if command is None:
        return Answer(error=f"no command named {request.command}; known: {', '.join(sorted(table))}", code=2)
    try:
        uid = _peer_uid(writer.get_extra_info("socket"))
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            return Answer(answer=await command.run(request.arguments, by_uid=uid))
    except Refused as error:
        return Answer(error=str(error), code=error.code)
    except TimeoutError:
        return Answer(error=f"{command.name} took longer than {_ANSWERS_WITHIN_S:g} s", code=1)
    except Exception as error:  # noqa: BLE001 - the top of a task
        _log.exception("command %s failed", command.name)
        return Answer(error=f"{command.name} failed: {type(error).__name__}: {error}", code=1)


def _peer_uid(sock: socket.socket) -> int:
    """Who is at the other end, as the kernel knows it."""
    if sys.platform == "darwin":
        # LOCAL_PEERCRED (sys/un.h): struct xucred {u_int version; uid_t uid; …}
        _, uid = struct.unpack("Ii", sock.getsockopt(0, 1, 8)[:8])
    else:
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


__all__ = ["LONGEST_REQUEST_BYTES", "Command", "NotRunning", "Refused", "ask", "serve_commands"]
