"""Asking control, from another process. Imports little: a rollback's whole time is mostly that of its imports."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from proxy.core.layout import StateDir
from proxy.core.socketaddress import socket_address

_IS_REPLACED_WITHIN_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05


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


class NobodyThere(NotRunning):
    """Nobody listens on the socket, so nothing was asked."""


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
            try:
                sock.connect(socket_address(path, Path.cwd()))
            except FileNotFoundError as error:
                if not path.parent.is_dir():
                    told = f"there is no directory {path.parent.absolute()}; is --state, or STRANGLER_STATE, right?"
                    raise NobodyThere(told) from error
                raise NobodyThere(f"{path}: {error.strerror}") from error
            except ConnectionRefusedError as error:
                raise NobodyThere(f"{path}: {error.strerror}") from error
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


def ask_patiently(state: StateDir, command: str, arguments: dict[str, Any]) -> Any:
    """The same for what only control can do: while the proxy lives, one that is being replaced is waited for.

    Raises:
        NotRunning: nobody listens there, or it went away.
        Refused: it said no.
    """
    give_up_at_s = time.monotonic() + _IS_REPLACED_WITHIN_S
    while True:
        try:
            return ask(state.control_socket, command, arguments)
        except NobodyThere:
            if time.monotonic() >= give_up_at_s or not _lives(state):
                raise
        time.sleep(_LOOK_EVERY_S)


def _lives(state: StateDir) -> bool:
    """Whether there is a supervisor, as far as its pid tells. To try its lock could make a start fail in that moment."""
    try:
        os.kill(int(state.serving_lock.read_text("ascii").removeprefix("pid ")), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True
