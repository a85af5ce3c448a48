"""What one routes file says, checked as far as the file alone can tell; names are still names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from proxy.config.text.nodes import Mapping, Node, Scalar, Sequence
from proxy.core.model import Backend

if TYPE_CHECKING:
    from proxy.config.problems import Complaint, Marked
    from proxy.core.care.reaching import Dns
    from proxy.core.limits import Limits, Rate
    from proxy.core.plan import (
        Area,
        BackendSpec,
        BackendTls,
        Forwarding,
        Identity,
        Listener,
        Route,
        Segment,
        Tracing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mentioned:
    """A name that is used: where, and under which keys."""

    name: str
    mark: Marked
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderDraft:
    """A header to set; `text` may be `file:PATH` or `env:NAME`."""

    name: str
    text: str
    mark: Marked
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDraft:
    """A certificate and its private key."""

    certificate: Mentioned
    key: Mentioned


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerDraft:
    """The listener, all but what its files say."""

    record: Listener
    minimum: Literal["1.2", "1.3"]
    certificates: tuple[PairDraft, ...]  # none: plain text
    client_ca: Mentioned | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTlsDraft:
    """How a backend is met over TLS, all but what its files say."""

    record: BackendTls
    ca: Mentioned | None
    pair: PairDraft | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDraft:
    """An error page."""

    status: str
    file: Mentioned


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDraft:
    """A backend, all but the values of its headers and what its files say."""

    spec: BackendSpec
    headers: tuple[HeaderDraft, ...]
    answer_headers: tuple[HeaderDraft, ...]
    tls: BackendTlsDraft | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDraft:
    """A segment, all but its table."""

    record: Segment
    mark: Marked
    where: str
    accounts: Mentioned | None
    attributes: tuple[Mentioned, ...]
    regions: Marked | None
    parts: tuple[Mentioned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDraft:
    """A route; its record is as the plan has it."""

    record: Route
    mark: Marked
    where: str
    segments: tuple[Mentioned, ...]
    shape: object  # equal for patterns that match the same paths; None when the path can't be read
    regex: bool
    account: Marked | None
    region: Marked | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaDraft:
    """An area with its routes."""

    record: Area
    mark: Marked
    where: str
    flag: Mentioned | None  # None: implied
    cache: str | None  # None: as the main file says
    pin: Marked | None
    rated: Mentioned | None  # the cap on each account; None: not written
    routes: tuple[RouteDraft, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MainDraft:
    """What routes.yaml alone may say."""

    otherwise: Backend
    public_origin: str | None
    rollback_drain_s: float
    forwarding: Forwarding
    tracing: Tracing | None
    metrics_by_route: bool
    cache: str | None  # None: not written
    count_leaks: bool
    limits: Limits
    dns: Dns
    rate: Rate | None
    rated: Mentioned | None  # as with an area
    cookies_legacy: tuple[str, ...]
    cookies_new: tuple[str, ...]
    backends: tuple[BackendDraft, ...]
    listener: ListenerDraft | None
    error_pages: tuple[PageDraft, ...]
    identity: Identity
    attributes: tuple[Mentioned, ...]  # asked for by identity.region
    signing: tuple[Mentioned, ...]  # `file:PATH` or `env:NAME`
    register: Mentioned | None
    include: tuple[Mentioned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Which other files routes.yaml names; read leniently, so that a mistake elsewhere hides none of them."""

    include: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDraft:
    """One routes file.

    Attributes:
        readable: whether it is YAML at all; if not, no name may be called unknown.
        main: of routes.yaml, when nothing in it is wrong.
    """

    file: str
    readable: bool
    roster: Roster = Roster()
    main: MainDraft | None = None
    segments: tuple[SegmentDraft, ...] = ()
    areas: tuple[AreaDraft, ...] = ()
    complaints: tuple[Complaint, ...] = field(default=())


def roster_of(root: Node | None) -> Roster:
    """The files and variables that a routes file names."""
    include = [scalar.text for scalar in _scalars(_down(root, "include"))]
    files = [scalar.text for scalar in _scalars(_down(root, "accounts", "register"))]
    environment: list[str] = []
    segments = _down(root, "segments")
    if isinstance(segments, Mapping):
        for name in segments.entries:
            files += [scalar.text for scalar in _scalars(_down(segments, name, "accounts"))]
    tls = _down(root, "listener", "tls")
    pairs = _down(tls, "certificates")
    for pair in pairs.items if isinstance(pairs, Sequence) else [pairs]:
        files += [one.text for key in ("certificate", "key") for one in _scalars(_down(pair, key))]
    files += [scalar.text for scalar in _scalars(_down(tls, "client_ca"))]
    files += [scalar.text for scalar in _scalars(_down(root, "error_pages"))]
    secrets = _scalars(_down(root, "signing", "keys"))
    for backend in Backend:
        for key in ("ca", "certificate", "key"):
            files += [scalar.text for scalar in _scalars(_down(root, "backends", backend.value, "tls", key))]
        edits = [_down(root, "backends", backend.value, key, "set") for key in ("headers", "answer_headers")]
        secrets += [scalar for values in edits for scalar in _scalars(values)]
    for scalar in secrets:
        if scalar.text.startswith("file:"):
            files.append(scalar.text.removeprefix("file:").strip())
        elif scalar.text.startswith("env:"):
            environment.append(scalar.text.removeprefix("env:").strip())
    return Roster(include=_each_once(include), files=_each_once(files), environment=_each_once(environment))


def _down(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _scalars(node: Node | None) -> list[Scalar]:
    if isinstance(node, Scalar):
        return [node] if isinstance(node.value, str) and node.text else []
    if isinstance(node, Sequence):
        return [item for item in node.items if isinstance(item, Scalar) and item.text]
    if isinstance(node, Mapping):
        return [value for _, value in node.entries.values() if isinstance(value, Scalar) and value.text]
    return []


def _each_once(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
