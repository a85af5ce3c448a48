"""A small valid configuration, and ways to lay something over it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import indent

from proxy.config.text.fileset import FileSet

SECTIONS = {
    "version": "version: 1\n",
    "backends": 'backends:\n  legacy: {url: "http://legacy.internal:8080"}\n  new: {url: "http://new.internal:9000"}\n',
    "identity": 'identity: {account: "cookie:acct"}\n',
    "segments": "segments:\n  pilots: {accounts: segments/pilots.txt}\n",
    "areas": "areas:\n  orders:\n    cache: off\n    routes: [{path: /orders}]\n",
    "otherwise": "otherwise: legacy\n",
}

FLAG_HEAD = (
    "flags:\n  orders:\n    state: ENABLED\n    variants: {new: new, legacy: legacy}\n"
    "    defaultVariant: legacy\n    targeting:\n"
)
MANAGED = "if:\n  - {in: [pilots, {var: segments}]}\n  - new\n  - fractional: [[new, 5], [legacy, 95]]\n"


def routes(text: str = "") -> str:
    """The given sections of routes.yaml, followed by those of the base that aren't given."""
    given = set(re.findall(r"^([a-z_]+):", text, re.MULTILINE))
    return text + "".join(section for name, section in SECTIONS.items() if name not in given)


def flag(targeting: str = MANAGED) -> str:
    """The base's flag file with other targeting, which begins in line 7, column 7."""
    return FLAG_HEAD + indent(targeting, "      ")


def contents(over: Mapping[str, str | None] | None = None) -> dict[str, bytes]:
    """The base's files with others laid over; None takes a file away."""
    files: dict[str, str | None] = {
        "segments/pilots.txt": "acme\n",
        "flags/orders.flagd.yaml": flag(),
        **(over or {}),
        "routes.yaml": routes((over or {}).get("routes.yaml") or ""),
    }
    return {name: text.encode() for name, text in files.items() if text is not None}


def files(over: Mapping[str, str | None] | None = None) -> FileSet:
    """`contents`, as a set."""
    return FileSet.of(contents(over))
