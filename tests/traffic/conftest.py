"""A running proxy between raw sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.traffic.wire import Node, RawBackend, a_plan


@pytest.fixture
def legacy() -> Iterator[RawBackend]:
    """The old system."""
    backend = RawBackend()
    yield backend
    backend.close()


@pytest.fixture
def new() -> Iterator[RawBackend]:
    """The new system."""
    backend = RawBackend()
    yield backend
    backend.close()


@pytest.fixture
def refusing() -> Iterator[Callable[[], RawBackend]]:
    """Makes backends that refuse every connection."""
    with ExitStack() as stack:

        def make() -> RawBackend:
            backend = RawBackend()
            backend.stop_listening()
            stack.callback(backend.close)
            return backend

        yield make


@pytest.fixture
def start(legacy: RawBackend, new: RawBackend, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start a proxy in front of both; keywords go to `a_plan`, `share` to the node."""
    with ExitStack() as stack:

        def go(**options: Any) -> Node:
            node_options = {name: options.pop(name) for name in ("share", "path_of") if name in options}
            plan = a_plan(options.pop("legacy", legacy.url), options.pop("new", new.url), **options)
            node = Node(plan, log=tmp_path / "access.log", **node_options)
            stack.callback(node.close)
            return node

        yield go


@pytest.fixture
def node(start: Callable[..., Node]) -> Node:
    """A proxy with the plan of `a_plan` and nothing else."""
    return start()
