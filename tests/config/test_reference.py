"""docs/routes.md and docs/flags.md say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.config.flags.flagd import FLAG_FILE
from proxy.config.flags.lint import ARGUMENTS
from proxy.config.routes.shapes import SHAPES
from proxy.core.deciding.facts import READABLE
from proxy.core.targeting.logic import OPERATORS
from tests.config.reference import described, with_tables

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tables_of_routes_yaml_are_those_of_the_reader() -> None:
    page = (DOCS / "routes.md").read_text()
    assert page == with_tables(page)  # to write it anew: python -m tests.config.write_pages


def test_every_mapping_of_routes_yaml_has_its_table() -> None:
    assert described((DOCS / "routes.md").read_text()) == {shape.name for shape in SHAPES}


def test_every_operator_is_documented_and_its_arguments_are_counted() -> None:
    section = (DOCS / "flags.md").read_text().split("<!-- operators -->")[1].split("<!-- end -->")[0]
    assert set(re.findall(r"`([^`]+)`", section)) == OPERATORS
    assert set(ARGUMENTS) == OPERATORS


def test_every_name_that_a_flag_can_read_is_documented() -> None:
    section = (DOCS / "flags.md").read_text().split("## What a flag can ask")[1].split("## Operators")[0]
    named = {
        name.split(".")[0]
        for row in re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }
    assert named == READABLE


def test_every_key_of_a_flag_is_documented() -> None:
    section = (DOCS / "flags.md").read_text().split("## Keys")[1]
    keys = set(FLAG_FILE["properties"]["flags"]["additionalProperties"]["properties"])
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == keys
    assert all(f"`{key}`" in section for key in FLAG_FILE["properties"])
