"""Editing a flag file for somebody: what is refused, what is counted, how it gets to the disk, and what a patch says."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.control.canaries.canary import CanaryCommand, Done
from proxy.control.canaries.editing import Editor
from proxy.control.canaries.patch import unified
from proxy.control.canaries.replace import ChangedUnderneath, replace_file
from proxy.control.commands import Refused
from proxy.control.history.event import Action, Event
from proxy.control.plans.publish import Publisher
from proxy.control.plans.reload import Reloader
from proxy.core.layout import StateDir
from proxy.core.switches.latch import OPEN, Entry, Latch, Scope
from proxy.core.telling.counters import Counters
from proxy.core.telling.pages import PAGE_BYTES, Confirmed, Page, Posted, Roster

ROUTES = """\
version: 1
backends:
  legacy: {url: "http://127.0.0.1:1"}
  new: {url: "http://127.0.0.1:2"}
identity:
  account: ["cookie:acct"]
  region: ["account:region"]
accounts: {register: accounts.csv}
segments:
  pilots: {accounts: pilots.txt}
  big: {attributes: {tier: [big]}}
  dach: {regions: [DE]}
areas:
  orders: {routes: [{path: /orders}]}
  invoices: {flag: orders, routes: [{path: /invoices}]}
  fixed: {routes: [{path: /fixed, to: new}]}
  blog: {retired: true, routes: [{path: /blog}]}
  cart: {routes: [{path: /cart}]}
otherwise: legacy
cache: off
"""

FLAG = """\
flags:
  orders:   # theirs
    state: ENABLED
    variants: {new: new, legacy: legacy}
    defaultVariant: legacy
    targeting:
      if:
        - {in: [big, {var: segments}]}
        - legacy
        - fractional: [[new, 0], [legacy, 100]]
"""


class Setup:
    """Control's insides over real files, with one worker that confirms whatever is posted, if it is told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []
        self.latch = OPEN
        (root / "flags").mkdir(parents=True)
        (root / "routes.yaml").write_text(ROUTES)
        (root / "pilots.txt").write_text("a\nb\nc\n")
        (root / "accounts.csv").write_text("id,region,tier\na,DE,big\nb,DE,small\nc,US,small\nd,DE,small\n")
        self.flag = root / "flags" / "orders.flagd.yaml"
        self.flag.write_text(FLAG)
        state = StateDir(root / "state")
        state.root.mkdir()
        roster = Page(memoryview(bytearray(PAGE_BYTES)), Roster)
        roster.write(Roster(pid=1, workers=1, worker_starts=(1,), worker_pids=(7,)))
        self.worker = Page(memoryview(bytearray(PAGE_BYTES)), Confirmed)
        self.board = Page(memoryview(bytearray(PAGE_BYTES)), Posted)
        publisher = Publisher(state=state, board=self.board, roster=roster, confirmations=[self.worker])
        self.reloader = Reloader(
            routes=root / "routes.yaml",
            flags=root / "flags",
            state=state,
            publisher=publisher,
            own=Counters(memoryview(bytearray(4096))),
        )
        self.reloader._start(first=True, last_good=False)
        self.editor = Editor(
            reloader=self.reloader,
            routes=root / "routes.yaml",
            flags=root / "flags",
            read_only=False,
            by_command=lambda _: None,
        )
        self.command = CanaryCommand(
            editor=self.editor,
            reloader=self.reloader,
            publisher=publisher,
            state=state,
            record=self.events.append,
            latch=lambda: self.latch,
            within_s=0.2,
        )
        self.answer: Callable[[Posted], Confirmed] = lambda posted: Confirmed(
            pid=7, start_id="x", generation=posted.generation
        )

    def canary(self, area: str, **arguments: Any) -> Done:
        asked = {"area": area, "reason": "a test"} | arguments
        return msgspec.convert(asyncio.run(self._run(asked)), Done)

    async def _run(self, asked: dict[str, Any]) -> Any:
        worker = asyncio.create_task(self._work())
        try:
            return await self.command.run(asked, by_uid=os.getuid())
        finally:
            worker.cancel()

    async def _work(self) -> None:
        while True:
            posted = self.board.read()
            assert posted is not None
            self.worker.write(self.answer(posted))
            await asyncio.sleep(0.001)


@pytest.fixture
def here(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_it_tells_whom_it_moves_whom_it_does_not_and_which_areas_share_the_flag(here: Setup) -> None:
    done = here.canary("orders", add_segments=["pilots"])
    assert done.code == 0
    assert done.moves is not None
    assert (done.moves.accounts, done.moves.to_new, done.moves.to_legacy, done.moves.new) == (4, 2, 0, 2)
    assert done.areas == ("orders", "invoices")
    assert "flag orders decides for orders, invoices: all of them change" in done.notes
    assert any(
        "flags/orders.flagd.yaml:8:11: 1 of the register's accounts of pilots that are in big" in note
        for note in done.notes
    )
    assert [worker.confirmed for worker in done.workers] == [True]


def test_regions_of_the_register_count_in_what_moves(here: Setup) -> None:
    done = here.canary("orders", add_segments=["dach"])
    assert done.moves is not None
    assert done.moves.to_new == 2  # b and d; a is big


def test_everyone_says_who_still_is_not(here: Setup) -> None:
    assert any("clauses still give legacy to big" in note for note in here.canary("orders", everyone=True).notes)


def test_a_rollback_that_stands_is_named_for_it_keeps_the_change_from_showing(here: Setup) -> None:
    here.latch = Latch(entries=(Entry(id="r1", scope=Scope(area="invoices"), by="ann", reason="-", at="-"),))
    assert any(
        note.startswith("rollback r1 (area invoices) stands") for note in here.canary("orders", percent="1").notes
    )


def test_what_was_done_and_what_was_refused_goes_into_the_journal(here: Setup) -> None:
    here.canary("cart", percent="5")
    here.flag.write_text(FLAG.replace("[new, 0]", "[new, 1]"))
    with pytest.raises(Refused, match="edited a moment ago"):
        here.canary("orders", percent="5")
    done, refused = here.events
    assert (done.action, done.scope["area"], done.before, done.after["share_percent"]) == (
        Action.CANARY,
        "cart",
        None,
        5.0,
    )
    assert (refused.action, refused.uid) == (Action.REFUSED, os.getuid())
    assert here.flag.read_text() == FLAG.replace("[new, 0]", "[new, 1]")


@pytest.mark.parametrize(
    ("area", "arguments", "code", "why"),
    [
        ("order", {"percent": "5"}, 2, 'no area is named "order"; did you mean "orders"'),
        ("orders", {"add_segments": ["pilot"]}, 2, 'did you mean "pilots"'),
        ("orders", {}, 2, "say what shall change"),
        ("orders", {"percent": "5", "everyone": True}, 2, "leave --percent out"),
        ("orders", {"add_segments": ["pilots"], "remove_segments": ["pilots"]}, 2, "either add it or remove it"),
        ("orders", {"percent": "5", "reason": " "}, 2, "--reason: say why"),
        ("orders", {"more": 1}, 2, "not a change"),
        ("orders", {"remove_segments": ["big"]}, 1, "edited by hand"),
        ("fixed", {"percent": "5"}, 1, "every route of it says `to:`"),
        ("blog", {"percent": "5"}, 1, "is retired"),
    ],
)
def test_it_refuses_what_can_not_be_meant(
    here: Setup, area: str, arguments: dict[str, Any], code: int, why: str
) -> None:
    with pytest.raises(Refused, match=why) as refused:
        here.canary(area, **arguments)
    assert refused.value.code == code
    assert here.flag.read_text() == FLAG


def test_a_file_of_the_name_without_the_flag_is_not_touched(here: Setup) -> None:
    (here.root / "flags" / "cart.flagd.yaml").write_text("flags:\n  other: {state: DISABLED, variants: {a: new}}\n")
    with pytest.raises(Refused, match="add the flag by hand"):
        here.canary("cart", percent="5")


def test_an_unconfirmed_change_is_written_and_said_to_be_unconfirmed(here: Setup) -> None:
    here.answer = lambda posted: Confirmed(pid=7, start_id="x", generation=1)
    done = here.canary("orders", percent="5")
    assert (done.code, done.changed, done.within_ms) == (3, True, None)
    assert "[[new, 5], [legacy, 95]]" in here.flag.read_text()


def test_a_worker_that_can_not_run_it_is_not_waited_for_and_says_why(here: Setup) -> None:
    here.answer = lambda posted: Confirmed(
        pid=7, start_id="x", generation=1, refused=posted.generation, trouble="no memory"
    )
    done = here.canary("orders", percent="5")
    assert (done.code, done.workers[0].trouble) == (3, "no memory")


def test_a_change_that_would_not_come_into_force_is_not_written(here: Setup) -> None:
    broken = ROUTES.replace("  pilots: {accounts: pilots.txt}\n", "").replace(
        "{path: /cart}", "{path: /cart, segment: [nobody]}"
    )
    (here.root / "routes.yaml").write_text(broken)
    here.reloader._reload()  # held back: its edit is wrong, and would take the segment away
    with pytest.raises(Refused, match="would not come into force"):
        here.canary("orders", add_segments=["pilots"])
    assert here.flag.read_text() == FLAG


# -- to the disk -----------------------------------------------------------------------------------------------------------


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_replaced_only_if_it_is_the_one_that_was_read(tmp_path: Path) -> None:
    path = tmp_path / "flag"
    path.write_bytes(b"theirs")
    for of_hash in (digest(b"mine"), None):
        with pytest.raises(ChangedUnderneath):
            replace_file(path, b"new", of_hash=of_hash)
    assert path.read_bytes() == b"theirs"
    replace_file(path, b"new", of_hash=digest(b"theirs"))
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["flag"]


def test_a_file_that_is_gone_is_not_made_again_and_a_new_one_is_made_once(tmp_path: Path) -> None:
    with pytest.raises(ChangedUnderneath):
        replace_file(tmp_path / "flag", b"new", of_hash=digest(b"it was there"))
    replace_file(tmp_path / "flag", b"new", of_hash=None)
    assert (tmp_path / "flag").read_bytes() == b"new"


def test_links_and_mode_stay(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o604)
    (tmp_path / "link").symlink_to("real")
    replace_file(tmp_path / "link", b"new", of_hash=digest(b"old"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o604


NOT_OURS = """\
import os, sys
from pathlib import Path
from proxy.control.canaries.replace import ReadOnly, replace_file, writable
if os.geteuid() == 0:  # to whom modes mean nothing
    os.setuid(65534)
directory = Path(sys.argv[1])
assert not writable(directory)
try:
    replace_file(directory / "flag", b"new", of_hash=None)
except ReadOnly:
    sys.exit(0)
sys.exit("was written")
"""


def test_a_directory_that_is_not_ours_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    directory = "/usr" if os.geteuid() == 0 else str(tmp_path)  # nobody may not look into a test's directory
    done = subprocess.run([sys.executable, "-c", NOT_OURS, directory], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\nb\nc\n", b"a\nB\nc\n"),
        (b"a\nb", b"a\nc"),
        (b"a\r\nb\r\n", b"a\r\nc\r\n"),
        ("ü\u2028x\nb\n".encode(), "ü\u2028x\nc\n".encode()),
        (None, b"new\nfile\n"),
    ],
)
def test_a_patch_applies_and_gives_what_was_meant(tmp_path: Path, before: bytes | None, after: bytes) -> None:
    path = tmp_path / "flags" / "x.flagd.yaml"
    path.parent.mkdir()
    if before is not None:
        path.write_bytes(before)
    patch = unified("flags/x.flagd.yaml", before, after)
    done = subprocess.run(
        ["patch", "-p1", "--binary"], input=patch.encode(), cwd=tmp_path, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_bytes() == after
