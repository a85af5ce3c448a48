"""Software that nobody here wrote, running unchanged behind the real proxy: Django's admin as legacy, Datasette as new."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bench.node import LOOPBACK, Node, free_port, node

pytest.importorskip("django", reason="Django isn't installed; `make test` installs it")
pytest.importorskip("datasette", reason="Datasette isn't installed; `make test` installs it")

PASSWORD = "correct horse"
ROWS = 5_000
SCANS = 5_000  # of 4 000 bytes: more than all buffers on the way hold

ROUTES = """\
version: 1
backends:
  legacy: {{url: "{legacy}"}}
  new: {{url: "{new}"}}
identity: {{account: ["cookie:acct"]}}
public_origin: "{public}"
segments:
  movers: {{accounts: movers.txt}}
cookies: {{legacy: [sessionid, csrftoken], new: [ds_actor, ds_csrftoken]}}
areas:
  catalogue:
    routes:
      - {{path: "/catalogue/**", rewrite: {{new: "/library/**"}}}}
      - {{path: "/library/**"}}
  datasette-assets:
    routes: [{{path: "/-/**", to: new}}]
otherwise: legacy
"""
FLAG = """\
flags:
  catalogue:
    state: ENABLED
    variants: {new: new, legacy: legacy}
    defaultVariant: legacy
    targeting:
      if:
        - {in: [movers, {var: segments}]}
        - new
        - fractional: [[new, 0], [legacy, 100]]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Both systems, and the proxy in front of them."""

    url: str
    legacy_url: str
    new_url: str
    node: Node


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    here = tmp_path_factory.mktemp("compat")
    legacy, new = f"http://{LOOPBACK}:{free_port()}", f"http://{LOOPBACK}:{free_port()}"
    with _django(here / "django", legacy), _datasette(here / "datasette", new):
        config = here / "proxy"
        (config / "flags").mkdir(parents=True)
        (config / "flags" / "catalogue.flagd.yaml").write_text(FLAG)
        (config / "movers.txt").write_text("acme\n")
        port = free_port()
        public = f"http://{LOOPBACK}:{port}"
        (config / "routes.yaml").write_text(ROUTES.format(legacy=legacy, new=new, public=public))
        with node(config, port=port) as running:
            yield Site(url=running.url, legacy_url=legacy, new_url=new, node=running)


@contextlib.contextmanager
def _django(directory: Path, url: str) -> Iterator[None]:
    directory.mkdir()
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.compat.site.settings",
        "SITE_DIRECTORY": str(directory),
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "PYTHONWARNINGS": "ignore",
    }
    manage = [sys.executable, "-m", "django"]
    once = {**os.environ, **environment}
    subprocess.run([*manage, "migrate", "--run-syncdb", "--verbosity", "0"], env=once, check=True)
    subprocess.run(
        [*manage, "createsuperuser", "--noinput", "--username", "root", "--email", "root@shop.example"],
        env=once,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with running([*manage, "runserver", "--noreload", url.removeprefix("http://")], environment, directory, url):
        yield


@contextlib.contextmanager
def _datasette(directory: Path, url: str) -> Iterator[None]:
    directory.mkdir()
    with contextlib.closing(sqlite3.connect(directory / "library.db")) as database, database:
        database.execute("create table books (id integer primary key, title text)")
        database.executemany("insert into books (title) values (?)", [(f"Book {i} – ä",) for i in range(ROWS)])
        database.execute("create table scans (id integer primary key, page text)")
        database.executemany("insert into scans (page) values (?)", [("x" * 4000,)] * SCANS)
    command = [sys.executable, "-m", "datasette", "serve", "--host", LOOPBACK, "--port", url.rpartition(":")[2]]
    settings = ["--setting", "max_csv_mb", "0", "--setting", "allow_csv_stream", "on"]
    with running([*command, *settings, str(directory / "library.db")], {"PYTHONWARNINGS": "ignore"}, directory, url):
        yield


@contextlib.contextmanager
def running(command: list[str], environment: Mapping[str, str], directory: Path, url: str) -> Iterator[None]:
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _await_answer(process, url, directory / "output.log")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _await_answer(process: subprocess.Popen[bytes], url: str, output: Path) -> None:
    deadline_s = time.monotonic() + 30
    with httpx.Client(trust_env=False) as client:
        while process.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(httpx.TransportError):
                client.get(url)
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    raise AssertionError(f"{url} did not answer:\n{output.read_text()}")
