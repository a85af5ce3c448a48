"""`serve`: the supervisor's start. Standard library only, down to the last import (a test holds it).

The command line is read elsewhere, with its libraries; it then replaces itself by this module (`execv`), so that the
process everything depends on holds none of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import secrets
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from proxy.app.messages import log_to_stderr
from proxy.core.layout import StateDir
from proxy.core.socketaddress import socket_address
from proxy.supervise.assignment import Settings
from proxy.supervise.boot import boot_id
from proxy.supervise.children import python_command
from proxy.supervise.lock import StateTaken, take_state
from proxy.supervise.sockets import BadAddress, bind
from proxy.supervise.supervisor import Supervisor

_DRAIN_MARGIN_S: Final = 10.0  # a predecessor's drain, its kills, and its control
_KEY_BYTES: Final = 32


def serve(settings: Settings) -> int:
    """Run the process group; returns the exit code."""
    settings = dataclasses.replace(settings, boot=boot_id())
    _raise_descriptor_limit()
    state = settings.state_dir
    try:
        lock = take_state(
            state,
            settings.drain_delay_s + settings.drain_s + _DRAIN_MARGIN_S,
            on_wait=lambda holder: _say(f"waiting for {holder} on {state.root}, which is draining"),
        )
    except StateTaken as error:
        _say(str(error))
        return 1
    except OSError as error:
        _say(f"{state.root}: {error.strerror}")
        return 1
    sockets: list[socket.socket] = []
    try:
        socket_address(state.control_socket, Path.cwd())
        _try_access_log(settings.access_log)
        _make_log_key(state)
        sockets += _bind("--listen", settings.listen, settings.workers)
        sockets += _bind("--ops", settings.ops, 1)
        supervisor = Supervisor(settings, lock, sockets[:-1], sockets[-1], say=_say)
    except (BadAddress, OSError) as error:
        _say(str(error))
        lock.release()
        return 1
    return supervisor.run()


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as the system lets us have; workers inherit it, and need two for every request.

    The soft limit is 1024 almost everywhere, for the sake of programs that use `select`; nothing here does.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a hard limit that it then doesn't grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _try_access_log(where: str) -> None:
    """Open the access log once, as every worker will: no worker could start without it.

    Raises:
        OSError: it can't be opened.
    """
    if where in ("-", "off") or Path(where).is_fifo():  # opening a pipe waits for its reader
        return
    try:
        os.close(os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640))
    except OSError as error:
        raise OSError(error.errno, f"the access log can't be opened: {error.strerror}", where) from error


def _bind(option: str, address: str, count: int) -> list[socket.socket]:
    try:
        return bind(address, count)
    except BadAddress as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise BadAddress(f"{error}; choose another {option}") from error


def _make_log_key(state: StateDir) -> None:
    """Make the key under which accounts stand in the access log, once for the life of the state directory."""
    try:
        descriptor = os.open(state.log_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if state.log_key.stat().st_size == _KEY_BYTES:
            return
        descriptor = os.open(state.log_key, os.O_WRONLY | os.O_TRUNC)  # a first start that was cut short
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _say(text: str) -> None:
    sys.stderr.write(f"strangler: {text}\n")
    sys.stderr.flush()


def become(settings: Settings) -> None:
    """Replace this process by the supervisor; its pid stays, for whoever started the command.

    Raises:
        OSError: the interpreter can't be run.
    """
    command, environment = python_command("proxy.app.serve", settings.encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted


def main() -> None:
    """Run the supervisor with the settings given as one JSON argument."""
    log_to_stderr("supervisor")
    if os.getpid() == 1:
        # The kernel keeps from the first process of a container whatever it has no handler for, and a start can wait long.
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(serve(Settings(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
