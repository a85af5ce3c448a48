"""The documents lead where they say, and show commands that exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from proxy.cli.main import main
from tests.docs.reading import ROOT, anchors, blocks, documents, links

_SHELL = [
    (path, line) for path in documents() for block in blocks(path.read_text(), "sh") for line in block.splitlines()
]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in links(path.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_strangler_command_that_a_document_shows_exists_with_its_options() -> None:
    assert isinstance(main, click.Group)
    shown = [(path.name, shlex.split(line, comments=True)) for path, line in _SHELL if line.startswith("strangler ")]
    assert len(shown) >= 8
    unknown = []
    for name, words in shown:
        command = main.commands.get(words[1])
        options = {option for parameter in command.params for option in parameter.opts} if command else set()
        unknown += [
            (name, words)
            for option in [word.partition("=")[0] for word in words[2:] if word.startswith("-")]
            if option not in {*options, "--help"}
        ]
        if command is None:
            unknown.append((name, words))
    assert unknown == []


def test_every_make_target_that_a_document_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = {shlex.split(line, comments=True)[1] for _, line in _SHELL if line.startswith("make ")}
    assert {"demo", "test"} <= shown <= targets


def test_the_continuous_integration_runs_the_test_command_of_the_readme_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
    assert [line for line in script.splitlines() if "make" in line and not line.startswith("#")] == ["exec make test"]


def test_the_lock_names_a_hash_for_every_package_and_no_index() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text()
        packages = re.findall(r"^[a-zA-Z0-9].*?(?=^[a-zA-Z0-9]|\Z)", text, flags=re.DOTALL | re.MULTILINE)
        assert packages, path
        assert [one for one in packages if "--hash=sha256:" not in one] == []
        assert "://" not in text
        assert "index" not in re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def test_every_file_of_the_code_that_the_architecture_names_is_there() -> None:
    named = set(re.findall(r"`(proxy/[\w/.]+)`", (ROOT / "docs" / "architecture.md").read_text()))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_lock_of_javascript_names_a_hash_for_every_package_and_no_registry() -> None:
    lock = json.loads((ROOT / "tests" / "compat" / "node" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert "node_modules/ws" in packages
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []
