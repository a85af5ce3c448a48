"""docs/architecture.md against the code: every folder of the program is named there, with what it says of itself."""

from __future__ import annotations

import ast

from tests.docs.reading import ROOT


def test_every_folder_stands_in_the_table_with_its_own_words() -> None:
    told = (ROOT / "docs/architecture.md").read_text()
    missing = []
    for file in sorted(ROOT.glob("proxy/*/**/__init__.py")):
        folder = file.parent.relative_to(ROOT / "proxy")
        name = f"**`proxy/{folder}`**" if len(folder.parts) == 1 else f"`{folder}`"
        line = f"| {name} | {ast.get_docstring(ast.parse(file.read_text()))} |"
        if line not in told:
            missing.append(line)
    assert missing == []
