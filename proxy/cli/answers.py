"""Where `explain` gets its answers: the running proxy, or the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from proxy.cli.options import Failed
from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from proxy.control.asking import ask
from proxy.control.handlers import build_generation, explain_all
from proxy.control.telling.explain import Supposed, area_of, suppose
from proxy.control.telling.question import Question
from proxy.core.layout import StateDir
from proxy.core.plan import encode_plan
from proxy.core.switches.covering import NOTHING_ROLLED_BACK
from proxy.traffic.telling.log import account_in_log


def explanations_of_running(question: Question, accounts: list[str] | None, state: Path) -> list[dict[str, Any]]:
    """Ask control.

    Raises:
        NotRunning: nobody answers.
        Refused: control said no.
    """
    arguments: dict[str, Any] = {"question": msgspec.to_builtins(question)}
    if accounts is not None:
        arguments["accounts"] = accounts
    answer: list[dict[str, Any]] = ask(StateDir(state).control_socket, "explain", arguments)
    return answer


def with_names_in_log(found: list[dict[str, Any]], state: Path) -> list[dict[str, Any]]:
    """Add what stands for each account in the access log; None without an account, or without the key to tell."""
    try:
        key = StateDir(state).log_key.read_bytes()
    except OSError:
        return [{**one, "account_in_log": None} for one in found]
    accounts = [one["account"] for one in found]
    names = [None if account is None else account_in_log(account, key) for account in accounts]
    return [{**one, "account_in_log": name} for one, name in zip(found, names, strict=True)]


def explanations_of_files(
    question: Question, accounts: list[str] | None, routes: Path, flags: Path
) -> list[dict[str, Any]]:
    """Compile the files and decide here.

    Raises:
        Failed: the files are broken.
        CannotAsk: the question can't be asked of this configuration.
    """
    compiled = compile_files(read_files(routes, flags))
    if compiled.plan is None:
        raise Failed("the files are broken:\n" + "\n".join(str(complaint) for complaint in compiled.complaints))

    def open_table(digest: str) -> memoryview:
        return memoryview(compiled.tables[digest])

    generation = build_generation(encode_plan(compiled.plan), open_table, number=0)
    supposed: Supposed | None = None
    if question.percent is not None:
        area = area_of(question, generation, NOTHING_ROLLED_BACK)
        supposed = suppose(compiled.plan, area, question.percent, of_plan=generation.plan)
        generation = build_generation(encode_plan(supposed.plan), open_table, number=0)
    answer: list[dict[str, Any]] = msgspec.to_builtins(
        explain_all(question, accounts, generation, NOTHING_ROLLED_BACK, source="files", supposed=supposed)
    )
    return answer
