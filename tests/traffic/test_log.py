"""The access log: whole lines that nobody can forge, dropped and counted rather than waited for."""

from __future__ import annotations

import fcntl
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.core.plan import Identity, Source
from proxy.traffic.telling import log
from proxy.traffic.telling.log import AccessLog
from tests.traffic.wire import OK, Node, RawBackend, eventually

HIGH = 1024  # what `select` doesn't take


def note(to: AccessLog, path: bytes = b"/") -> None:
    to.exchange(
        None,
        200,
        request_id=b"r1",
        method=b"GET",
        path=path,
        fault=None,
        generation=1,
        received=2,
        sent=3,
        duration_us=4,
        head_us=None,
    )


def test_a_line_says_all_and_names_no_account(start: Callable[..., Node], legacy: RawBackend) -> None:
    cookie = Identity(account=(Source(source="cookie", name="acct", place="-"),))
    node = start(identity=cookie)
    with node.client() as client:
        for account in (b"acme", b"acme", b"other"):
            client.send(b"GET /a?secret=1 HTTP/1.1\r\nHost: shop\r\nCookie: acct=", account, b"\r\n\r\n")
        with legacy.accept() as backend:
            answers = []
            for _ in range(3):
                backend.head()
                backend.send(OK)
                answers.append(client.answer())
    lines = node.log_lines(3)
    first, second, third = (json.loads(line) for line in lines)
    assert b"acme" not in b"".join(lines)
    assert b"secret" not in b"".join(lines)
    assert len(first["account"]) == 16
    assert first["account"] == second["account"] != third["account"]
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert list(first) == [
        *("time", "id", "method", "path", "status", "area", "route", "backend", "reason", "account", "bucket"),
        *("fault", "generation", "received", "sent", "duration_us", "head_us"),
    ]
    assert first["sent"] == len(answers[0][1] + answers[0][2])
    assert 0 <= first["head_us"] <= first["duration_us"]


@pytest.mark.parametrize(
    "path",
    [b'/"}\\', b"/\xff\xfe", "/ü".encode(), b'/","status":999,"x":"', b"/" + b"a" * 5000, b'/\\"' * 600, b"/\xc2\x85"],
)
def test_a_clients_bytes_cannot_forge_or_break_a_line(tmp_path: Path, path: bytes) -> None:
    access = AccessLog(tmp_path / "log", b"key")
    note(access, path)
    note(access)
    access.close()
    first, second = (tmp_path / "log").read_bytes().split(b"\n")[:2]
    assert json.loads(first)["status"] == 200
    assert json.loads(first)["path"][:300] == path.decode("utf-8", "backslashreplace")[:300]
    assert first.isascii() or len(path) > 1024
    assert len(first) < 3000
    assert json.loads(second)["path"] == "/"


def test_a_log_that_was_rotated_away_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    access = AccessLog(path, b"key")
    note(access, b"/before")
    eventually(lambda: path.read_bytes().endswith(b"\n"), "the first line")
    path.rename(tmp_path / "log.1")
    access.reopen()
    eventually(path.exists, "the file is made anew")
    note(access, b"/after")
    access.close()
    assert b"/before" in (tmp_path / "log.1").read_bytes()
    assert json.loads(path.read_bytes())["path"] == "/after"


def test_a_pipe_nobody_reads_drops_lines_and_never_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_CLOSING_S", 0.05)
    reader, writer = os.pipe()
    access = AccessLog(writer, b"key", waiting_bytes=30_000)
    written = 0
    while access.dropped < 50:
        note(access)
        written += 1
        assert written < 1_000_000
    dropped = access.dropped
    kept = written - dropped
    held = access._gathered_bytes - access._written_bytes
    assert held < 30_000 + 1000  # what is being written counts
    received = b""
    while received.count(b"\n") < kept:
        received += os.read(reader, 65536)
    access.close()
    os.close(writer)
    os.close(reader)
    assert all(json.loads(line)["status"] == 200 for line in received.splitlines())


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    access = AccessLog(tmp_path / "log", b"key")
    for _ in range(1000):
        note(access)
    access.close()
    assert len((tmp_path / "log").read_bytes().splitlines()) == 1000


def test_a_pipe_with_a_high_number_that_somebody_made_non_blocking_gets_every_line() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard <= HIGH:
        pytest.skip("no descriptor may have such a number")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        read_end, low = os.pipe()
        writing = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH)
        os.close(low)
        os.set_blocking(writing, False)
        to = AccessLog(writing, b"k")
        for _ in range(2000):
            note(to)  # more than the pipe holds
        with os.fdopen(read_end, "rb") as pipe:
            assert [pipe.readline()[-1:] for _ in range(2000)] == [b"\n"] * 2000
        to.close()
        assert (to.dropped, to.lost) == (0, 0)
        os.close(writing)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_disk_that_refuses_is_counted() -> None:
    full = os.open("/dev/full", os.O_WRONLY) if Path("/dev/full").exists() else None
    if full is None:
        pytest.skip("needs /dev/full, which Linux has")
    access = AccessLog(full, b"key")
    note(access)
    access.close()
    os.close(full)
    assert access.lost == 1
