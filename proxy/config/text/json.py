"""JSON with places. YAML's reader would do for most files, but not for surrogate pairs, and its messages speak of YAML."""

from __future__ import annotations

import re
from collections.abc import Callable
from json import JSONDecodeError, decoder
from typing import TYPE_CHECKING, Final

from proxy.config.problems import quoted
from proxy.config.text.nodes import Mapping, Node, Scalar, Sequence
from proxy.config.text.yaml import DEEPEST, GivenUp, Spot, number_of

if TYPE_CHECKING:
    from proxy.config.problems import Report

# The standard library's own reader of strings, which typeshed doesn't know.
_scan: Callable[[str, int, bool], tuple[str, int]] = decoder.scanstring  # type: ignore[attr-defined]
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SURROGATE: Final = re.compile("[\\ud800-\\udfff]")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_WORD: Final = re.compile(r"true|false|null")


def read_json(text: str, report: Report) -> Node | None:
    """The value of a file; None when it can't be read, which the report then says."""
    reader = _Reader(text, report)
    try:
        node, at = reader.value(reader.skip(0), 0)
        at = reader.skip(at)
        if at != len(text):
            raise JSONDecodeError("more after the end of the value", text, at)
    except JSONDecodeError as error:
        report.tell("bad-json", reader.spot(error.pos), "", error.msg[:1].lower() + error.msg[1:])
        return None
    except GivenUp:
        return None
    return node


class _Reader:
    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def spot(self, at: int) -> Spot:
        """The place of a character; files are small, so the lines are searched from the last one asked for."""
        low, high = 0, len(self._lines)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._lines[middle] <= at else (low, middle)
        return Spot(low + 1, at - self._lines[low] + 1)

    def skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        """The value that starts at `at`, and where it ends.

        Raises:
            JSONDecodeError: it is none.
            GivenUp: it is nested too deeply.
        """
        text = self._text
        char = text[at : at + 1]
        spot = self.spot(at)
        if depth > DEEPEST:
            self._report.tell("too-deep", spot, "", f"more than {DEEPEST} levels of nesting")
            raise GivenUp
        if char == '"':
            string, end = self._string(at)
            return Scalar(spot.line, spot.column, string, string, 1), end
        if char == "{":
            return self._mapping(at, depth)
        if char == "[":
            return self._sequence(at, depth)
        word = _WORD.match(text, at)
        if word is not None:
            return Scalar(spot.line, spot.column, word[0], _WORDS[word[0]]), word.end()
        number = _NUMBER.match(text, at)
        if number is not None:
            meant = number_of(number[0], whole=number[1] is None and number[2] is None)
            if meant is None:
                raise JSONDecodeError("a number larger than any", text, at)
            return Scalar(spot.line, spot.column, number[0], meant), number.end()
        raise JSONDecodeError("expecting a value", text, at)

    def _string(self, at: int) -> tuple[str, int]:
        string, end = _scan(self._text, at + 1, True)
        if _SURROGATE.search(string) is not None:
            # JSON allows half a character, UTF-8 doesn't, and a plan is UTF-8.
            raise JSONDecodeError("half a surrogate pair in this text; write the character itself", self._text, at)
        return string, end

    def _sequence(self, at: int, depth: int) -> tuple[Sequence, int]:
        spot = self.spot(at)
        node = Sequence(spot.line, spot.column, [])
        at = self.skip(at + 1)
        if self._text[at : at + 1] == "]":
            return node, at + 1
        while True:
            item, at = self.value(at, depth + 1)
            node.items.append(item)
            at, more = self._next(at, "]")
            if not more:
                return node, at

    def _mapping(self, at: int, depth: int) -> tuple[Mapping, int]:
        spot = self.spot(at)
        node = Mapping(spot.line, spot.column, {})
        at = self.skip(at + 1)
        if self._text[at : at + 1] == "}":
            return node, at + 1
        while True:
            if self._text[at : at + 1] != '"':
                raise JSONDecodeError("expecting a key in double quotes", self._text, at)
            mark = self.spot(at)
            name, at = self._string(at)
            at = self.skip(at)
            if self._text[at : at + 1] != ":":
                raise JSONDecodeError('expecting ":" after a key', self._text, at)
            value, at = self.value(self.skip(at + 1), depth + 1)
            first = node.entries.get(name)
            if first is not None:
                words = f"{quoted(name)} stands twice, first in line {first[0].line}; keep one"
                self._report.tell("duplicate-key", mark, "", words)
            else:
                node.entries[name] = (Scalar(mark.line, mark.column, name, name, 1), value)
            at, more = self._next(at, "}")
            if not more:
                return node, at

    def _next(self, at: int, end: str) -> tuple[int, bool]:
        at = self.skip(at)
        char = self._text[at : at + 1]
        if char == end:
            return at + 1, False
        if char != ",":
            raise JSONDecodeError(f'expecting "," or "{end}"', self._text, at)
        return self.skip(at + 1), True
