"""What a YAML or JSON file is read into: values that remember where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Scalar:
    """A single value. `text` is as written (quotes and escapes resolved), `value` what it means as JSON.

    `lead` is 1 when a quote stands before the text, so that a place inside it can be told.
    """

    line: int
    column: int
    text: str
    value: str | int | float | bool | None
    lead: int = 0


@dataclass(slots=True)
class Sequence:
    """A list."""

    line: int
    column: int
    items: list[Node]


@dataclass(slots=True)
class Mapping:
    """Keys with their values, in the order written. Every key stands once and is text."""

    line: int
    column: int
    entries: dict[str, tuple[Scalar, Node]]

    def get(self, key: str) -> Node | None:
        """The value of a key."""
        entry = self.entries.get(key)
        return None if entry is None else entry[1]


Node = Scalar | Sequence | Mapping


def data(node: Node) -> Any:
    """The node as JSON data."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [data(item) for item in node.items]
    return {key: data(value) for key, (_, value) in node.entries.items()}


def find(node: Node, path: list[str | int]) -> Node:
    """Walk keys and indexes down from a node; the deepest node that is there."""
    for step in path:
        if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        elif isinstance(node, Mapping) and isinstance(step, str) and step in node.entries:
            node = node.entries[step][1]
        else:
            break
    return node


def kind_of(node: Node) -> str:
    """What a node is, in a person's words, to say what was found instead of what was expected."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return "true or false"
    return "text" if isinstance(node.value, str) else "a number"


def is_blank(root: Node) -> bool:
    """Whether a file has nothing in it but space and comments."""
    return isinstance(root, Scalar) and root.value is None and not root.text
