"""nginx as the two systems behind every proxy: answers at C speed, kept alive, each saying which system it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.job import LEGACY_HOSTS
from bench.machine import find, load_cores
from bench.node import LOOPBACK, free_port
from bench.processes import server

SMALL_BYTES: Final = 1024
SYSTEM_HEADER: Final = "X-System"

_CONFIGURATION: Final = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 300s; sendfile on;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
    uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    {systems}
}}
"""
_SYSTEM: Final = """
    server {{
        {listen}
        add_header {header} {name};
        location / {{ default_type text/html; return 200 "{body}"; }}
        location /files/ {{ root {directory}; }}
    }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Both systems' ports, legacy's on each of its addresses."""

    legacy: int
    new: int


@contextlib.contextmanager
def origin(directory: Path, *, file_bytes: int = 0) -> Iterator[Origin]:
    """Run it; `/files/large` has `file_bytes`, every other path 1 KiB."""
    directory.mkdir()
    (directory / "files").mkdir()
    (directory / "files" / "large").write_bytes(bytes(file_bytes))
    ports = Origin(legacy=free_port(), new=free_port())
    places = {
        "legacy": " ".join(f"listen {host}:{ports.legacy} backlog=1024;" for host in LEGACY_HOSTS),
        "new": f"listen {LOOPBACK}:{ports.new} backlog=1024;",
    }
    systems = "".join(
        _SYSTEM.format(listen=listen, name=name, header=SYSTEM_HEADER, body="x" * SMALL_BYTES, directory=directory)
        for name, listen in places.items()
    )
    config = directory / "nginx.conf"
    config.write_text(_CONFIGURATION.format(directory=directory, systems=systems))
    command = [*load_cores(), str(find("nginx")), "-p", str(directory), "-c", str(config), "-e", "error.log"]
    with server(command, directory, ports.new):
        yield ports
