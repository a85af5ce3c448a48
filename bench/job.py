"""The job that every proxy is set up for: one shop, two systems, a quarter of the accounts and a list of pilots on new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PILOTS: Final = ("acct-1", "acct-2", "acct-3")
SHARE: Final = 25
"""Percent of the other accounts that go to new, the same ones each time, by whatever means a proxy has."""

SIGNING_KEY: Final = "known to everybody, as this is a benchmark"
"""What ours signs cookies with."""

LEGACY_HOSTS: Final = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""Addresses of the one legacy system: a proxy that can only spread over endpoints (Caddy) splits three to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a listener with TLS shows."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a proxy is started with.

    Attributes:
        directory: its own, empty; configuration, logs and state go there.
        legacy: the old system's port, on each of `LEGACY_HOSTS`.
        new: the new system's port.
        wrap: a command in front, that gives it its core.
        tls: what its listener shows; none means plain text.
    """

    directory: Path
    legacy: int
    new: int
    wrap: Sequence[str]
    tls: Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A proxy that answers.

    Attributes:
        port: where.
        pids: everything that belongs to it: its processor time counts.
        worker: the process that carries the traffic: its memory counts.
    """

    port: int
    pids: Sequence[int]
    worker: int
