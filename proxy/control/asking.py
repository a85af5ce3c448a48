"""Asking control, from another process. Imports little: a rollback's whole time is mostly that of its imports."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import msgspec

from proxy.core.socketaddress import socket_address


class Refused(Exception):
    """A command is not done. The text says why; `code` is the exit code that the command line gives it."""

    def __init__(self, why: str, code: int = 1) -> None:
        super().__init__(why)
        self.code = code


class Answer(msgspec.Struct, omit_defaults=True):
    """What the socket says: either `answer`, or `error` with `code`."""

    answer: Any = None
    error: str | None = None
    code: int = 0


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked.

    `until_s` is when the asker gives up, on the machine's monotonic clock. A control that was stopped meanwhile must not
    do then what the asker, who went another way, has done already.
    """

    command: str
    arguments: dict[str, Any] = {}
    until_s: float | None = None


class NotRunning(Exception):
    """No control process answers on the socket."""


def ask(path: Path, command: str, arguments: dict[str, Any], *, timeout_s: float = 65.0) -> Any:
    """Ask control, from another process; returns the answer's data.

    Raises:
        NotRunning: nobody listens there, or it went away.
        Refused: it said no.
    """
    request = msgspec.json.encode(Request(command, arguments, time.monotonic() + timeout_s)) + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect(socket_address(path, Path.cwd()))
            sock.sendall(request)
            with sock.makefile("rb") as file:
                line = file.readline()
    except OSError as error:
        raise NotRunning(f"{path}: {error.strerror or error}") from error
    if not line.endswith(b"\n"):
        raise NotRunning(f"{path}: control ended before it answered")
    answer = msgspec.json.decode(line, type=Answer)
    if answer.error is not None:
        raise Refused(answer.error, answer.code)
    return answer.answer
