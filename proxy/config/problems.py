"""Complaints: one problem each, with its place, its cause and its remedy; all of them are gathered, none is raised."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from proxy.config.codes import CODES


@unique
class Severity(StrEnum):
    """Whether a plan can be made in spite of it."""

    ERROR = "error"
    WARNING = "warning"


class Marked(Protocol):
    """Whatever was read from a line and column (both from 1; 0: the file as a whole)."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Complaint:
    """One problem.

    Attributes:
        file: as shown to people, relative to the directory of routes.yaml.
        line: from 1; 0 when the file as a whole is meant.
        column: from 1, in characters.
        where: the keys that lead there (`areas.billing.routes[2]`, counted from 1 as in a route's name).
        text: cause and remedy.
        code: its stable name, a key of `CODES`.
        alone: whether the file fails by itself, whatever the others say.
        others: other files that it points to.
        wanted: (kind, name) of what it looked for in vain.
    """

    file: str
    line: int
    column: int
    where: str
    text: str
    code: str
    severity: Severity
    alone: bool = False
    others: tuple[str, ...] = ()
    wanted: tuple[str, str] | None = None

    @property
    def place(self) -> str:
        """`file:line:column`, or the file alone."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        return self._line("warning: " if self.severity is Severity.WARNING else "")

    @property
    def unmarked(self) -> str:
        """The line without the word "warning", for a log that has a level."""
        return self._line("")

    def _line(self, kind: str) -> str:
        where = f"{self.where}: " if self.where else ""
        return f"{self.place}  {where}{kind}{self.text}"

    def data(self) -> dict[str, str | int]:
        """The complaint for `--json`."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "where": self.where,
            "text": self.text,
        }


class Report:
    """Gathers the complaints about one file.

    Args:
        file: its name as shown.
        alone: whether what is told here is a failure of the file by itself.
    """

    def __init__(self, file: str, *, alone: bool = True) -> None:
        self.file = file
        self.complaints: list[Complaint] = []
        self._alone = alone

    def tell(
        self,
        code: str,
        mark: Marked | None,
        where: str,
        text: str,
        *,
        shift: int = 0,
        others: Iterable[str] = (),
        wanted: tuple[str, str] | None = None,
    ) -> None:
        """Take note of one problem.

        Args:
            code: a key of `CODES`, which knows its severity.
            mark: where it stands; None: the file as a whole.
            where: the keys that lead there.
            text: cause and remedy.
            shift: characters to the right of the mark.
            others: other files that it points to.
            wanted: (kind, name) of what was looked for in vain.
        """
        self.complaints.append(
            Complaint(
                file=self.file,
                line=mark.line if mark is not None else 0,
                column=mark.column + shift if mark is not None else 0,
                where=_printable(where),
                text=_printable(text),
                code=code,
                severity=Severity.WARNING if CODES[code].warns else Severity.ERROR,
                alone=self._alone,
                others=tuple(sorted({*others} - {self.file})),
                wanted=wanted,
            )
        )


def errors(complaints: Iterable[Complaint]) -> Iterator[Complaint]:
    """Those that forbid a plan."""
    return (one for one in complaints if one.severity is Severity.ERROR)


def ordered(complaints: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """Each once, by file and place."""
    return tuple(sorted(set(complaints)))


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?`, or `; known: …`, or nothing when there is nothing to choose from."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names[:2000], n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    if not names:
        return ""
    return f"; known: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"


def quoted(text: str) -> str:
    """A piece of a file inside a message: in quotes, one line, not too long."""
    shown = text if len(text) <= 60 else text[:57] + "…"
    return f'"{_printable(shown)}"'


def _printable(text: str) -> str:
    """Keys and values may have line ends, and a complaint is one line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
