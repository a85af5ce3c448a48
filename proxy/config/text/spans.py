"""Where the values of a flag file stand in its text, from the first character to the last: what an edit needs.

Only for text that `read_yaml` or `read_json` has read without complaint; nothing is checked here a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from json import decoder
from typing import Any, Final

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_scan: Callable[[str, int, bool], tuple[str, int]] = decoder.scanstring  # type: ignore[attr-defined]  # not in typeshed
_JSON_SPACE: Final = re.compile(r"[ \t\n\r]*")
_JSON_WORD: Final = re.compile(r"[-+.0-9A-Za-z]+")


@dataclass(slots=True)
class Span:
    """A value's place in a text.

    Attributes:
        start: of its first character; for a block list or mapping in YAML of its first entry.
        end: behind its last character; for a block list or mapping behind its last entry, comments left out.
        flow: it is a list or mapping in brackets or braces.
        items: of a list.
        entries: of a mapping: key → (the key's place, the value's).
        alias: it stands elsewhere, and here only its name.
    """

    start: int
    end: int
    flow: bool = False
    items: list[Span] = field(default_factory=list)
    entries: dict[str, tuple[Span, Span]] = field(default_factory=dict)
    alias: bool = False


def yaml_spans(text: str) -> Span:
    """The places in a YAML document.

    Raises:
        yaml.YAMLError: it is none.
    """
    stack: list[tuple[Span, list[tuple[str, Span]] | None]] = []  # with the waiting key of a mapping
    root = Span(0, 0)

    def put(span: Span, name: str) -> None:
        nonlocal root
        if not stack:
            root = span
            return
        top, keys = stack[-1]
        if keys is None:
            top.items.append(span)
        elif not keys:
            keys.append((name, span))
        else:
            name, key = keys.pop()
            top.entries[name] = (key, span)
        top.end = max(top.end, span.end)

    events: Iterable[Any] = yaml.parse(text, Loader=_Loader)
    for event in events:
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.ScalarEvent):
            put(Span(start, end), event.value)
        elif isinstance(event, yaml.AliasEvent):
            put(Span(start, end, alias=True), "")
        elif isinstance(event, yaml.CollectionStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            stack.append((Span(start, start, flow=bool(event.flow_style)), [] if mapping else None))
        elif isinstance(event, yaml.CollectionEndEvent):
            done, _ = stack.pop()
            if done.flow:
                done.end = end  # a block's end is told where the next token is, behind comments
            put(done, "")
    return root


def json_spans(text: str) -> Span:
    """The places in a JSON value."""
    span, _ = _json_value(text, _skip(text, 0))
    return span


def _json_value(text: str, at: int) -> tuple[Span, int]:
    match text[at]:
        case '"':
            _, end = _scan(text, at + 1, True)
            return Span(at, end), end
        case "{":
            return _json_mapping(text, at)
        case "[":
            return _json_list(text, at)
        case _:
            found = _JSON_WORD.match(text, at)
            end = at + 1 if found is None else found.end()
            return Span(at, end), end


def _json_list(text: str, start: int) -> tuple[Span, int]:
    span = Span(start, start, flow=True)
    at = _skip(text, start + 1)
    while text[at] != "]":
        item, at = _json_value(text, at)
        span.items.append(item)
        at = _past_comma(text, at)
    span.end = at + 1
    return span, span.end


def _json_mapping(text: str, start: int) -> tuple[Span, int]:
    span = Span(start, start, flow=True)
    at = _skip(text, start + 1)
    while text[at] != "}":
        name, end = _scan(text, at + 1, True)
        key = Span(at, end)
        value, at = _json_value(text, _skip(text, _skip(text, end) + 1))
        span.entries[name] = (key, value)
        at = _past_comma(text, at)
    span.end = at + 1
    return span, span.end


def _past_comma(text: str, at: int) -> int:
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    found = _JSON_SPACE.match(text, at)
    return found.end() if found else at
