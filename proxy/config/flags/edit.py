"""Edits of a flag's managed shape, made on the text: what a change doesn't reach stays, byte for byte.

1. the file is read as it is read to be served; only a flag of the managed shape goes on
2. the spans that change are replaced: two weights, the default, whole clauses with the comments on their own lines' ends
3. the new text is read again, and must say exactly what was wanted, of every flag and of everything else in the file

The third step makes the second one safe: a way of writing that nobody thought of is refused, never half edited.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from proxy.config.flags.flagfile import read_flag_file
from proxy.config.flags.managed import CannotEdit, Change, Managed, read_managed, why_by_hand, write_managed
from proxy.config.kinds import NAME
from proxy.config.problems import Report, errors
from proxy.config.text.cache import Cache
from proxy.config.text.fileset import File
from proxy.config.text.json import read_json
from proxy.config.text.nodes import data
from proxy.config.text.spans import Span, json_spans, yaml_spans
from proxy.config.text.yaml import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM: Final = "\ufeff"
_GAP: Final = re.compile(r"(?:[ \t]|#[^\r\n]*|\r\n|\r|\n)*")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)")
# Words that YAML's readers take for something else than text, ours or those of YAML 1.1.
_OTHER_THAN_TEXT: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})

Piece = tuple[int, int, str]
"""From, to (in characters), and what stands there instead."""


def edit_flag(name: str, content: bytes, key: str, change: Change) -> bytes:
    """A flag file with one flag changed.

    Args:
        name: the file's; its end tells YAML from JSON.
        content: the file as it is.
        key: the flag's.
        change: what shall be different.

    Returns:
        The new content; the same bytes when the flag says all of it already.

    Raises:
        CannotEdit: the file is broken, the flag isn't there, is written by hand, or in a way that can't be edited.
    """
    found = read_flag_file(name, File.of(content), Cache())
    broken = next(errors(found.complaints), None)
    if broken is not None:
        raise CannotEdit(f"{name} is broken: {broken}")
    flag = next((one.record for one in found.flags if one.record.key == key), None)
    if flag is None:
        raise CannotEdit(f"{name} has no flag {key}")
    if not flag.managed:
        raise CannotEdit(f"flag {key} is written by hand ({why_by_hand(flag)}); docs/flags.md shows what can be edited")
    whole = content.decode()
    text = whole.removeprefix(_BOM)
    before = _data(name, text)
    said = read_managed(before["flags"][key])
    wanted = said.after(change)
    if wanted == said:
        return content
    pieces = _pieces(name, text, key, said, wanted, change)
    edited = _apply(text, pieces)
    after = {**before, "flags": {**before["flags"], key: write_managed(before["flags"][key], wanted)}}
    if _data(name, edited) != after:
        raise CannotEdit(
            f"flag {key} in {name} is written in a way that can't be edited without changing something else; edit it by hand"
        )
    return whole[: len(whole) - len(text)].encode() + edited.encode()


def new_flag_file(key: str, change: Change) -> bytes:
    """A file with one new flag, which says what a change makes of an area where nothing has moved.

    Raises:
        CannotEdit: the key can't be a file's name, or a clause shall go that isn't there.
    """
    if NAME.fullmatch(key) is None:
        raise CannotEdit(f"there is no flag {key}, and no file can be called so; create it by hand")
    said = Managed().after(change)
    clauses = "".join(
        f"        - {{in: [{_yaml_text(name)}, {{var: segments}}]}}\n        - {backend}\n"
        for name, backend in said.clauses
    )
    new, legacy = said.weights
    return f"""\
$schema: https://flagd.dev/schema/v0/flags.json
flags:
  {_yaml_text(key)}:
    state: ENABLED
    variants: {{new: new, legacy: legacy}}
    defaultVariant: {said.default}
    targeting:
      if:
{clauses}        - fractional: [[new, {new}], [legacy, {legacy}]]   # new first; raising only adds accounts
""".encode()


def _data(name: str, text: str) -> Any:
    """What a file says; None when it says nothing that can be read."""
    report = Report(name)
    root = (read_json if name.endswith(".json") else read_yaml)(text, report)
    return None if root is None or report.complaints else data(root)


def _apply(text: str, pieces: list[Piece]) -> str:
    for start, end, instead in sorted(pieces, reverse=True):
        text = text[:start] + instead + text[end:]
    return text


def _pieces(name: str, text: str, key: str, said: Managed, wanted: Managed, change: Change) -> list[Piece]:
    is_json = name.endswith(".json")
    try:
        flag = (json_spans if is_json else yaml_spans)(text).entries["flags"][1].entries[key][1]
        if_key, steps = flag.entries["targeting"][1].entries["if"]
        new, legacy = (pair.items[1] for pair in steps.items[-1].entries["fractional"][1].items)
        default = flag.entries["defaultVariant"][1]
    except (KeyError, ValueError, IndexError):
        raise CannotEdit(f"flag {key} in {name} is written with aliases; edit it by hand") from None
    pieces: list[Piece] = [
        (span.start, span.end, str(weight))
        for span, was, weight in zip((new, legacy), said.weights, wanted.weights, strict=True)
        if weight != was
    ]
    if wanted.default != said.default:
        pieces.append(
            (default.start, default.end, text[default.start : default.end].replace(said.default, wanted.default))
        )
    clauses = _FlowClauses(text, steps, is_json=is_json) if steps.flow else _BlockClauses(text, if_key, steps)
    for at in said.removed(change):
        pieces += clauses.without(2 * at)
    if added := said.added(change):
        pieces.append(clauses.with_more(added))
    return pieces


class _BlockClauses:
    """The steps of an `if`, one a line behind a dash."""

    def __init__(self, text: str, key: Span, steps: Span) -> None:
        self._text = text
        self._steps = steps
        # Where the step before ends, or the key's colon.
        self._ends = [text.find(":", key.end) + 1, *(item.end for item in steps.items)]

    def without(self, at: int) -> Iterator[Piece]:
        """Take out the lines of a condition and of its outcome; lines of comments around them stay."""
        for step in (at, at + 1):
            start = self._line_of_dash(step)
            end = self._steps.items[step].end
            if self._text[end - 1] not in "\r\n":  # a block scalar ends behind its last line
                rest = _REST_OF_LINE.match(self._text, end)
                if rest is None:
                    raise CannotEdit("a clause ends in the middle of a line; edit the flag by hand")
                end = rest.end()
            yield start, end, ""

    def with_more(self, names: list[str]) -> Piece:
        """Add clauses behind the last one: comments above the ramp stay with the ramp."""
        last = len(self._steps.items) - 1
        start = self._line_of_dash(last)
        indent = self._text[start : self._text.index("-", start)]
        gap = self._ends[last]
        line_end = _LINE_END.search(self._text, gap)
        at = gap
        if line_end is not None and self._text[gap - 1] not in "\r\n":
            at = line_end.end()
        end = "\n" if line_end is None else line_end[0]
        lines = "".join(
            f"{indent}- {{in: [{_yaml_text(name)}, {{var: segments}}]}}{end}{indent}- new{end}" for name in names
        )
        return at, at, lines

    def _line_of_dash(self, step: int) -> int:
        """Where the line begins on which a step's dash stands."""
        gap = _GAP.match(self._text, self._ends[step])
        dash = self._ends[step] if gap is None else gap.end()
        start = max(self._text.rfind("\n", 0, dash), self._text.rfind("\r", 0, dash)) + 1
        if self._text[dash : dash + 1] != "-" or self._text[start:dash].strip(" "):
            raise CannotEdit("a clause doesn't begin with a dash on a line of its own; edit the flag by hand")
        return start


class _FlowClauses:
    """The steps of an `if` between brackets, in YAML or JSON, in one line or several."""

    def __init__(self, text: str, steps: Span, *, is_json: bool) -> None:
        self._text = text
        self._items = steps.items
        self._is_json = is_json

    def without(self, at: int) -> Iterator[Piece]:
        """Take out a condition and its outcome, with the comma behind it, and with their line if nothing else is on it."""
        start = self._items[at].start
        gap = _GAP.match(self._text, self._items[at + 1].end)
        end = self._items[at + 1].end if gap is None else gap.end()
        if self._text[end : end + 1] != ",":
            raise CannotEdit("a clause isn't followed by a comma; edit the flag by hand")
        end += 1
        rest = _REST_OF_LINE.match(self._text, end)
        line = self._line_of(start)
        if rest is not None and not self._text[line:start].strip(" \t"):
            yield line, rest.end(), ""
        else:
            spaces = len(self._text[end:]) - len(self._text[end:].lstrip(" \t"))
            yield start, end + spaces, ""

    def with_more(self, names: list[str]) -> Piece:
        """Add clauses right before the ramp, laid out as it is."""
        at = self._items[-1].start
        line = self._line_of(at)
        indent = self._text[line:at]
        if indent.strip(" \t"):
            return at, at, "".join(f"{self._clause(name)}, {self._new}, " for name in names)
        line_end = _LINE_END.search(self._text)
        own_line = ("\n" if line_end is None else line_end[0]) + indent
        pair = self._items[-3:-1]
        apart = pair and _LINE_END.search(self._text, pair[0].end, pair[1].start)
        between = own_line if apart else " "
        return at, at, "".join(f"{self._clause(name)},{between}{self._new},{own_line}" for name in names)

    @property
    def _new(self) -> str:
        return '"new"' if self._is_json else "new"

    def _clause(self, name: str) -> str:
        if self._is_json:
            return f'{{"in": [{json.dumps(name)}, {{"var": "segments"}}]}}'
        return f"{{in: [{_yaml_text(name)}, {{var: segments}}]}}"

    def _line_of(self, at: int) -> int:
        return max(self._text.rfind("\n", 0, at), self._text.rfind("\r", 0, at)) + 1


def _yaml_text(name: str) -> str:
    """A name as YAML reads it as text."""
    plain = NAME.fullmatch(name) and name[0].isalpha() and name.lower() not in _OTHER_THAN_TEXT
    return name if plain else json.dumps(name, ensure_ascii=False)
