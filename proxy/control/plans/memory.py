"""What was last good, remembered in the state directory: which version of each file, which plan, which generation.

A control process that is started again, and `serve --last-good`, go on from here. Contents stand in `STATE/files/`, each
named by its hash; the directory is private, since files and environment may hold secrets.
"""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from proxy.config.text.fileset import File, FileSet
from proxy.control.durable import ensure_file, write_file
from proxy.core.layout import StateDir

_VERSION = 1


class Unremembered(Exception):
    """There is nothing to go on from. The text says why."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What was in force when it was last written down."""

    generation: int
    plan: str
    files: FileSet


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    generation: int
    plan: str
    routes: str
    flags: str
    files: dict[str, str]  # name → hash
    unreadable: dict[str, str] = {}  # name → why: it was in the set without content


def remember(state: StateDir, remembered: Remembered) -> None:
    """Write down what is in force now. Contents that nothing names any more stay until `forget`: workers may read them yet.

    Raises:
        OSError: it can't be written; what stood there before stands still.
    """
    state.files.mkdir(mode=0o700, exist_ok=True)
    files = remembered.files.files
    readable = {name: file for name, file in files.items() if file.trouble is None}
    for file in readable.values():
        ensure_file(state.file(file.hash), file.content)
    note = _Note(
        version=_VERSION,
        generation=remembered.generation,
        plan=remembered.plan,
        routes=remembered.files.routes,
        flags=remembered.files.flags,
        files={name: file.hash for name, file in readable.items()},
        unreadable={name: file.trouble for name, file in files.items() if file.trouble is not None},
    )
    write_file(state.in_force, msgspec.json.format(msgspec.json.encode(note), indent=1))


def forget(state: StateDir, in_force: FileSet) -> None:
    """Remove the contents of files that aren't in force any more; some of them are private keys.

    Raises:
        OSError: one can't be removed.
    """
    kept = {file.hash for file in in_force.files.values()}
    for path in state.files.iterdir():
        if path.name not in kept:
            path.unlink()


def is_new(state: StateDir) -> bool:
    """Whether nothing was ever in force here; with remains of a plan or of files, something was, and is lost."""
    directories = [path for path in (state.plans, state.files) if path.is_dir()]
    return not state.in_force.exists() and not any(any(path.iterdir()) for path in directories)


def recall(state: StateDir) -> Remembered:
    """Read what was in force.

    Raises:
        Unremembered: nothing was ever written, or it is damaged.
    """
    try:
        note = msgspec.json.decode(state.in_force.read_bytes(), type=_Note)
    except FileNotFoundError:
        raise Unremembered(f"{state.root} remembers no configuration") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise Unremembered(f"{state.in_force} can't be read: {error}") from error
    if note.version != _VERSION:
        raise Unremembered(f"{state.in_force} is of version {note.version}; this program reads {_VERSION}")
    files = {name: File.unreadable(why) for name, why in note.unreadable.items()}
    for name, digest in note.files.items():
        try:
            file = File.of(state.file(digest).read_bytes())
        except OSError as error:
            raise Unremembered(f"{state.root} has lost the content of {name}: {error.strerror}") from error
        if file.hash != digest:
            raise Unremembered(f"{state.root} has a damaged content of {name}")
        files[name] = file
    return Remembered(
        generation=note.generation,
        plan=note.plan,
        files=FileSet(files=MappingProxyType(dict(sorted(files.items()))), routes=note.routes, flags=note.flags),
    )
