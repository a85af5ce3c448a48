"""A reader as forgiving as the kind of backend that smuggling is aimed at: it refuses next to nothing.

It exists to disagree. What the proxy writes must mean the same to it as to the strict readers, in each of its habits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_DIGITS: Final = re.compile(rb"[ \t\x0b\x0c+]*([0-9]+)")
_HEX: Final = re.compile(rb"[ \t\x0b\x0c]*(?:0[xX])?([0-9A-Fa-f]+)")
_LONGEST: Final = 1 << 40
_NO_BODY: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Habits:
    """In what a careless reader differs from the next.

    Attributes:
        cr_ends: a CR alone ends a line.
        nul_ends: a NUL cuts a line off.
        length_first: a length counts for more than chunks.
        last_length: of several lengths the last counts.
        joins: a line that begins with white space goes on with the one before.
    """

    cr_ends: bool = False
    nul_ends: bool = False
    length_first: bool = False
    last_length: bool = False
    joins: bool = True


HABITS: Final = (
    Habits(),
    Habits(cr_ends=True, last_length=True),
    Habits(nul_ends=True, length_first=True),
    Habits(joins=False, length_first=True, last_length=True),
)


@dataclass(slots=True)
class Loose:
    """One message as read: the start line's words, a request's fields by the name that CGI would give them, the body."""

    start: list[bytes]
    fields: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool
    end: int  # behind its last byte

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name]


def read_message(
    data: bytes, at: int, habits: Habits, *, answer_to: bytes | None = None, ended: bool = False
) -> Loose | None:
    """The message that begins at `at`; None when its head isn't whole.

    Args:
        data: what came.
        at: where to begin.
        habits: the reader's.
        answer_to: the method that an answer belongs to; None: the message is a request.
        ended: nothing comes any more, so that a body without a length is whole.
    """
    while data[at : at + 1] in (b"\r", b"\n"):
        at += 1
    lines: list[bytes] = []
    while True:
        line, at = _line(data, at, habits)
        if line is None:
            return None
        if not line:
            break
        if habits.joins and lines and line[:1] in (b" ", b"\t"):
            lines[-1] += b" " + line.strip()
        else:
            lines.append(line)
    start = lines[0].split(None, 2)
    fields = []
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        fields.append((name.replace(b"_", b"-") if answer_to is None else name, value.strip()))
    message = Loose(start, fields, b"", whole=False, end=at)
    _read_body(message, data, habits, answer_to, ended=ended)
    return message


def _line(data: bytes, at: int, habits: Habits) -> tuple[bytes | None, int]:
    newline = data.find(b"\n", at)
    if habits.cr_ends:
        cr = data.find(b"\r", at, newline if newline >= 0 else len(data))
        if 0 <= cr < len(data) - 1 and cr + 1 != newline:
            return data[at:cr], cr + 1
    if newline < 0:
        return None, at
    line = data[at:newline].removesuffix(b"\r")
    return (line.partition(b"\0")[0] if habits.nul_ends else line), newline + 1


def _read_body(message: Loose, data: bytes, habits: Habits, answer_to: bytes | None, *, ended: bool) -> None:
    chunked = any(b"chunked" in value.lower() for value in message.all(b"transfer-encoding"))
    lengths = message.all(b"content-length")
    if answer_to is not None and _without_body(message, answer_to):
        message.whole = True
    elif chunked and not (habits.length_first and lengths):
        _read_chunks(message, data, habits)
    elif lengths or answer_to is None:
        found = _DIGITS.match(lengths[-1 if habits.last_length else 0]) if lengths else None
        length = int(found[1][:18]) if found else 0
        message.body = data[message.end : message.end + min(length, _LONGEST)]
        message.whole = len(message.body) == length
        message.end += len(message.body)
    else:
        message.body = data[message.end :]
        message.whole = ended
        message.end = len(data)


def _without_body(message: Loose, answer_to: bytes) -> bool:
    status = message.start[1] if len(message.start) > 1 else b""
    return answer_to == b"HEAD" or (status.isdigit() and (int(status) < 200 or int(status) in _NO_BODY))


def _read_chunks(message: Loose, data: bytes, habits: Habits) -> None:
    at = message.end
    pieces = []
    while True:
        line, at = _line(data, at, habits)
        if line is None:
            break
        found = _HEX.match(line)
        size = int(found[1], 16) if found else 0
        if not size:
            while line:
                line, at = _line(data, at, habits)
            message.whole = line is not None
            break
        piece = data[at : at + min(size, _LONGEST)]
        pieces.append(piece)
        at += len(piece)
        if len(piece) < size:
            break
        if data[at : at + 2] == b"\r\n":
            at += 2
        elif data[at : at + 1] == b"\n":
            at += 1
    message.body = b"".join(pieces)
    message.end = at
