"""The shape of a flag file: our own JSON Schema of flagd's format, and its findings in people's words.

Facts from flagd's documentation (flag definitions, v0). Narrower than flagd: unknown keys are refused, a file
has one flag at least, and flags are a mapping by key (flagd also takes a list for flag sets from several sources).
What stands inside `targeting` is checked operator by operator in `lint.py`, which knows better words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from proxy.config.problems import nearest, quoted
from proxy.config.text.nodes import Mapping, Node, Scalar, data, find

if TYPE_CHECKING:
    from proxy.config.kinds import JsonSchema
    from proxy.config.problems import Report

_METADATA: Final[JsonSchema] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}

_FLAG: Final[JsonSchema] = {
    "type": "object",
    "required": ["state", "variants"],
    "additionalProperties": False,
    "properties": {
        "state": {"enum": ["ENABLED", "DISABLED"]},
        "variants": {"type": "object", "minProperties": 1},
        "defaultVariant": {"type": ["string", "null"]},
        "targeting": {"type": ["object", "null"]},
        "metadata": {
            **_METADATA,
            "properties": {"timed": {"type": "boolean"}, "expires": {"type": "string"}, "owner": {"type": "string"}},
        },
    },
}

FLAG_FILE: Final[JsonSchema] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["flags"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "flags": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"minLength": 1},
            "additionalProperties": _FLAG,
        },
        "$evaluators": {"type": "object", "additionalProperties": {"type": ["object", "array", "string", "boolean"]}},
        "metadata": _METADATA,
    },
}

_validator: Final = jsonschema_rs.validator_for(FLAG_FILE)

_TYPES: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def check_shape(root: Node, report: Report) -> None:
    """Tell every place where a flag file isn't one."""
    for error in _validator.iter_errors(data(root)):
        path: list[str | int] = list(error.instance_path)
        node = find(root, path)
        _tell(error, node, where_of(path), report)


def where_of(path: list[str | int]) -> str:
    """Keys and positions (from 1) as messages show them."""
    shown = ""
    for step in path:
        shown += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if shown else step
    return shown


def _tell(error: jsonschema_rs.ValidationError, node: Node, where: str, report: Report) -> None:
    facts: dict[str, Any] = error.kind.as_dict()
    match error.kind.name:
        case "additionalProperties" if isinstance(node, Mapping):
            known = _known_keys(error)
            for name in facts["unexpected"]:
                # The validator's path leaves out a key that is empty, so the mapping may be another.
                mark = node.entries[name][0] if name in node.entries else node
                report.tell("unknown-key", mark, where, f"unknown key {quoted(name)}{nearest(name, known)}")
        case "required":
            report.tell("missing-key", node, where, f'the key "{facts["property"]}" is missing')
        case "enum":
            written = node.text if isinstance(node, Scalar) else ""
            told = f"{quoted(written)} is not known here; it takes {' or '.join(facts['options'])}"
            report.tell("unknown-value", node, where, told)
        case "type":
            types = [_TYPES[one] for one in facts["types"]]
            shown = f", not {quoted(node.text)}" if isinstance(node, Scalar) and node.text else ""
            report.tell("flag-shape", node, where, f"takes {' or '.join(types)}{shown}")
        case "minProperties":
            report.tell("empty", node, where, "is empty; it needs one entry at least")
        case _:
            report.tell("flag-shape", node, where, error.message)


def _known_keys(error: jsonschema_rs.ValidationError) -> list[str]:
    """The keys that the schema allows where an unknown one was found."""
    schema: Any = FLAG_FILE
    for step in list(error.schema_path)[:-1]:
        schema = schema[step]
    return list(schema["properties"])
