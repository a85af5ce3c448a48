"""Rewrites, there and back: the target that is sent on, and the public path that a backend's path stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.core.deciding.path import has_dot_segments_or_empty
from proxy.core.deciding.pattern import Capture, Part, PathPattern, compile_regex
from proxy.core.http.badmessage import BadMessage

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.core.deciding.match import LiveRoute
    from proxy.core.model import Backend


def forward_target(decision: Decision, target: bytes) -> bytes:
    """The target for the decided backend: raw bytes, unchanged unless the route rewrites for that backend.

    Raises:
        BadMessage: the target has dot segments or `//` and meets a rewrite (400).
    """
    route = decision.route
    if route is None or not route.rewrites:
        return target
    template = route.rewrites.get(decision.backend)
    if template is None:
        return target
    path, mark, query = target.partition(b"?")
    if has_dot_segments_or_empty(path):
        raise BadMessage('the path has dot segments or "//", which a rewrite can\'t be applied to')
    captured, tail = _read_captures(route.pattern, path)
    return _fill(template.parts, captured, tail if template.tail else b"") + mark + query


def public_path(route: LiveRoute, backend: Backend, path: bytes) -> bytes | None:
    """The public path that a backend's own path stands for under the route's rewrite.

    Args:
        route: the route of the request whose answer names the path.
        backend: the backend that answered.
        path: raw path, without query.

    Returns:
        The path a client would ask for; the same path when the route doesn't rewrite for that backend; None when the
        path isn't one that the rewrite makes, or the way back isn't unique (an expression, a dropped capture).
    """
    template = route.rewrites.get(backend)
    if template is None:
        return path
    pattern = route.pattern
    made = {part.name for part in template.parts if isinstance(part, Capture)}
    if pattern.regex is not None or made != set(pattern.captures) or template.tail != pattern.tail:
        return None
    found = _match_parts(template.parts, template.tail, path.split(b"/")[1:])
    return None if found is None else _fill(pattern.parts, *found)


def _read_captures(pattern: PathPattern, path: bytes) -> tuple[dict[str, bytes], bytes]:
    if pattern.regex is not None:
        found = compile_regex(pattern.regex).fullmatch(path.decode("latin-1"))
        if found is None:
            # The normal form matched, the raw path doesn't: raw captures don't exist.
            raise BadMessage("the path is written in a way that its rewrite can't be applied to")
        return {name: value.encode("latin-1") for name, value in found.groupdict().items() if value is not None}, b""
    raw = path.split(b"/")[1:]
    captured = {part.name: given for part, given in zip(pattern.parts, raw, strict=False) if isinstance(part, Capture)}
    return captured, b"".join(b"/" + part for part in raw[len(pattern.parts) :])


def _match_parts(parts: Sequence[Part], tail: bool, raw: list[bytes]) -> tuple[dict[str, bytes], bytes] | None:  # noqa: FBT001
    if len(raw) != len(parts) and not (tail and len(raw) > len(parts)):
        return None
    captured: dict[str, bytes] = {}
    for part, given in zip(parts, raw, strict=False):
        if isinstance(part, Capture):
            if not given:
                return None
            captured[part.name] = given
        elif part.encode() != given:
            return None
    return captured, b"".join(b"/" + part for part in raw[len(parts) :])


def _fill(parts: Sequence[Part], captured: dict[str, bytes], tail: bytes) -> bytes:
    filled = [captured.get(part.name, b"") if isinstance(part, Capture) else part.encode() for part in parts]
    return b"".join(b"/" + part for part in filled) + tail or b"/"
