"""Where `explain` gets its answers: the running proxy, or the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from proxy.cli.options import Failed
from proxy.config.compile import compile_files
from proxy.config.files import read_files
from proxy.control.commands import ask
from proxy.control.explain import area_of, with_percent
from proxy.control.handlers import build_generation, explain_all
from proxy.control.question import Question
from proxy.core.covering import NOTHING_ROLLED_BACK
from proxy.core.layout import StateDir
from proxy.core.plan import encode_plan


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
    if question.percent is not None:
        plan = with_percent(compiled.plan, area_of(question, generation, NOTHING_ROLLED_BACK), question.percent)
        generation = build_generation(encode_plan(plan), open_table, number=0)
    answer: list[dict[str, Any]] = msgspec.to_builtins(
        explain_all(question, accounts, generation, NOTHING_ROLLED_BACK, source="files")
    )
    return answer
