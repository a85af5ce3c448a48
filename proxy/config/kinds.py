"""Kinds of values that a key of routes.yaml may take: each reads a node, and says in words and as JSON Schema what it reads.

A kind never raises: it tells the report and gives None, so that one pass finds every problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from proxy.config.problems import nearest, quoted
from proxy.config.text.nodes import Mapping, Node, Scalar, Sequence, kind_of

if TYPE_CHECKING:
    from proxy.config.problems import Report

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

JsonSchema = dict[str, Any]


class Kind(Protocol[T_co]):
    """What a key takes.

    Attributes:
        words: for people, as in "takes …" (docs and messages).
    """

    @property
    def words(self) -> str: ...

    def read(self, node: Node, where: str, report: Report) -> T_co | None:
        """The value; None when it is another, which the report then says."""
        ...

    def schema(self) -> JsonSchema:
        """The same as JSON Schema."""
        ...


def tell_kind(node: Node, where: str, report: Report, words: str) -> None:
    """Tell that a value is of another kind."""
    found = kind_of(node)
    if isinstance(node, Scalar) and node.text:
        hint = "; quote it to make it text" if not isinstance(node.value, str) and "text" in words else ""
        report.tell("wrong-kind", node, where, f"takes {words}, not {quoted(node.text)}{hint}")
    else:
        report.tell("wrong-kind", node, where, f"takes {words}, not {found}")


NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""Names of areas, segments and routes: they stand in metrics, in logs and on command lines."""


def check_name(scalar: Scalar, where: str, report: Report) -> bool:
    """Whether a scalar is a name."""
    if NAME.fullmatch(scalar.text):
        return True
    words = "is no name: letters, digits, and . _ - between them, 64 at most"
    report.tell("bad-name", scalar, where, f"{quoted(scalar.text)} {words}")
    return False


@dataclass(frozen=True)
class Text:
    """Text; a number counts as what is written. The scalar is given, so that its place stays known."""

    words: str = "text"
    pattern: str | None = None  # for the schema alone; the reader's checks know better words

    def read(self, node: Node, where: str, report: Report) -> Scalar | None:
        if isinstance(node, Scalar) and node.text and node.value is not None and not isinstance(node.value, bool):
            return node
        tell_kind(node, where, report, self.words)
        return None

    def schema(self) -> JsonSchema:
        if self.pattern is not None:
            return {"type": ["string", "number"], "pattern": self.pattern, "minLength": 1}
        return {"type": ["string", "number"], "minLength": 1}


@dataclass(frozen=True)
class Name:
    """A name of ours."""

    words: str = "a name"

    def read(self, node: Node, where: str, report: Report) -> Scalar | None:
        scalar = Text(self.words).read(node, where, report)
        return scalar if scalar is not None and check_name(scalar, where, report) else None

    def schema(self) -> JsonSchema:
        return {"type": ["string", "number"], "pattern": f"^{NAME.pattern}$"}


@dataclass(frozen=True)
class OneOf:
    """One of a closed set of words; `later` are words whose behaviour isn't built yet."""

    members: tuple[str, ...]
    later: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return " or ".join(f"`{member}`" for member in self.members)

    def read(self, node: Node, where: str, report: Report) -> str | None:
        if not isinstance(node, Scalar):
            tell_kind(node, where, report, " or ".join(self.members))
        elif node.text in self.members and node.value is not None:
            return node.text
        elif node.text in self.later:
            report.tell("not-yet", node, where, f"{quoted(node.text)} is not built yet; leave it out")
        else:
            choice = " or ".join((*self.members, *self.later))
            close = nearest(node.text, self.members)
            hint = close if "did you mean" in close else f"; it takes {choice}"
            report.tell("unknown-value", node, where, f"{quoted(node.text)} is not known here{hint}")
        return None

    def schema(self) -> JsonSchema:
        return {"enum": list(self.members)}


@dataclass(frozen=True)
class YesNo:
    """`true` or `false`."""

    words: str = "`true` or `false`"

    def read(self, node: Node, where: str, report: Report) -> bool | None:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        tell_kind(node, where, report, "true or false")
        return None

    def schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True)
class ListOf(Generic[T]):
    """A list that isn't empty; a single value stands for a list of one."""

    item: Kind[T]
    may_be_empty: bool = False

    @property
    def words(self) -> str:
        return f"{self.item.words}, or a list of such"

    def read(self, node: Node, where: str, report: Report) -> tuple[T, ...] | None:
        if not isinstance(node, Sequence):
            only = self.item.read(node, where, report)
            return None if only is None else (only,)
        if not node.items and not self.may_be_empty:
            report.tell("empty", node, where, "the list is empty; leave the key out, or name something")
            return None
        values: list[T] = []
        seen: dict[str, int] = {}
        for i, item in enumerate(node.items, 1):
            if isinstance(item, Scalar) and item.text in seen:
                report.tell("twice", item, f"{where}[{i}]", f"{quoted(item.text)} stands twice in the list")
                continue
            if isinstance(item, Scalar):
                seen[item.text] = i
            value = self.item.read(item, f"{where}[{i}]", report)
            if value is not None:
                values.append(value)
        return tuple(values)

    def schema(self) -> JsonSchema:
        one = self.item.schema()
        least = {} if self.may_be_empty else {"minItems": 1}
        return {"anyOf": [one, {"type": "array", "items": one, "uniqueItems": True, **least}]}


@dataclass(frozen=True)
class MapOf(Generic[T]):
    """A mapping from names to values of one kind."""

    item: Kind[T]
    key_words: str = "name"
    check_key: Callable[[Scalar, str, Report], bool] = field(default=lambda key, where, report: True)
    key_pattern: str | None = None  # for the schema, as `check_key` has it
    may_be_empty: bool = False

    @property
    def words(self) -> str:
        return f"a mapping from {self.key_words} to {self.item.words}"

    def read(self, node: Node, where: str, report: Report) -> tuple[tuple[Scalar, T], ...] | None:
        if not isinstance(node, Mapping):
            tell_kind(node, where, report, f"a mapping with a {self.key_words} before each colon")
            return None
        if not node.entries and not self.may_be_empty:
            report.tell("empty", node, where, "the mapping is empty; leave the key out, or name something")
            return None
        pairs: list[tuple[Scalar, T]] = []
        for name, (key, inner) in node.entries.items():
            at = f"{where}.{name}"
            known = self.check_key(key, at, report)
            value = self.item.read(inner, at, report)
            if known and value is not None:
                pairs.append((key, value))
        return tuple(pairs)

    def schema(self) -> JsonSchema:
        least = {} if self.may_be_empty else {"minProperties": 1}
        names = {} if self.key_pattern is None else {"propertyNames": {"pattern": self.key_pattern}}
        return {"type": "object", "additionalProperties": self.item.schema(), **names, **least}


@dataclass(frozen=True, kw_only=True)
class Key(Generic[T]):
    """One key of a shape.

    Attributes:
        default: what holds without it, for people.
        meaning: one sentence for docs and schema.
        later: the behaviour isn't built yet, so the key is refused.
    """

    name: str
    kind: Kind[T]
    meaning: str
    default: str = "none"
    required: bool = False
    later: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """What was read of a mapping with fixed keys.

    Attributes:
        mark: the mapping itself.
        where: the keys that lead there.
    """

    mark: Mapping
    where: str
    values: dict[str, Any]

    def __getitem__(self, key: Key[T]) -> T | None:
        """The value of a key; None when it wasn't written, or was told to be wrong."""
        return self.values.get(key.name)

    def get(self, key: Key[T], default: T) -> T:
        """The value of a key; the default when it wasn't written, or was told to be wrong."""
        written = self[key]
        return default if written is None else written

    def each(self, key: Key[tuple[T, ...]]) -> tuple[T, ...]:
        """The values of a key that takes several; none when it wasn't written."""
        return self.values.get(key.name) or ()

    def node(self, key: Key[Any]) -> Node:
        """Where a key's value stands; the mapping, when it wasn't written."""
        return self.mark.get(key.name) or self.mark

    def at(self, key: Key[Any]) -> str:
        """The keys that lead to a key's value."""
        return f"{self.where}.{key.name}" if self.where else key.name

    def has(self, key: Key[Any]) -> bool:
        """Whether the key is written, rightly or wrongly."""
        return key.name in self.mark.entries


class Shape:
    """A mapping with fixed keys: the one table that reader, JSON Schema and docs come from.

    Args:
        name: what the docs call it.
        keys: its keys.
        needs_one: whether an empty mapping is an error.
        elsewhere: keys that people write here though they belong to another mapping: where that is, and its keys.
        or_else: what may stand in place of the mapping, in words.
    """

    def __init__(
        self,
        name: str,
        keys: Iterable[Key[Any]],
        *,
        needs_one: bool = False,
        elsewhere: Iterable[tuple[str, Iterable[str]]] = (),
        or_else: str = "",
    ) -> None:
        self.name = name
        self.keys = tuple(keys)
        self.words = f"a mapping ({', '.join(f'`{key.name}`' for key in self.keys)})"
        self.names = tuple(key.name for key in self.keys)
        self._by_name = {key.name: key for key in self.keys}
        self._required = tuple(key for key in self.keys if key.required)
        self._needs_one = needs_one
        self._elsewhere: dict[str, str] = {}
        for place, others in elsewhere:
            for other in others:
                self._elsewhere.setdefault(other, place)
        self._takes = f"a mapping with the keys {', '.join(self._by_name)}{or_else}"

    def read(self, node: Node, where: str, report: Report) -> Fields | None:
        if not isinstance(node, Mapping):
            tell_kind(node, where, report, self._takes)
            return None
        values: dict[str, Any] = {}
        for name, (mark, inner) in node.entries.items():
            at = f"{where}.{name}" if where else name
            key = self._by_name.get(name)
            if key is None and name in self._elsewhere:
                report.tell("not-here", mark, where, f"the key {quoted(name)} stands {self._elsewhere[name]}")
            elif key is None:
                report.tell("unknown-key", mark, where, f"unknown key {quoted(name)}{nearest(name, self._by_name)}")
            elif key.later:
                report.tell("not-yet", mark, at, "is not built yet; leave it out")
            else:
                values[name] = key.kind.read(inner, at, report)
        for key in self._required:
            if key.name not in node.entries:
                report.tell("missing-key", node, where, f'the key "{key.name}" is missing: {key.kind.words}')
        if self._needs_one and not node.entries:
            report.tell("empty", node, where, f"needs at least one of: {', '.join(self._by_name)}")
        return Fields(node, where, values)

    def schema(self) -> JsonSchema:
        made: JsonSchema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {key.name: _key_schema(key) for key in self.keys},
        }
        if self._required:
            made["required"] = [key.name for key in self._required]
        if self._needs_one:
            made["minProperties"] = 1
        return made


def _key_schema(key: Key[Any]) -> JsonSchema:
    if key.later:
        return {"description": f"Not built yet: {key.meaning}", "not": {}}
    return {"description": key.meaning, **key.kind.schema()}
