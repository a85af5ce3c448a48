"""What an idle connection holds: a thousand and ten thousand clients that asked once and stay."""

from __future__ import annotations

import contextlib
import resource
import shutil
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Final

from bench.certificate import certificate
from bench.field import Ground, chosen, scratch
from bench.job import Running
from bench.memory import private_bytes
from bench.node import LOOPBACK
from bench.options import Options, Skipped
from bench.origin import origin
from bench.section import Section, Table
from bench.steady import requests
from bench.tables import beside
from proxy.core.footprint import clients_of

_COUNTS: Final = (1_000, 10_000)
_AIM_BYTES: Final = 6 * 1024
_SPARE: Final = 68  # clients that are still there for a moment
_QUIET_S: Final = 1.5
_WARM_UP: Final = 200
_READ_BYTES: Final = 64 * 1024
_REQUEST: Final = requests(["/area-1/4711"])[0]


def run(options: Options) -> Section:
    most = _allow_many()
    plain = [_COUNTS[0], min(_COUNTS[1], clients_of(most) - _SPARE)]
    if plain[1] < plain[0]:
        raise Skipped(f"{_COUNTS[0]} connections need twice as many file descriptors; ulimit -Hn gives {most}")
    over_tls = _COUNTS[:1] if shutil.which("openssl") else ()
    rows = []
    with scratch() as here, origin(here / "origin") as systems:
        ground = Ground(here, systems)
        apart = here / "tls"
        apart.mkdir()
        secured = Ground(apart, systems, certificate(apart)) if over_tls else ground
        for name, peer in chosen(options).items():
            aim = _AIM_BYTES if name == "strangler" else None
            with peer.start(ground.job()) as running:
                cells = _held(running, plain, aim, None)
            if over_tls:
                with peer.start(secured.job()) as running:
                    cells += _held(running, over_tls, None, _trusting())
            rows.append([peer.title, *cells])
    return Section(
        title="Idle connections",
        method=(
            "`python -m bench idle`: so many clients connect, ask once, and stay; by how much the private memory of the process that "
            "carries the traffic grew, for each of them. What the kernel holds for a socket is the same for all, and isn't in it. "
            f"Aim without TLS: at most {_AIM_BYTES:,} bytes. uvicorn closes a connection that idles for five seconds. "
            f"This machine allows a process {most:,} file descriptors; ours takes half as many clients, as each may need a backend's connection."
        ),
        tables=[
            Table(
                title="private bytes a connection",
                head=[
                    "",
                    *(f"{count:,} connections" for count in plain),
                    *(f"{count:,} over TLS" for count in over_tls),
                ],
                rows=rows,
            )
        ],
    )


def _held(running: Running, counts: Sequence[int], aim_bytes: int | None, tls: ssl.SSLContext | None) -> list[str]:
    """What each of so many connections takes."""
    cells: list[str] = []
    with contextlib.ExitStack() as held:
        for _ in range(_WARM_UP):  # what is allocated once, and the pools behind, belong to no connection
            _asked(running.port, tls).close()
        time.sleep(_QUIET_S)
        before = private_bytes([running.worker])
        links: list[socket.socket] = []
        for count, former in zip(counts, [0, *counts], strict=False):
            links += (held.enter_context(_asked(running.port, tls)) for _ in range(count - former))
            time.sleep(_QUIET_S)
            if not all(map(_stays, links)):
                cells.append("closes them")
                continue
            each = (private_bytes([running.worker]) - before) / count
            cells.append(f"{each:,.0f}" if aim_bytes is None else beside(each, aim_bytes, 0))
    return cells


def _trusting() -> ssl.SSLContext:
    """Who the server is doesn't matter here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _allow_many() -> int:
    """Raise the soft limit of file descriptors to the hard one; gives it. What is started inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _asked(port: int, tls: ssl.SSLContext | None) -> socket.socket:
    """A client that has its answer, and stays.

    Raises:
        RuntimeError: the answer isn't what it should be.
    """
    link = socket.create_connection((LOOPBACK, port), timeout=10)
    if tls is not None:
        link = tls.wrap_socket(link)
    link.sendall(_REQUEST)
    answer = b""
    while not answer.endswith(b"x" * 16):
        piece = link.recv(_READ_BYTES)
        if not piece:
            raise RuntimeError(f"a client that stays was sent away: {answer[:200]!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"a client that stays was refused: {answer[:200]!r}")
    return link


def _stays(link: socket.socket) -> bool:
    """Whether the proxy still holds its end: there is nothing to read, not even an end."""
    link.setblocking(False)
    try:
        link.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    return False
