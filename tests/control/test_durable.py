"""What is written to the state directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.control.durable import write_file


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes into the directory of somebody else")
def test_what_root_writes_can_be_read_by_whose_directory_it_is(tmp_path: Path) -> None:
    service = 65534
    os.chown(tmp_path, service, service)
    write_file(tmp_path / "latch.json", b"{}")
    about = (tmp_path / "latch.json").stat()
    assert (about.st_uid, about.st_gid, about.st_mode & 0o777) == (service, service, 0o600)
