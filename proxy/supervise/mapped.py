"""Pages on disk or in memory: making them, and mapping them.

A store into a file-backed page can wait for the disk, so on Linux `STATE/run` is a link into `/dev/shm`; elsewhere it is
a plain directory. Every page is allocated in full before it is mapped: a store into a page that finds no
memory left would kill the worker with SIGBUS in the middle of a request. Standard library only.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.core.layout import StateDir
from proxy.core.telling import counters, pages, sightings

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - private directories are made in it with mkdtemp
_PREFIX: Final = "strangler-"


def prepare_run(state: StateDir, slots: int) -> None:
    """Make a fresh directory of empty pages; what a supervisor that was killed left behind is removed.

    Only the holder of the state's lock may call this.

    Raises:
        OSError: no room for the pages.
    """
    events = {path.name: path.read_bytes() for path in _unwritten_events(state)}
    _remove(state)
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_MEMORY))
        state.run.symlink_to(directory)
    else:
        state.run.mkdir(mode=0o700)
    for path, size_bytes in _pages(state, slots):
        _create(path, size_bytes)
    for name, content in events.items():
        (state.run / name).write_bytes(content)  # whoever opens the journal next takes them in


def complete_run(state: StateDir, slots: int) -> None:
    """Make the pages that another version of the program had no need of.

    Raises:
        OSError: no room for them.
    """
    for path, size_bytes in _pages(state, slots):
        if not path.exists():
            _create(path, size_bytes)


def misfit(layout: str, state: StateDir, slots: int) -> str:
    """Why pages of another version can't go on being used; empty: they can.

    Args:
        layout: what `page_layout` said in that version.
        state: where the pages are.
        slots: places for workers.
    """
    if layout != page_layout():
        return f"the pages that are in use have layout {layout}, this version's is {page_layout()}"
    for path, size_bytes in _pages(state, slots):
        if path.exists() and path.stat().st_size != size_bytes:
            return f"{path.name} has {path.stat().st_size} bytes, in this version {size_bytes}"
    return ""


def page_layout() -> str:
    """Names how pages are laid out; the same only where one version can read another's."""
    return f"{pages.LAYOUT}.{counters.MAGIC:x}"


def _pages(state: StateDir, slots: int) -> Iterator[tuple[Path, int]]:
    """Every page and its size in bytes."""
    yield state.board, pages.PAGE_BYTES
    yield state.roster, pages.ROSTER_PAGE_BYTES
    yield state.probes, pages.PROBES_PAGE_BYTES
    yield state.names, pages.NAMES_PAGE_BYTES
    yield state.latch_page, pages.LATCH_PAGE_BYTES
    yield state.control_counters, counters.SMALL_PAGE_BYTES
    for slot in range(slots):
        yield state.worker(slot), pages.PAGE_BYTES
        yield state.counters(slot), counters.PAGE_BYTES
        yield state.regions(slot), sightings.REGIONS_PAGE_BYTES


def remove_run(state: StateDir) -> None:
    """Remove the pages, unless events of the journal are among them that no disk has taken: the next start needs those."""
    if not _unwritten_events(state):
        _remove(state)


def _unwritten_events(state: StateDir) -> list[Path]:
    return [path for path in state.all_pending_events() if path.stat().st_size]


def _remove(state: StateDir) -> None:
    """Remove what is there; a link that leads anywhere but to a directory of ours is only unlinked."""
    if state.run.is_symlink():
        directory = state.run.readlink()
        state.run.unlink()
        if directory.parent == _MEMORY and directory.name.startswith(_PREFIX):
            shutil.rmtree(directory, ignore_errors=True)
    elif state.run.is_dir():
        shutil.rmtree(state.run)


def map_page(path: Path, *, writable: bool) -> memoryview:
    """Map a page for as long as the process lives.

    Raises:
        OSError: it isn't there.
    """
    descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    try:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return memoryview(mmap.mmap(descriptor, 0, access=access))
    finally:
        os.close(descriptor)


def _create(path: Path, size_bytes: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size_bytes)
        else:  # macOS: written in full, which allocates as well
            os.write(descriptor, bytes(size_bytes))
    finally:
        os.close(descriptor)
