"""What is wrong with a text that isn't YAML, in people's words, and where it has to be mended.

libyaml and PyYAML's own parser word the same finding differently, and both point to where they noticed, which for a
bracket that isn't closed is a line or more too late. So neither's words are shown where the place and what was being
read tell enough; what stays unknown here is told as they tell it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import yaml

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1 §5.4, as libyaml counts lines
_FORBIDDEN: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FLOWS: Final = {"while parsing a flow sequence": ("list", "]"), "while parsing a flow mapping": ("mapping", "}")}
_BLOCKS: Final = ("while parsing a block mapping", "while parsing a block collection")

Words = tuple[int, int, str]
"""Line and column, both from 1, and what to say."""


def explain_syntax(text: str, error: yaml.YAMLError) -> Words:
    """Where a text stops being YAML, and what to do about it."""
    noticed: Any = getattr(error, "problem_mark", None)
    if noticed is None:
        return _forbidden(text, error)
    found = _Finding(text, noticed, error)
    return found.words()


def _forbidden(text: str, error: yaml.YAMLError) -> Words:
    """A character that YAML forbids. The C parser counts bytes, the Python one characters: hence found again."""
    found = _FORBIDDEN.search(text)
    at = found.start() if found else 0
    what = f"the control character U+{ord(text[at]):04X}" if found else str(error)
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1, f"{what} can't stand in YAML"


class _Finding:
    """One finding of a parser: where it noticed, what it was reading, and where that began."""

    def __init__(self, text: str, noticed: Any, error: yaml.YAMLError) -> None:
        began: Any = getattr(error, "context_mark", None)
        self._lines = _BREAK.split(text)
        self._line: int = noticed.line + 1
        self._column: int = noticed.column + 1
        self._problem = str(getattr(error, "problem", None) or error)
        self._reading = str(getattr(error, "context", None) or "")
        self._began = (self._line, self._column) if began is None else (began.line + 1, began.column + 1)

    def words(self) -> Words:
        """The first explanation that fits."""
        problem = self._problem
        if self._reading in _FLOWS:
            return self._not_closed(*_FLOWS[self._reading])
        if self._reading in _BLOCKS:
            return self._after_its_end()
        if "unexpected end of stream" in problem:
            return self._at_start(f"the text that begins here isn't closed; add {self._char(self._began)} at its end")
        if "cannot start any token" in problem:
            return self._cannot_begin((self._line, self._column))
        if "alphabetic or numeric" in problem or "directive name" in problem:
            return self._cannot_begin(self._began)
        if "mapping values" in problem:
            return self._colon()
        if "sequence entries" in problem:
            return self._here('the "- " of a list begins a line of its own')
        if "expected ':'" in problem:
            dash = self._char(self._began) == "-"
            return self._at_start('a space is missing after "-"' if dash else 'a ":" is missing after this key')
        if "unknown escape" in problem:
            return self._here("this escape means nothing between double quotes; use single quotes")
        if "node content" in problem:
            return self._here("a value is missing before this")
        context = f" ({self._reading} from line {self._began[0]})" if self._reading else ""
        return self._here(problem + context)

    def _not_closed(self, what: str, close: str) -> Words:
        line, column = self._began
        if self._line == line:
            return self._here(
                f'a "," or "{close}" is missing before this, in the {what} that begins in column {column}'
            )
        rest = self._lines[self._line - 1 :]
        until = f"line {self._line}" if any(map(str.strip, rest)) else "the end of the file"
        several = not self._lines[line - 1][column:].strip()  # one entry a line: only a comma may be missing
        remedy = f'add "{close}", or the "," before it' if several else f'add "{close}"'
        return self._at_start(f"the {what} that begins here isn't closed before {until}; {remedy}")

    def _after_its_end(self) -> Words:
        """A block ended because of what stands here: by its indentation, or because a value had ended before it."""
        char = self._char((self._line, self._column))
        before = self._lines[self._line - 1][: self._column - 1]
        if char in {"]", "}"}:
            return self._here(f'a "{char}" too much; take it out')
        if not before.strip(" -"):
            told = f"is indented unlike its neighbours of the block that begins in line {self._began[0]}; align it"
            return self._here(told)
        return self._here("the value before this has ended already; put the whole of it in quotes")

    def _colon(self) -> Words:
        before = self._lines[self._line - 1][: self._column - 1]
        if ": " in before:
            return self._here('a ": " inside plain text; put the text in quotes')
        column = len(before) - len(before.lstrip(" -")) + 1
        return self._line, column, 'is indented deeper than its neighbours, or the line before it lacks its ":"'

    def _cannot_begin(self, at: tuple[int, int]) -> Words:
        char = self._char(at)
        told = "a tab: indent with spaces" if char == "\t" else f"plain text can't begin with {char}; put it in quotes"
        return *at, told

    def _char(self, at: tuple[int, int]) -> str:
        line, column = at
        return self._lines[line - 1][column - 1 : column] if line <= len(self._lines) else ""

    def _here(self, told: str) -> Words:
        return self._line, self._column, told

    def _at_start(self, told: str) -> Words:
        return *self._began, told
