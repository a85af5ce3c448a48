"""The target that is sent on: raw bytes, unchanged unless the route rewrites for that backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.decision import Decision


def forward_target(decision: Decision, target: bytes) -> bytes:
    """The target for the decided backend (raw path and query).

    Raises:
        BadMessage: the target has dot segments or `//` and meets a rewrite (400).
    """
    raise NotImplementedError
