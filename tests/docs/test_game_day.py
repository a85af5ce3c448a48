"""docs/game-day.md: followed line by line, and held against the code."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import msgspec

from proxy.core.switches.bounded import decode_several
from proxy.core.switches.drill import Drill, Drills, FaultKind, read_injection
from proxy.traffic.exchanges.drilling import MOST_WAITING
from tests.app.node import flag, node
from tests.docs.following import follow
from tests.docs.reading import ROOT, blocks, table_after

TEXT = (ROOT / "docs" / "game-day.md").read_text("utf-8")


def test_the_runbook_does_what_it_says_line_by_line(tmp_path: Path) -> None:
    lines = [line for block in blocks(TEXT, "sh") for line in block.splitlines()]
    met, rolled_back = False, False
    with node(tmp_path, "--workers", "1" if sys.platform == "darwin" else "2") as (one, _, _):
        one.config.edit("flags/orders.flagd.yaml", flag(0))
        with one.client() as client:

            def ask(account: str) -> tuple[int, str]:
                answer = client.get(f"{one.url}/orders/7", headers={"Cookie": f"acct={account}"})
                return answer.status_code, answer.text if answer.status_code == 200 else ""

            for line in lines:
                words = shlex.split(line)
                said = follow(line, tmp_path)
                match words[1:3]:
                    case ["drill", "orders"]:
                        met = True
                    case ["drill", "list"]:
                        assert "DRILL d" in said
                    case ["rollback", _]:
                        rolled_back = True
                    case ["drill", "--end"]:
                        met = False
                        assert "rolled back" in said
                    case ["release", _]:
                        rolled_back = False
                    case ["drill", "rollback"]:
                        assert "every worker obeyed" in said
                        assert "DRILL OVER" in said
                    case ["journal", _]:
                        assert "drill over: area orders, segment pilots" in said
                    case _:
                        pass
                assert ask("acct-1") == (200, "legacy"), "nobody else is hit"
                if rolled_back:
                    assert ask("pilot-1") == (200, "legacy")
                else:
                    assert ask("pilot-1") == ((503, "") if met else (200, "new"))
    assert [shlex.split(line)[1] for line in lines].count("drill") == 4


def test_the_file_it_shows_is_one_that_the_proxy_reads() -> None:
    (shown,) = blocks(TEXT, "json")
    (drill,) = decode_several(shown.encode(), Drills).entries
    assert str(drill.fault) == "status=503"
    table = TEXT.partition("| Key | |")[2]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named == {"version", "epoch"} | {field.name for field in msgspec.structs.fields(Drill)}


def test_every_fault_is_told_and_no_other() -> None:
    told = [read_injection(row[0]).kind for row in table_after(TEXT, "| `--fault` |")]
    assert sorted(told) == sorted(set(FaultKind) - {FaultKind.ROLLBACK})


def test_the_number_of_requests_that_may_wait_is_the_programs_own() -> None:
    assert f"{MOST_WAITING:,}".replace(",", " ") + " requests" in TEXT
