"""docs/cutting-over-a-segment.md: followed word by word, nothing that is written gets lost."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import msgspec

from proxy.core.switches.bounded import decode_several
from proxy.core.switches.freeze import Freeze, Freezes
from proxy.core.switches.latch import Scope
from tests.app.node import Node, node
from tests.docs.following import follow
from tests.docs.reading import ROOT, blocks

TEXT = (ROOT / "docs" / "cutting-over-a-segment.md").read_text("utf-8")


def write(running: Node, account: str) -> tuple[int, str]:
    with running.client() as client:
        answer = client.post(f"{running.url}/orders/7", headers={"Cookie": f"acct={account}"}, content=b"one more")
        return answer.status_code, answer.text


def test_the_guide_does_what_it_says_step_by_step(tmp_path: Path) -> None:
    steps = [line for block in blocks(TEXT, "sh") for line in block.splitlines()]
    frozen = False
    with node(tmp_path, "--workers", "1" if sys.platform == "darwin" else "2") as (one, _, _):
        one.config.edit(
            "flags/orders.flagd.yaml",
            one.config.contents["flags/orders.flagd.yaml"].replace(
                "        - {in: [pilots, {var: segments}]}\n        - new\n", ""
            ),
        )
        one.reloaded(2)
        moved = False
        for line in steps:
            words = shlex.split(line)
            said = follow(line, tmp_path)
            match words[1]:
                case "freeze":
                    frozen = "--end" not in words
                case "canary":
                    moved = True
                case "explain":
                    assert f"→ {'new' if moved else 'legacy'}: " in said
                case "journal":
                    assert "move the pilots' orders" in said
                case _:
                    pass
            assert write(one, "acct-1") == (200, "legacy"), "everybody else works on"
            status, answer = write(one, "pilot-1")
            if frozen:
                assert status == 503
            else:
                assert (status, answer) == (200, "new" if moved else "legacy")
    assert [shlex.split(line)[1] for line in steps] == [
        "status", "explain", "freeze", "canary", "freeze", "explain", "journal",
    ]  # fmt: skip


def test_the_file_it_shows_is_one_that_the_proxy_reads() -> None:
    (shown,) = blocks(TEXT, "json")
    freezes = decode_several(shown.encode(), Freezes)
    assert freezes.entries[0].scope == Scope(area="orders", segment="pilots")
    table = TEXT.partition("| Key | |")[2]
    keys = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert keys == {"version", "epoch"} | {field.name for field in msgspec.structs.fields(Freeze)}
