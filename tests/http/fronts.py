"""Proxies to put in front of a backend: ours, and two that the tests themselves are checked against."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.core.plan import Identity, Source
from tests.traffic.wire import PATIENCE_S, Node, Wire, a_plan, eventually

OURS: Final = "strangler"
PEERS: Final = ("nginx", "haproxy")

# Somebody else may say who asks; the tests' clients are strangers.
_IDENTITY: Final = Identity(
    trusted_from=("10.1.2.3/32",), account=(Source(source="header", name="x-account-id", place="-"),)
)

# As their own users would set them up for the same job: nothing held back, connections kept on both sides.
_NGINX: Final = """\
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_header_timeout 2s;
  client_body_timeout 2s;
  lingering_timeout 100ms;
  large_client_header_buffers 4 64k;
  underscores_in_headers on;
  map $http_upgrade $way {{ default upgrade; "" ""; }}
  upstream backend {{ server {backend}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $way;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_read_timeout 250ms;
      proxy_next_upstream off;
      proxy_buffer_size 64k;
      proxy_buffers 4 64k;
      proxy_busy_buffers_size 64k;
    }}
  }}
}}
"""

_HAPROXY: Final = """\
defaults
  mode http
  timeout connect 2s
  timeout client 500ms
  timeout server 500ms
  timeout http-request 500ms
  timeout tunnel 500ms
frontend clients
  bind 127.0.0.1:{port}
  default_backend systems
backend systems
  http-reuse always
  server one {backend}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """A proxy that runs."""

    name: str
    port: int

    def client(self) -> Wire:
        """Connect."""
        return Wire(socket.create_connection(("127.0.0.1", self.port)))


def missing(name: str) -> str | None:
    """Why a peer can't be run here, and what to do about it."""
    if name == OURS or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"):
        return None
    package = "nginx-light" if name == "nginx" else name
    return f"{name} isn't installed: the tests are checked against it (Debian: apt-get install {package})"


@contextlib.contextmanager
def front(name: str, backend_url: str) -> Iterator[Front]:
    """Run a proxy in front of a backend.

    Args:
        name: `strangler`, `nginx` or `haproxy`.
        backend_url: the only backend, whatever is asked.
    """
    if name == OURS:
        node = Node(a_plan(backend_url, backend_url, identity=_IDENTITY))
        try:
            yield Front(name, node.port)
        finally:
            node.close()
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        arguments = _ARGUMENTS[name](Path(directory), port, backend_url.removeprefix("http://"))
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: _listens(port), f"{name} listens")
                yield Front(name, port)
            finally:
                process.kill()
                process.wait(PATIENCE_S)


def _nginx(directory: Path, port: int, backend: str) -> list[str]:
    path = directory / "nginx.conf"
    path.write_text(_NGINX.format(directory=directory, port=port, backend=backend))
    return ["/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else "nginx", "-p", str(directory), "-c", str(path)]


def _haproxy(directory: Path, port: int, backend: str) -> list[str]:
    path = directory / "haproxy.cfg"
    path.write_text(_HAPROXY.format(port=port, backend=backend))
    return ["/usr/sbin/haproxy" if Path("/usr/sbin/haproxy").exists() else "haproxy", "-db", "-f", str(path)]


_ARGUMENTS: Final[dict[str, Callable[[Path, int, str], list[str]]]] = {"nginx": _nginx, "haproxy": _haproxy}


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
