"""What becomes of the proxy's files, disks and descriptors, one row each."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.chaos.row import Row, Seen
from tests.chaos.stage import AFTER, GOES_ON, read, stage
from tests.chaos.whole import IN_AREA, standing, whole
from tests.waiting import until


def _broken_file(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        client = on.client()
        on.config.edit("routes.yaml", on.config.contents["routes.yaml"].replace("routes:", "rotes:"))
        until(lambda: on.says('did you mean "routes"?'), "it is told")
        client.send(IN_AREA)
        told = read(client)
        on.config.edit("routes.yaml", on.config.contents["routes.yaml"].replace("rotes:", "routes:"))
        until(lambda: on.running.metric("strangler_files_held_back") == 0, "it is mended")
        return on.seen(told, on.recovered(client))


def _latch_damaged(row: Row, directory: Path) -> Seen:
    with whole(directory) as on:
        (on.state / "latch.json").write_text("{")
        client = on.client()

        def asks() -> bool:
            client.send(IN_AREA)
            assert read(client) == "200"
            return bool(on.legacy.arrived)

        until(asks, "everything is rolled back")
        on.new.arrived.clear()
        on.legacy.arrived[:] = on.legacy.arrived[-1:]
        until(lambda: on.says("latch"), "it is told")
        return on.seen("200", on.recovered(client))


@contextmanager
def _no_file_grows(pid: int) -> Iterator[None]:
    """The failing disk that every user can make: a process whose files can't grow (it gets EFBIG where a full disk gives ENOSPC)."""
    former = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, former[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, former)


def _disk_full(row: Row, directory: Path) -> Seen:
    with standing(directory) as on:
        client = on.client()
        with _no_file_grows(on.running.control_pid()):
            said = on.running.command("rollback", "--area", "help", "--reason", "the disk is full", code=3)
            client.send(IN_AREA)
            told = read(client)
            assert on.running.metric("strangler_latch_on_disk") == 0
            on.look()
        until(lambda: on.running.metric("strangler_latch_on_disk") == 1, "it is written")
        until(lambda: on.running.metric("strangler_journal_behind") == 0, "nothing waits any more")
        assert on.running.command("journal", "--json", "--action", "rollback").count("the disk is full") == 1
        seen = on.seen(told, on.recovered(client), said=said)
        on.running.command("release", "--area", "help", "--reason", "there is room")
        return seen


def _log_disk_full(row: Row, directory: Path) -> Seen:
    with whole(directory, "--access-log", "/dev/full") as on:
        client = on.client()
        client.send(IN_AREA)
        told = read(client)
        until(lambda: on.running.metric("strangler_log_lines_dropped_total") > 0, "a line is lost")
        client.send(AFTER)
        assert read(client) == "200"
        return on.seen(told, GOES_ON)


def _out_of_descriptors(row: Row, directory: Path) -> Seen:
    with stage(row, directory) as on:
        on.endpoint()
        on.start()
        client = on.client()
        client.send(
            AFTER.replace(b"/recovered", b"/before").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
        )
        assert read(client) == "200"
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")  # to a backend without a connection yet
            told = read(client)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return on.seen(told, client)


# fmt: off
ROWS: Final = (
    Row(id="disk-full", fault="the disk of the state directory is full; a rollback is thrown", client="200", backends="legacy: 1 whole; new: nothing", log="200",
        says="the latch is in force, but", metric="strangler_journal_behind", recovers=GOES_ON, scene=_disk_full),
    Row(id="log-disk-full", fault="the disk of the access log is full", client="200", backends="legacy: nothing; new: 1 whole", log="",
        says="", metric="strangler_log_lines_dropped_total", recovers=GOES_ON, scene=_log_disk_full),
    Row(id="descriptors", fault="a worker's descriptors are used up", client="503", backends="nothing", log="503 proxy-connect-busy",
        says="", metric='kind="busy"', recovers=GOES_ON, scene=_out_of_descriptors),
    Row(id="file-broken", fault="a configuration file is broken by an edit", client="200", backends="legacy: nothing; new: 1 whole", log="200",
        says='did you mean "routes"?', metric="", recovers=GOES_ON, scene=_broken_file),
    Row(id="latch-damaged", fault="the latch's file is damaged: everything is rolled back", client="200", within="20 ms", backends="legacy: 1 whole; new: nothing", log="200",
        says="latch", metric="", recovers=GOES_ON, scene=_latch_damaged),
)
# fmt: on
