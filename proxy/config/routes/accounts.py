"""Account lists and the register: a million lines, checked in passes that run in C, turned into tables."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from proxy.config.problems import Complaint, Report, quoted
from proxy.config.routes.draft import decode
from proxy.config.text.yaml import Spot
from proxy.core.deciding.identity import LONGEST_IDENTITY_BYTES
from proxy.core.table import build_table

if TYPE_CHECKING:
    from proxy.config.text.cache import Cache
    from proxy.config.text.fileset import File

MOST_TOLD: Final = 20
"""Complaints about one list; whoever gave the wrong file needn't read a million."""

_COMMENT: Final = re.compile(rb"(?:^|(?<=[ \t\n]))#[^\n]*")
_CONTROLS: Final = bytes((*range(9), *range(11, 13), *range(14, 32), 127))
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_C1: Final = re.compile(rb"\xc2[\x80-\x9f]")
_COLUMN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

_ItemsOf = Callable[[bytes, Report], tuple[dict[bytes, bytes], frozenset[str]]]

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """A list or register, compiled.

    Attributes:
        table: the table's bytes; empty when the file is wrong.
        digest: SHA-256 of the table, in hex.
        attributes: the register's columns but `id`.
    """

    table: bytes = b""
    digest: str = ""
    entries: int = 0
    attributes: frozenset[str] = frozenset()
    complaints: tuple[Complaint, ...] = ()


def read_list(name: str, file: File, cache: Cache) -> Accounts:
    """The accounts of a list: one a line, `#` at the start or after white space begins a comment."""
    return cache.get(("list", name, file.hash), lambda: _read(name, file, _list_items))


def read_register(name: str, file: File, cache: Cache) -> Accounts:
    """The accounts of a register with their attributes: CSV whose first line names the columns."""
    return cache.get(("register", name, file.hash), lambda: _read(name, file, _register_items))


class _Rows(Protocol):
    """What csv.reader gives; typeshed hides its name."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> _Rows: ...
    def __next__(self) -> list[str]: ...


class _Wrong(Exception):
    """The file is wrong; the report says why."""


def _read(name: str, file: File, items_of: _ItemsOf) -> Accounts:
    report = Report(name)
    if file.trouble is not None:
        report.tell("unreadable-file", None, "", f"can't be read: {file.trouble}")
        return Accounts(complaints=tuple(report.complaints))
    try:
        items, attributes = items_of(file.content, report)
    except _Wrong:
        return Accounts(complaints=tuple(report.complaints))
    try:
        table = build_table(items.items())
    except ValueError as error:
        report.tell("bad-account", None, "", f"can't be made a table: {error}")
        return Accounts(complaints=tuple(report.complaints))
    if not items:
        report.tell("empty-list", None, "", "has no accounts; nobody belongs to it")
    return Accounts(
        table=table,
        digest=hashlib.sha256(table).hexdigest(),
        entries=len(items),
        attributes=attributes,
        complaints=tuple(report.complaints),
    )


def _list_items(content: bytes, report: Report) -> tuple[dict[bytes, bytes], frozenset[str]]:
    if decode(content, report) is None:
        raise _Wrong
    stripped = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if b"#" in stripped:
        stripped = _COMMENT.sub(b"", stripped)
    lines = [line.strip() for line in stripped.split(b"\n")]
    controls = (
        len(stripped.translate(None, _CONTROLS)) != len(stripped)
        or _C1.search(stripped)
        or b"\r" in stripped
        or b"\t" in stripped
    )
    if controls or max(map(len, lines)) > LONGEST_IDENTITY_BYTES:
        _check_lines(lines, report)
    items = dict.fromkeys(lines, b"")
    items.pop(b"", None)
    return items, frozenset()


def _check_lines(lines: list[bytes], report: Report) -> None:
    for number, line in enumerate(lines, 1):
        why = _why_no_account(line.decode()) if line else None
        if why is not None:
            _tell(report, "bad-account", Spot(number, 1), why)
    if report.complaints:
        raise _Wrong


def _why_no_account(text: str) -> str | None:
    if len(text.encode()) > LONGEST_IDENTITY_BYTES:
        return f"{quoted(text)} is longer than {LONGEST_IDENTITY_BYTES} bytes; no request can carry it"
    if _CONTROL.search(text):
        return f"{quoted(text)} has control characters; no request can carry it"
    return None


def _register_items(content: bytes, report: Report) -> tuple[dict[bytes, bytes], frozenset[str]]:
    text = decode(content, report)
    if text is None:
        raise _Wrong
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in next(rows, [])]
        _check_columns(columns, report)
        return _rows(rows, columns, report), frozenset(columns) - {"id"}
    except csv.Error as error:
        report.tell("bad-row", Spot(max(rows.line_num, 1), 1), "", f"is no CSV: {error}")
        raise _Wrong from error


def _check_columns(columns: list[str], report: Report) -> None:
    top = Spot(1, 1)
    if "id" not in columns:
        told = f"the first line names the columns, one of them id; found {quoted(','.join(columns))}"
        report.tell("bad-register", top, "", told)
    for column in columns:
        if _COLUMN.fullmatch(column) is None:
            report.tell("bad-register", top, "", f"{quoted(column)} is no column name: letters, digits, _ . and -")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        report.tell("bad-register", top, "", f"the column {quoted(twice[0])} stands twice")
    if report.complaints:
        raise _Wrong


def _rows(rows: _Rows, columns: list[str], report: Report) -> dict[bytes, bytes]:
    at = columns.index("id")
    width = len(columns)
    items: dict[bytes, bytes] = {}
    values: dict[tuple[str, ...], bytes] = {}  # most rows share their attributes with many others
    for row in rows:
        if len(row) != width:
            if row and (width > 1 or row != [""]):
                told = f"{len(row)} fields, and the first line names {width}; quote a field that has a comma in it"
                _tell(report, "bad-row", Spot(rows.line_num, 1), told)
            continue
        account = row.pop(at).strip()
        rest = tuple(row)
        value = values.get(rest)
        if value is None:
            value = values[rest] = _attributes(columns, at, rest, rows.line_num, report)
        if not account.isprintable() or len(account) > LONGEST_IDENTITY_BYTES // 4 or not account:
            why = _why_no_account(account) if account else "the id is empty"
            if why is not None:
                _tell(report, "bad-account", Spot(rows.line_num, 1), why)
        key = account.encode()
        if key in items:
            told = f"{quoted(account)} stands twice; keep one of the two rows"
            _tell(report, "duplicate-account", Spot(rows.line_num, 1), told)
        items[key] = value
    if report.complaints:
        raise _Wrong
    return items


def _attributes(columns: list[str], at: int, rest: tuple[str, ...], line: int, report: Report) -> bytes:
    names = columns[:at] + columns[at + 1 :]
    pairs = {name: value.strip() for name, value in zip(names, rest, strict=True) if value.strip()}
    value = _encode(pairs)
    if len(value) > 0xFFFF:
        _tell(report, "bad-row", Spot(line, 1), "the attributes of an account are longer than 65 535 bytes")
    return value


def _tell(report: Report, code: str, spot: Spot, text: str) -> None:
    if len(report.complaints) < MOST_TOLD:
        report.tell(code, spot, "", text)
