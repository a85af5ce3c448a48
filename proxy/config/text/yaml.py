"""YAML, read narrower than YAML 1.2, into nodes that know their places.

Only plain `true`, `false`, `null` and numbers as JSON writes them aren't text (a plain scalar with nothing in it is
null), so `NO`, `off`, `010`, `17:00`, `1_000`, `0x1F` and `2027-03-31` stay what they are. Tags are refused, aliases
are bounded, a second document is refused. Built on PyYAML's events: its composer would resolve scalars by YAML 1.1
and let a later key win silently.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from proxy.config.problems import quoted
from proxy.config.text.nodes import Mapping, Node, Scalar, Sequence
from proxy.config.text.syntax import explain_syntax

if TYPE_CHECKING:
    from proxy.config.problems import Report

DEEPEST: Final = 100
"""Levels of nesting; no file that people write comes near, and every reader here is recursive."""

MOST_ALIASED: Final = 100_000
"""Values that aliases may repeat in one file ("billion laughs" needs a few hundred bytes to repeat 10⁹)."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is ten times as fast
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "": None}
_QUOTES: Final = ('"', "'")
_MOST_DIGITS: Final = 18  # what a plan can hold: below 2**63


@dataclass(frozen=True, slots=True)
class Spot:
    """A place without a value."""

    line: int
    column: int


def read_yaml(text: str, report: Report) -> Node | None:
    """The one document of a file; None when it can't be read, which the report then says."""
    try:
        builder = _Builder(report)
        root: Node | None = None
        documents = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    report.tell("several-documents", _spot(event.start_mark), "", "a second document; one a file")
                    return None
            node = builder.take(event)
            root = root or node
    except yaml.YAMLError as error:
        line, column, words = explain_syntax(text, error)
        report.tell("bad-yaml", Spot(line, column), "", words)
        return None
    except GivenUp:
        return None
    return root or Scalar(1, 1, "", None)


class GivenUp(Exception):
    """The file is hostile or beyond reading; the report says why."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end hasn't come yet."""

    node: Sequence | Mapping
    anchor: str | None
    seen: int  # nodes of the file before it
    key: Scalar | None = None
    expects_key: bool = True


@dataclass(slots=True)
class _Builder:
    """Puts events together."""

    report: Report
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Node, int]] = field(default_factory=dict)
    seen: int = 0
    repeated: int = 0

    def take(self, event: Any) -> Node | None:
        """Use one event; the root, once it is complete."""
        mark: Any = event.start_mark
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            value: Any = event.value
            if not event.style:  # the C parser says '' for plain, the Python one None
                value = _plain(value)
            self.seen += 1
            scalar = Scalar(mark.line + 1, mark.column + 1, event.value, value, 1 if event.style in _QUOTES else 0)
            if event.anchor is not None:
                self.anchors[event.anchor] = (scalar, 1)
            return self._place(scalar)
        if isinstance(event, yaml.CollectionStartEvent):
            self._refuse_tag(event)
            self.seen += 1
            if len(self.stack) == DEEPEST:
                self.report.tell("too-deep", _spot(mark), "", f"more than {DEEPEST} levels of nesting")
                raise GivenUp
            node: Sequence | Mapping
            if isinstance(event, yaml.SequenceStartEvent):
                node = Sequence(mark.line + 1, mark.column + 1, [])
            else:
                node = Mapping(mark.line + 1, mark.column + 1, {})
            self.stack.append(_Open(node, event.anchor, self.seen - 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self.stack.pop()
            if done.anchor is not None:
                self.anchors[done.anchor] = (done.node, self.seen - done.seen)
            return self._place(done.node)
        elif isinstance(event, yaml.AliasEvent):
            return self._place(self._alias(event))
        return None

    def _alias(self, event: Any) -> Node:
        known = self.anchors.get(event.anchor)
        if known is None:
            inside = any(one.anchor == event.anchor for one in self.stack)
            text = "an alias inside what it names" if inside else "an alias before its anchor"
            self.report.tell("bad-yaml", _spot(event.start_mark), "", f"*{event.anchor}: {text}")
            raise GivenUp
        node, size = known
        self.repeated += size
        self.seen += size
        if self.repeated > MOST_ALIASED:
            self.report.tell(
                "too-many-aliases", _spot(event.start_mark), "", f"aliases repeat more than {MOST_ALIASED} values"
            )
            raise GivenUp
        return node

    def _place(self, node: Node) -> Node | None:
        if not self.stack:
            return node
        top = self.stack[-1]
        if isinstance(top.node, Sequence):
            top.node.items.append(node)
        elif top.expects_key:
            top.expects_key = False
            top.key = self._key(node, top.node)
        else:
            top.expects_key = True
            if top.key is not None:
                top.node.entries[top.key.text] = (top.key, node)
        return None

    def _key(self, node: Node, mapping: Mapping) -> Scalar | None:
        if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
            what = quoted(node.text) if isinstance(node, Scalar) else "a list or mapping"
            self.report.tell("bad-key", node, "", f"{what} as a key; keys are text, so write it in quotes")
            return None
        first = mapping.entries.get(node.text)
        if first is not None:
            self.report.tell(
                "duplicate-key", node, "", f"{quoted(node.text)} stands twice, first in line {first[0].line}; keep one"
            )
            return None
        return node

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            text = f"{name}: tags aren't read; quotes make a value text"
            self.report.tell("yaml-tag", _spot(event.start_mark), "", text)


def _plain(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-0123456789":
        return text
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    number = number_of(text, whole=found[1] is None and found[2] is None)
    return text if number is None else number


def number_of(text: str, *, whole: bool) -> int | float | None:
    """A JSON number's value; None when it is too large for any. Beyond 18 digits it is a double, as in JavaScript."""
    if whole and len(text) <= _MOST_DIGITS:
        return int(text)
    number = float(text)
    return None if math.isinf(number) else number


def _spot(mark: Any) -> Spot:
    return Spot(mark.line + 1, mark.column + 1)
