"""How much memory clients and backends can make a worker take, whatever they do: a bound, computed from the configuration.

It is what is added to a worker that has its plan and no client yet. Every term is a limit of routes.yaml or a constant of the code; docs/production.md
tells the formula to people, and tests/app/test_footprint.py holds it against a worker whose every connection does its worst.
The kernel's socket buffers aren't in it: they are the machine's (`net.ipv4.tcp_mem`), not the process's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from proxy.core.deciding.signed import TOKENS_KEPT_BYTES, Purpose

if TYPE_CHECKING:
    from proxy.core.limits import Limits
    from proxy.core.plan import Plan

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_A_GIB: Final = 1024 * _MIB

READ_BYTES: Final = 256_000
"""What one read from a socket gives at most: the loop's receive buffer (uvloop `UV_STREAM_RECV_BUF_SIZE`)."""

WATER_BYTES: Final = 64 * _KIB
"""What may wait in one direction of one exchange before its source is paused (asyncio's and nginx's order of size)."""

SHAPES_BYTES: Final = 256 * _KIB
"""What one editor of heads remembers of sequences of names: some 200, where traffic has tens."""

LOG_BYTES: Final = 8 * _MIB
"""Lines of the access log that may wait for the disk, about a second of a busy worker; what comes beyond is dropped and counted."""

SPANS_BYTES: Final = 16 * _MIB
"""Spans that may wait for their collector, with what each holds of its request."""

A_PATH_BYTE: Final = 22
"""What a byte of a path may take: of many short segments each is a piece of text of its own."""

_OWN_DESCRIPTORS: Final = (
    64  # listeners, pages, logs, what the loop needs: some 30; and those that are about to be closed
)

_EDITORS: Final = (
    18  # of heads: for each of two backends those of eight kinds of peers (`Wiring.judge`), and of answers
)
_LINES: Final = (
    12 * _MIB
)  # of heads, of which lines, names, hosts and status lines are remembered: 4096 each, of 160 bytes at most
_HOSTS: Final = 3 * _MIB  # spellings of Host, of two generations
_ACCOUNTS_IN_LOG: Final = 5 * _MIB  # 8192 hashes
_LOG_BATCH: Final = 6 * _MIB  # lines that are being written, joined
_A_RATED_ACCOUNT: Final = 300
_A_FIELD: Final = 400  # a header line as objects: line, name, value, and their places
_OBJECTS: Final = 24 * _KIB  # connections, exchange, decision
_TLS: Final = (
    1280 * _KIB
)  # each side: a buffer for each direction that the loop keeps, the records in it, and OpenSSL's state
_BEGINS_WITH: Final = 25 * _MIB  # a worker before its first client
_SPARE: Final = 1.25  # what an allocator can't give back between blocks in use


def clients_of(descriptors: int) -> int:
    """How many clients a process can take with so many file descriptors: each may need one to a backend, too."""
    return max((descriptors - min(_OWN_DESCRIPTORS, descriptors // 2)) // 2, 1)


def connection_bytes(limits: Limits, *, tls_of_clients: bool = False, tls_of_backends: bool = False) -> int:
    """What one client's connection can take, with its exchange and the connection to a backend that this needs.

    It is the sum over the places where bytes can wait, as if each were at its fullest when the others are: what is read ahead of the
    request, its head as it came and as objects, its body on the way to the backend, the answer on the way to the client.
    """
    ahead = (
        (max(limits.head_bytes, limits.pipelined_bytes) + READ_BYTES) * 9 // 8
    )  # a bytearray grows ahead of its need
    head = 3 * limits.head_bytes + limits.header_count * _A_FIELD + limits.request_line_bytes * A_PATH_BYTE
    upward = WATER_BYTES + READ_BYTES + limits.chunk_line_bytes + limits.trailers_bytes + limits.replay_bytes
    downward = WATER_BYTES + READ_BYTES + max(limits.answer_head_bytes, limits.chunk_line_bytes + limits.trailers_bytes)
    tls = _TLS * (tls_of_clients + tls_of_backends)
    return int((ahead + head + upward + downward + tls + _OBJECTS) * _SPARE)


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan lets workers take, beyond what they begin with.

    Attributes:
        shared_bytes: of each worker, for what belongs to no connection.
        connection_bytes: for each connection.
        connections: of all workers together; None: nobody says how many there may be.
        workers: that share them.
    """

    shared_bytes: int
    connection_bytes: int
    connections: int | None
    workers: int

    @property
    def total_bytes(self) -> int | None:
        """All of it; None: without a bound on connections there is none."""
        if self.connections is None:
            return None
        return self.workers * self.shared_bytes + self.connections * self.connection_bytes

    def exceeds(self, there_bytes: int | None) -> bool:
        """Whether it may come to more than there is; False where nobody says how much that is, or bounds connections."""
        total = self.total_bytes
        return there_bytes is not None and total is not None and total + self.workers * _BEGINS_WITH > there_bytes

    def told(self, there_bytes: int | None) -> str:
        """For people, on a machine or in a container with so much memory; None: nobody says how much."""
        if there_bytes is None or not (self.connections is None or self.exceeds(there_bytes)):
            return str(self)
        room = there_bytes - self.workers * (self.shared_bytes + _BEGINS_WITH)
        fitting = room // self.connection_bytes
        rounding = 10 ** max(len(str(fitting)) - 2, 0)
        remedy = (
            f"{fitting // rounding * rounding} would fit" if fitting > 0 else "none would fit, without smaller limits"
        )
        if self.connections is None:
            return f"{self}: {remedy} into the {_mib(there_bytes)} here"
        return f"{self}, which is more than the {_mib(there_bytes)} here; of limits.connections {remedy}"

    def __str__(self) -> str:
        """For people, wherever."""
        shared, each = _mib(self.shared_bytes), _mib(self.connection_bytes)
        if self.connections is None or self.total_bytes is None:
            return f"memory: clients can make each worker take {shared} and {each} a connection; limits.connections bounds these"
        of = f"{self.connections} connections and {self.workers} worker{'' if self.workers == 1 else 's'}"
        return f"memory: clients can make it take {_mib(self.total_bytes)}, with {of} ({each} and {shared} each)"


def footprint(plan: Plan, *, workers: int = 1, descriptors: int | None = None) -> Footprint:
    """What a plan lets workers take.

    Args:
        plan: what they serve.
        workers: how many.
        descriptors: the files that each may have open, of which half are for clients where `limits.connections` doesn't say; None: nobody knows.
    """
    settings = plan.settings
    limits = settings.limits
    rated = settings.account_rate is not None or any(area.account_rate is not None for area in plan.areas)
    accounts = limits.rated_accounts * _A_RATED_ACCOUNT if rated else 0
    spans = SPANS_BYTES if settings.tracing is not None and settings.tracing.export is not None else 0
    tokens = len(Purpose) * TOKENS_KEPT_BYTES if settings.signing_keys else 0
    log = LOG_BYTES + _LOG_BATCH + _ACCOUNTS_IN_LOG
    connections = None if descriptors is None else clients_of(descriptors) * workers
    if limits.connections:
        wanted = -(-limits.connections // workers) * workers
        connections = wanted if connections is None else min(wanted, connections)
    return Footprint(
        shared_bytes=int((_LINES + _HOSTS + _EDITORS * SHAPES_BYTES + log + accounts + spans + tokens) * _SPARE),
        connection_bytes=connection_bytes(
            limits,
            tls_of_clients=plan.listener.tls is not None,
            tls_of_backends=any(url.startswith("https:") for spec in plan.backends for url in spec.urls),
        ),
        connections=connections,
        workers=workers,
    )


def _mib(size: int) -> str:
    if size >= _A_GIB:
        return f"{size / _A_GIB:.1f} GiB"
    return f"{size / _MIB:.1f} MiB" if size < 10 * _MIB else f"{size / _MIB:.0f} MiB"
