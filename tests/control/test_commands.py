"""Commands over the socket: one line asks, one line answers, and everything is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.asking import NobodyThere, ask_patiently
from proxy.control.commands import LONGEST_REQUEST_BYTES, NotRunning, Refused, ask, serve_commands
from proxy.core.layout import StateDir

pytestmark = pytest.mark.anyio


class Echo:
    name = "echo"

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        return {"said": arguments, "uid": by_uid}


class No:
    name = "no"

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        raise Refused("not today", 5)


class Breaks:
    name = "breaks"

    async def run(self, arguments: dict[str, Any], *, by_uid: int) -> Any:
        raise RuntimeError("wires crossed")


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "control.sock"
    async with serve_commands(path, (Echo(), No(), Breaks())):
        yield path


async def asked(path: Path, command: str, arguments: dict[str, Any] | None = None) -> Any:
    return await asyncio.to_thread(ask, path, command, arguments or {})


async def test_a_command_is_answered_and_knows_who_asks(path: Path) -> None:
    assert await asked(path, "echo", {"a": [1]}) == {"said": {"a": [1]}, "uid": os.getuid()}


async def test_the_socket_is_private(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_refusal_carries_its_exit_code(path: Path) -> None:
    with pytest.raises(Refused, match="not today") as caught:
        await asked(path, "no")
    assert caught.value.code == 5


async def test_a_command_that_breaks_is_told_and_the_next_is_served(path: Path) -> None:
    with pytest.raises(Refused, match="wires crossed"):
        await asked(path, "breaks")
    assert await asked(path, "echo")


async def test_an_unknown_command_names_the_known(path: Path) -> None:
    with pytest.raises(Refused, match="known: breaks, echo, no") as caught:
        await asked(path, "reboot")
    assert caught.value.code == 2


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b'{"command": 3}\n', b'{"command": "echo", "more": 1}\n', b"\n"])
async def test_what_is_no_request_is_refused(path: Path, line: bytes) -> None:
    answer = await asyncio.to_thread(raw, path, line)
    assert answer["code"] == 2
    assert "not a request" in answer["error"]


async def test_a_request_over_the_limit_is_refused(path: Path) -> None:
    answer = await asyncio.to_thread(raw, path, b'{"command": "' + b"x" * (2 * LONGEST_REQUEST_BYTES))
    assert "not a request" in answer["error"]


def raw(path: Path, request: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(request)
        with sock.makefile("rb") as file:
            return json.loads(file.readline())


async def test_a_socket_that_a_killed_control_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serve_commands(path, (Echo(),)):
        assert await asked(path, "echo")
    assert not path.exists()


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="No such file"):
        await asked(tmp_path / "control.sock", "echo")


async def test_one_that_is_being_replaced_is_waited_for_while_the_proxy_lives(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with pytest.raises(NobodyThere):
        await asyncio.to_thread(ask_patiently, state, "echo", {})
    state.serving_lock.write_text(f"pid {os.getpid()}")
    asking = asyncio.create_task(asyncio.to_thread(ask_patiently, state, "echo", {"one": 1}))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(state.control_socket))
    async with serve_commands(state.control_socket, (Echo(),)):
        assert (await asking)["said"] == {"one": 1}


async def test_a_state_directory_whose_path_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with pytest.raises(OSError, match="shorter --state"):
        async with serve_commands(deep / "control.sock", ()):
            pass


async def test_a_request_that_nobody_waits_for_any_more_is_not_carried_out(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(json.dumps({"command": "echo", "arguments": {}, "until_s": time.monotonic() - 1}).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    assert answer == {"error": "came too late: nobody waits for it any more, and nothing was done", "code": 1}
