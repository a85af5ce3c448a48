"""The JSON Schema of routes.yaml: what editors check and complete while people type."""

from __future__ import annotations

from proxy.config.kinds import JsonSchema
from proxy.config.routes.shapes import INCLUDED, MAIN, VERSION


def json_schema() -> JsonSchema:
    """The schema of routes.yaml (draft 2020-12); `$defs.included` is that of an included file.

    It says what a key takes; what only the whole says (names that exist, paths that can be reached) is
    `strangler check`'s to tell.
    """
    main = MAIN.schema()
    main["properties"][VERSION.name] = {"description": VERSION.meaning, "const": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "routes.yaml of the strangler proxy",
        **main,
        "$defs": {"included": INCLUDED.schema()},
    }
