"""Software that nobody here wrote, running unchanged behind the real proxy: Django's admin as legacy, Datasette as new."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.node import LOOPBACK, free_port
from tests.compat.setting import Setting, running, setting

PASSWORD = "correct horse"
ROWS = 5_000
SCANS = 5_000  # of 4 000 bytes: more than all buffers on the way hold

REST = """\
cookies: {legacy: [sessionid, csrftoken], new: [ds_actor, ds_csrftoken]}
areas:
  catalogue:
    routes:
      - {path: "/catalogue/**", rewrite: {new: "/library/**"}}
      - {path: "/library/**"}
  office:
    routes: [{path: "/office/**", to: legacy, rewrite: {legacy: "/admin/**"}}]
  datasette-assets:
    routes: [{path: "/-/**", to: new}]
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    for name in ("django", "datasette"):
        pytest.importorskip(name, reason=f"{name} isn't installed; `make test` installs it")
    here = tmp_path_factory.mktemp("compat")
    legacy, new = f"http://{LOOPBACK}:{free_port()}", f"http://{LOOPBACK}:{free_port()}"
    with (
        _django(here / "django", legacy),
        _datasette(here / "datasette", new),
        setting(here / "proxy", legacy=legacy, new=new, area="catalogue", rest=REST) as found,
    ):
        yield found


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
