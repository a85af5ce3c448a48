"""The sample shows one area of every kind, and is itself without fault."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli.demo.sample import NotADemo, copy_sample, sample_directory
from proxy.cli.main import main
from proxy.core.model import Backend, Reason
from tests.demo.sample import ask_sample, compiled_sample


def test_the_sample_has_neither_errors_nor_warnings() -> None:
    assert compiled_sample().complaints == ()


@pytest.mark.parametrize(
    ("path", "account", "backend", "reason"),
    [
        ("/orders", "acme", Backend.LEGACY, Reason.SHARE),
        ("/orders", "northwind", Backend.NEW, Reason.SHARE),
        ("/api/orders", "northwind", Backend.NEW, Reason.SHARE),
        ("/orders/7", "borealis", Backend.NEW, Reason.CLAUSE),
        ("/orders/7", "vertex", Backend.LEGACY, Reason.CLAUSE),
        ("/orders", None, Backend.LEGACY, Reason.DEFAULT),
        ("/search", "borealis", Backend.NEW, Reason.CLAUSE),
        ("/search", "northwind", Backend.LEGACY, Reason.SHARE),
        ("/documents", "acme", Backend.NEW, Reason.CLAUSE),
        ("/documents", "northwind", Backend.LEGACY, Reason.SHARE),
        ("/documents", "juniper", Backend.LEGACY, Reason.SHARE),
        ("/checkout", "borealis", Backend.LEGACY, Reason.SHARE),
        ("/help", None, Backend.NEW, Reason.FIXED),
        ("/blog", None, Backend.NEW, Reason.RETIRED),
        ("/", "northwind", Backend.LEGACY, Reason.OTHERWISE),
    ],
)
def test_the_sample_sends(path: str, account: str | None, backend: Backend, reason: Reason) -> None:
    decision = ask_sample(path, account)
    assert (decision.backend, decision.reason) == (backend, reason)


def test_the_orders_of_some_accounts_are_on_new_and_of_some_on_legacy() -> None:
    with (sample_directory() / "accounts.csv").open() as lines:
        accounts = [row["id"] for row in csv.DictReader(lines)]
    on_new = {account for account in accounts if ask_sample("/orders", account).backend is Backend.NEW}
    assert on_new == {"granite", "northwind", "summit", "umber", "borealis", "cobalt"}


def test_a_copy_says_where_the_two_systems_really_are_and_keeps_what_was_edited(tmp_path: Path) -> None:
    copy_sample(tmp_path, legacy_url="http://127.0.0.1:18081", new_url="http://127.0.0.1:18082")
    flag = tmp_path / "flags" / "orders.flagd.yaml"
    flag.write_text("edited")
    copy_sample(tmp_path, legacy_url="http://127.0.0.1:28081", new_url="http://127.0.0.1:28082")
    assert flag.read_text() == "edited"
    routes = (tmp_path / "routes.yaml").read_text()
    assert "http://127.0.0.1:28081" in routes
    assert "http://127.0.0.1:28082" in routes
    assert "1808" not in routes


def test_a_directory_with_somebody_elses_files_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text("version: 1\n")
    with pytest.raises(NotADemo, match="not empty and no demo's"):
        copy_sample(tmp_path, legacy_url="http://127.0.0.1:18081", new_url="http://127.0.0.1:18082")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("routes.yaml", "version: 1\n")]


def test_the_command_says_so_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = CliRunner().invoke(main, ["demo", "--in", str(tmp_path), "--port", "0"])
    assert done.exit_code == 1
    assert "name a new or an empty directory" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
