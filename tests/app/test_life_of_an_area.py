"""docs/moving-an-area.md from its first line to its last, on a whole proxy: every command and every edit as it is written."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.node import Config, Node, backends
from tests.docs.following import follow
from tests.docs.reading import ROOT, table_after

TEXT = (ROOT / "docs" / "moving-an-area.md").read_text("utf-8")

ROUTES = """\
version: 1
backends:
  legacy: {{url: "{legacy}"}}
  new: {{url: "{new}"}}
identity:
  trusted_from: [127.0.0.1/32]
  account: ["header:X-Account-Id"]
segments:
  pilots: {{accounts: pilots.txt}}
areas:
  search: {{routes: [{{path: "/search/**"}}]}}
{orders}otherwise: legacy
cache: off
"""
SEARCH = """\
flags:
  search:
    state: ENABLED
    variants: {new: new, legacy: legacy}
    defaultVariant: new
    targeting: {if: [{fractional: [[new, 100], [legacy, 0]]}]}
"""
PILOTS = ("pilot-1", "pilot-2")
OTHERS = tuple(f"account-{number}" for number in range(120))


class Shop(Config):
    """Files as a person has them, in one directory, where the commands are run."""

    def __init__(self, root: Path, legacy: str, new: str) -> None:
        self.root = root
        self._urls = {"legacy": legacy, "new": new}
        (root / "flags").mkdir(parents=True)
        (root / "pilots.txt").write_text("\n".join(PILOTS) + "\n")
        (root / "flags" / "search.flagd.yaml").write_text(SEARCH)
        self.write_orders("")

    def write_orders(self, entry: str) -> None:
        self.routes.write_text(ROUTES.format(**self._urls, orders=textwrap.indent(entry, "  ")))


class Life:
    """A running proxy, and what is done to it."""

    def __init__(self, shop: Shop, node: Node) -> None:
        self.shop = shop
        self.node = node
        self._client = httpx.Client(trust_env=False, timeout=20)

    def close(self) -> None:
        self._client.close()

    def command(self, line: str) -> str:
        return follow(line, self.shop.root, timeout_s=60)

    def edit(self, entry: str) -> None:
        generation = self.node.generation()
        self.shop.write_orders(entry)
        self.node.reloaded(generation + 1)

    def ask(self, path: str, account: str | None) -> str:
        headers = {} if account is None else {"X-Account-Id": account}
        answer = self._client.get(self.node.url + path, headers=headers)
        assert answer.status_code == 200
        return answer.text

    def on_new(self) -> set[str]:
        """The accounts whose orders new answers."""
        return {account for account in (*PILOTS, *OTHERS) if self.ask("/orders/7", account) == "new"}

    def stands(self) -> tuple[str, float | None]:
        area = next(one for one in self.node.status()["areas"] if one["name"] == "orders")
        return area["status"], area["share_percent"]

    def explained(self) -> set[str]:
        """The accounts that `explain` names."""
        file = self.shop.root / "accounts.txt"
        file.write_text("\n".join((*PILOTS, *OTHERS)))
        told = json.loads(self.command("strangler explain GET /orders/7 --accounts accounts.txt --json"))
        return {one["account"] for one in told if one["backend"] == "new"}


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    with backends() as (legacy, new):
        shop = Shop(tmp_path / "shop", legacy.url, new.url)
        workers = "2" if sys.platform == "linux" else "1"
        node = Node(shop, shop.root / "state", "--workers", workers, "--access-log", "off").wait_ready()
        life = Life(shop, node)
        try:
            yield life
        finally:
            life.close()
            node.end()


def steps() -> dict[str, list[tuple[str, str]]]:
    """The document: by step, each command line and each entry of routes.yaml in its order."""
    found: dict[str, list[tuple[str, str]]] = {}
    for heading, body in re.findall(r"^## (?:(\d)\. )?.*?\n(.*?)(?=^## |\Z)", TEXT, flags=re.DOTALL | re.MULTILINE):
        blocks = re.findall(r"^```(sh|yaml)\n(.*?)^```", body, flags=re.DOTALL | re.MULTILINE)
        found[heading or "end"] = [
            (kind, one) for kind, text in blocks for one in (text.splitlines() if kind == "sh" else [text])
        ]
    return found


def test_the_life_of_an_area_is_as_the_document_tells_it(life: Life) -> None:
    document = steps()
    assert list(document) == ["0", "1", "2", "3", "4", "5", "6", "7", "end"]

    def do(step: str, at: int) -> str:
        kind, what = document[step][at]
        if kind == "yaml":
            life.edit(what)
            return ""
        return life.command(what)

    assert "ok:" in do("0", 0)
    do("0", 1)

    do("1", 0)
    assert life.stands() == ("legacy", 0)
    assert life.on_new() == set()

    assert "confirmed" in do("2", 0)
    assert (life.stands(), life.on_new()) == (("canary", 0), set(PILOTS))
    assert "→ new" in do("2", 1)

    do("3", 0)
    tenth = life.on_new()
    assert life.stands() == ("canary", 10)
    assert tenth == life.explained()
    do("3", 1)
    half = life.on_new()
    assert life.stands() == ("canary", 50)
    assert half == life.explained()
    assert set(PILOTS) < tenth < half < {*PILOTS, *OTHERS}, "raising only adds"

    do("4", 0)
    assert (life.stands()[0], life.on_new()) == ("rolled back", set())
    assert life.ask("/search/a", "account-1") == "new", "the other area stays where it is"
    do("4", 1)
    assert (life.stands(), life.on_new()) == (("canary", 50), half)

    do("5", 0)
    assert (life.stands()[0], life.on_new()) == ("live for accounts", {*PILOTS, *OTHERS})
    assert life.ask("/orders/7", None) == "legacy"
    do("5", 1)
    assert life.stands()[0] == "live"
    assert life.ask("/orders/7", None) == "new"

    do("6", 0)
    assert (life.stands()[0], life.on_new()) == ("live", {*PILOTS, *OTHERS})
    do("6", 1)
    assert "warning" not in do("6", 2)
    assert (life.stands()[0], life.on_new()) == ("live", {*PILOTS, *OTHERS})
    life.command("strangler rollback --area orders --reason drill")
    assert life.on_new() == set(), "a fixed route obeys the latch"
    life.command("strangler release --area orders --reason drill")

    do("7", 0)
    assert life.stands()[0] == "retired"
    said = life.command("strangler rollback --reason drill")
    assert "orders" in said, "what isn't covered is named"
    assert life.ask("/search/a", "account-1") == "legacy"
    assert life.on_new() == {*PILOTS, *OTHERS}, "legacy has it no more"
    life.command("strangler release --reason drill")

    _read_the_story(life, do("end", 0))


def _read_the_story(life: Life, text: str) -> None:
    lines = [json.loads(line) for line in life.command("strangler journal --json --area orders").splitlines()]
    assert [_short(line) for line in lines] == [
        ("reload", "not there → legacy"),
        ("canary", "the pilots agreed"),
        ("canary", "a quiet week"),
        ("canary", "no complaints for two weeks"),
        ("rollback", "wrong totals since 14:05"),
        ("release", "fixed in 4.2.1"),
        ("canary", "legacy and new agree"),
        ("canary", "nothing is left on legacy"),
        ("reload", "live → live"),
        ("rollback", "drill"),
        ("release", "drill"),
        ("reload", "live → retired"),
        ("rollback", "drill"),
        ("release", "drill"),
    ]
    workers = len(life.node.status()["workers"])
    assert [len(line["workers"]) for line in lines] == [workers] * len(lines), "each worker had each of it"
    assert {line["uid"] for line in lines} == {os.getuid()}
    told = [text.index(str(line["reason"])) for line in lines[1:8]]
    assert told == sorted(told), "people read it in its order"


def _short(line: dict[str, Any]) -> tuple[str, str]:
    if line["action"] == "reload":
        was, now = line["before"]["areas"].get("orders"), line["after"]["areas"].get("orders")
        return "reload", f"{was or 'not there'} → {now or 'not there'}"
    return line["action"], line["reason"]


def test_the_document_s_table_names_a_status_for_every_step() -> None:
    rows = table_after(TEXT, "| After step |")
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]
