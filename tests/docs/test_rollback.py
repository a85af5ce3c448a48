"""docs/rollback.md: a tired person can follow it word by word."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec

from proxy.core.switches.latch import Scope, decode_latch
from tests.app.node import flag, node
from tests.docs.following import follow
from tests.docs.reading import ROOT, blocks
from tests.waiting import until

TEXT = (ROOT / "docs" / "rollback.md").read_text("utf-8")


def test_the_runbook_does_what_it_says_line_by_line(tmp_path: Path) -> None:
    lines = [line for block in blocks(TEXT, "sh") for line in block.splitlines()]
    with node(tmp_path, "--workers", "1" if sys.platform == "darwin" else "2") as (one, _, _):
        one.config.edit("flags/orders.flagd.yaml", flag(100))
        one.reloaded(2)
        for line in lines:
            said = follow(line, tmp_path)
            match line.split()[1]:
                case "rollback":
                    assert one.get("/orders/1", "acme") == "legacy"
                case "explain":
                    assert "→ legacy: a rollback covers the request" in said
                case "state/ROLLBACK":
                    until(lambda: one.get("/help/") == "legacy", "everything on legacy")
                    until(lambda: "the file ROLLBACK" in one.command("status"), "told")
                case "journal":
                    assert "released: area orders" in said
                case _:
                    pass
        assert (one.get("/orders/1", "acme"), one.get("/help/")) == ("new", "new")
    assert {"rollback", "release", "status", "explain", "journal", "state/ROLLBACK"} <= {
        line.split()[1] for line in lines
    }


def test_the_file_it_shows_is_one_that_the_proxy_reads() -> None:
    (shown,) = blocks(TEXT, "json")
    latch = decode_latch(shown.encode())
    assert (latch.epoch, latch.entries[0].scope) == (17, Scope(area="orders", segment="pilots", region="DE"))
    table = TEXT.partition("| Key | |")[2]
    keys = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    entry = {field.name for field in msgspec.structs.fields(latch.entries[0])}
    assert keys == {"version", "epoch"} | entry
