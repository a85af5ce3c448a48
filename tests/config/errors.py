"""The table of configuration errors: its rows, what they provoke, and docs/errors.md made of them."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml

from proxy.config.codes import CODES
from proxy.config.problems import Complaint
from proxy.config.settle import settle
from proxy.config.text.fileset import File, FileSet
from proxy.core.switches.latch import OPEN, Entry, Latch, Scope
from tests.config import base
from tests.config.pems import pems

TABLE = Path(__file__).parent / "errors.yaml"

Over = dict[str, str | None]


class Row(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One problem: what provokes it, and what is said."""

    code: str
    says: str
    files: Over = {}
    flag: str | None = None  # targeting of the base's flag
    latin1: dict[str, str] = {}
    pem: dict[str, str] = {}  # file → what of tests/config/pems.py it is
    unreadable: str | None = None
    deep: str | None = None
    running: Over | None = None
    today: datetime.date | None = None
    rolled_back: str | None = None
    without: str | None = None  # a package that isn't installed

    def over(self) -> Over:
        """What is laid over the base."""
        over = dict(self.files)
        if self.flag is not None:
            over["flags/orders.flagd.yaml"] = base.flag(self.flag)
        if self.deep is not None:
            over[self.deep] = "[" * 200
        return over

    def provoke(self) -> tuple[Complaint, ...]:
        """Every complaint that the files give."""
        if self.without is not None:
            with absent(self.without):
                return self._complaints()
        return self._complaints()

    def _complaints(self) -> tuple[Complaint, ...]:
        wanted = base.files(self.over())
        special: dict[str, File | None] = {n: File.of(text.encode("latin-1")) for n, text in self.latin1.items()}
        special |= {name: File.of(pems()[what]) for name, what in self.pem.items()}
        if self.unreadable is not None:
            special[self.unreadable] = File.unreadable("Permission denied")
        running: FileSet | None = base.files(self.running) if self.running is not None else None
        latch = OPEN
        if self.rolled_back is not None:
            entry = Entry(id="r17", scope=Scope(area=self.rolled_back), by="ann (1000)", reason="smells", at="-")
            latch = Latch(epoch=17, entries=(entry,))
        return settle(wanted.with_files(special), running, today=self.today, latch=latch).compiled.complaints

    def snippet(self) -> str:
        """What people see of it in the docs."""
        if self.unreadable is not None:
            return f"# {self.unreadable}: chmod 000\n"
        if self.deep is not None:
            return f"# {self.deep}\n[[[[…\n"
        shown: Over = {**self.files, **self.latin1}
        if self.flag is not None:
            shown["flags/orders.flagd.yaml"] = base.flag(self.flag)
        was = [f"# {name}, before\n{text}" for name, text in (self.running or {}).items()]
        now = [f"# {name}\n{text}" if text is not None else f"# {name}: deleted\n" for name, text in shown.items()]
        now += [f"# {name}: {what}\n" for name, what in self.pem.items()]
        over = [f"# strangler rollback --area {self.rolled_back} --reason …\n"] if self.rolled_back else []
        return "\n".join(was + over + now)


@contextmanager
def absent(package: str) -> Iterator[None]:
    """Let imports find a package as little as where it isn't installed."""
    hidden = {
        name: sys.modules.pop(name) for name in [*sys.modules] if name == package or name.startswith(f"{package}.")
    }
    sys.modules[package] = None  # type: ignore[assignment]  # what the import system documents for "don't find this"
    try:
        yield
    finally:
        del sys.modules[package]
        sys.modules.update(hidden)


def rows() -> list[Row]:
    """The table."""
    loaded: list[Any] = yaml.safe_load(TABLE.read_text())
    return msgspec.convert(loaded, list[Row], strict=True)


HEAD = """# Configuration errors

Every problem the loader can tell, once, with what provokes it and what is said. `strangler check` tells all of them
at once; at start an error means that nothing is listened on, on reload the file that has it stays at its last good
version. A *warning* changes nothing but deserves a look. The codes are stable; `check --json` has them.

A message says where (`file:line:column`), under which keys (positions in lists count from 1, as in a route's
name), what is wrong, and what to do. Each file below is laid over a small valid configuration.
"""


def page() -> str:
    """docs/errors.md."""
    parts = [HEAD]
    for row in rows():
        code = CODES[row.code]
        kind = "warning" if code.warns else "error"
        parts.append(
            f"\n## {row.code}\n\n*{kind}*: {code.meaning}\n\n```text\n{row.snippet().rstrip()}\n```\n\n```text\n{row.says}\n```\n"
        )
    return "".join(parts)
