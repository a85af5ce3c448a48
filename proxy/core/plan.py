"""The plan: one configuration as canonical data, the only thing that control hands to workers.

A plan is text, one JSON record a line, in this order: settings, identity, listener, backends, error
pages, tables, segments, areas, routes (file order: it decides between equals), flags. Its name is the SHA-256 of those bytes. Encoding is
canonical: fields in declaration order, defaults left out, mappings as the config layer ordered them.

Anyone may lower a plan to something that runs: `proxy.core.generation` builds Python callables, `explain`
walks the same callables, another engine may write its own configuration from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import msgspec

from proxy.core.care.reaching import BreakerCare, Dns, EndpointCare, Patience, Probe, QueueCare, Retries
from proxy.core.deciding.signed import SigningKey
from proxy.core.limits import DEFAULT_LIMITS, Limits, Rate
from proxy.core.model import BUCKETING, Backend, Fallback

FORMAT = 1
"""The version of the records below; a worker refuses a plan of another format."""

ROLLBACK_DRAIN_S: Final = 10.0
"""Short against the wait of a person who rolled back, long enough for ten thousand clients not to come back at once."""

HANDSHAKE_S: Final = 10.0
"""HAProxy's and Envoy's order of size (`timeout http-request`, `transport_socket_connect_timeout`: 10 s); nginx has 60 s."""

SAMPLE_BP: Final = 100
"""One trace of a hundred, as Istio samples: enough to see every kind of request, and cheap."""

Logic = Any
"""A JsonLogic expression as JSON data: text, number, bool, null, list, or one-key mapping."""

SourceKind = Literal["header", "cookie", "path", "host", "account"]

KEEP: Final = "keep"
"""As a backend's `host`: what the client sent."""

ENDPOINTS_OWN: Final = "backend"
"""As a backend's `host`: the host and port of the endpoint that is asked."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A piece of a record."""


class _Record(_Part, frozen=True, kw_only=True, tag_field="kind"):
    """A line of a plan."""


SharedCache = Literal["private", "vary"]
"""What shared caches are told of answers that depend on who asks (`proxy.core.http.caching`)."""

Told = Literal["append", "replace", "off"]
"""How a field that says where a request came from is written (`proxy.core.http.provenance`)."""


class Forwarding(_Part, frozen=True, kw_only=True):
    """What backends and clients are told of the way between them."""

    trusted_from: tuple[str, ...] | None = None  # CIDR; None: whom `Identity` trusts
    hops: int | None = None  # of X-Forwarded-For and Forwarded, how many of the last are kept; None: all
    x_for: Told = "append"
    x_proto: Told = "append"
    x_host: Told = "append"
    x_port: Told = "off"
    forwarded: Told = "off"
    via: str | None = "strangler"  # the name this proxy has in Via; None: it isn't written
    via_answers: bool = False


class Tracing(_Part, frozen=True, kw_only=True):
    """What is done about traces of requests (docs/tracing.md)."""

    begin: bool = False  # a trace is begun for a request that belongs to none
    trusted_only: bool = False  # only peers in `identity.trusted_from` may say which trace a request belongs to
    sample_bp: int = SAMPLE_BP  # of the traces begun here
    export: str | None = None  # URL that spans are posted to


class Settings(_Record, frozen=True, kw_only=True, tag="settings"):
    """What holds for every request."""

    format: int
    bucketing: int
    otherwise: Backend
    public_origin: str | None = None  # scheme://host[:port], no trailing slash
    count_leaks: bool = True  # of inner hosts in answers, where there is a public origin
    cookies_legacy: tuple[str, ...] = ()  # names that belong to legacy alone
    cookies_new: tuple[str, ...] = ()
    rollback_drain_s: float = ROLLBACK_DRAIN_S  # over which tunnels and event streams that a rollback covers are ended
    forwarding: Forwarding = Forwarding()
    tracing: Tracing | None = None
    metrics_by_route: bool = False
    vary: tuple[str, ...] = ()  # names of the fields that requests are decided by, where an area's `cache` is `vary`
    limits: Limits = DEFAULT_LIMITS
    dns: Dns = Dns()
    account_rate: Rate | None = None  # of one account, where its area doesn't say
    signing_keys: tuple[SigningKey, ...] = ()  # of our own cookies: the first signs, all verify


class Source(_Part, frozen=True, kw_only=True):
    """One place where an account or region may stand, tried in the order written.

    `name` is a lower-case header name, a cookie name, a path pattern (`/accounts/{account}/**`), a host
    pattern (`{account}.shop.example`), or, for kind `account`, the name of an attribute in the register.
    """

    source: SourceKind
    name: str
    place: str


class Identity(_Record, frozen=True, kw_only=True, tag="identity"):
    """Who is asking, and who may say so."""

    trusted_from: tuple[str, ...] = ()  # CIDR
    account: tuple[Source, ...] = ()
    region: tuple[Source, ...] = ()
    visitors_s: int | None = None  # how long a visitor is known again; None: who has no account is nobody


class Pem(_Part, frozen=True, kw_only=True):
    """A file of certificates, or a private key: never its content, which stays in the state directory's `files/`."""

    file: str  # as written in routes.yaml
    digest: str  # SHA-256 of its bytes, in hex


class KeyPair(_Part, frozen=True, kw_only=True):
    """A certificate with its chain, and its private key."""

    certificate: Pem
    key: Pem
    names: tuple[str, ...] = ()  # of hosts, lower-case, `*.shop.example` for one label; for a choice by SNI


class ListenerTls(_Part, frozen=True, kw_only=True):
    """How clients are met over TLS; the first certificate serves who asks for none of the others' names."""

    certificates: tuple[KeyPair, ...]
    client_ca: Pem | None = None  # whose certificates a client must have; None: none is asked for
    minimum: Literal["1.2", "1.3"] = "1.2"


class Listener(_Record, frozen=True, kw_only=True, tag="listener"):
    """What connections of clients begin with; without any of it they begin with HTTP."""

    tls: ListenerTls | None = None
    handshake_s: float = HANDSHAKE_S  # for the PROXY header and the TLS handshake together
    proxy_protocol_from: tuple[str, ...] = ()  # CIDR: peers that tell by PROXY protocol who connected to them


class BackendTls(_Part, frozen=True, kw_only=True):
    """How the `https://` endpoints of a backend are met."""

    ca: Pem | None = None  # None: the system's
    pair: KeyPair | None = None  # what we show when we are asked who we are
    server_name: str | None = None  # asked for by SNI, and held against the certificate; None: the endpoint's host
    verify: bool = True


class BackendSpec(_Record, frozen=True, kw_only=True, tag="backend"):
    """How one of the two systems is reached. Seconds; `max_in_flight` is per node, None is unlimited."""

    name: Backend
    urls: tuple[str, ...]  # http://host:port or https://host:port, no path
    timeout_s: float = 20.0  # longest silence while waiting for the head or the next byte
    connect_s: float = 2.0
    total_s: float | None = None
    min_rate_bytes: int = 240  # a second, of an answer that announces its length; 0: off
    max_in_flight: int | None = None
    queue: QueueCare = QueueCare()
    breaker: BreakerCare = BreakerCare()
    headers_set: tuple[tuple[str, str], ...] = ()  # values already read from file: and env:
    headers_remove: tuple[str, ...] = ()
    tls: BackendTls | None = None  # None: as a BackendTls without anything written
    answer_headers_set: tuple[tuple[str, str], ...] = ()
    answer_headers_remove: tuple[str, ...] = ()
    care: EndpointCare = EndpointCare()
    retries: Retries = Retries()
    health: Probe | None = None
    host: str = KEEP  # told as Host: `keep` (the client's), `backend` (the endpoint's), or this
    place: str


class ErrorPage(_Record, frozen=True, kw_only=True, tag="error_page"):
    """What an answer of the proxy's own looks like (`proxy.core.http.errorpage`)."""

    status: str  # `502`, or `5xx` for every status of a class that has no page of its own
    content_type: str
    text: str


class TableRef(_Record, frozen=True, kw_only=True, tag="table"):
    """A mapped file of accounts, named by the SHA-256 of its bytes (`proxy.core.table`)."""

    digest: str
    file: str  # as written in routes.yaml
    entries: int


class Segment(_Record, frozen=True, kw_only=True, tag="segment"):
    """A named set of accounts or condition. Keys that are given must all hold; lists mean any of.

    A segment names only segments that stand before it in the plan.
    """

    name: str
    place: str
    accounts: str | None = None  # a table's digest
    attributes: dict[str, tuple[str, ...]] | None = None
    regions: tuple[str, ...] | None = None
    any_of: tuple[str, ...] | None = None
    all_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] | None = None


class Register(_Record, frozen=True, kw_only=True, tag="register"):
    """The known accounts with their attributes: a table whose values are JSON objects of text."""

    table: str


class Area(_Record, frozen=True, kw_only=True, tag="area"):
    """A business capability that moves as one."""

    name: str
    place: str
    owner: str | None = None
    runbook: str | None = None
    flag: str  # the flag's key; the area's name when none was written
    flag_place: str | None = None  # where `flag:` is written; None: implied
    fallback: Fallback = Fallback.NEVER
    retired: bool = False
    cache: SharedCache | None = None
    pin_s: float | None = None  # how long clients stay with the system where they began; None: they aren't pinned
    body_bytes: int | None = None  # what a request's body may come to; 0: anything; None: as the settings' limits say
    account_rate: Rate | None = None  # None: as the settings say
    total_rate: Rate | None = None
    patience: dict[Backend, Patience] | None = None  # with each system, where it isn't the backend's own


class Route(_Record, frozen=True, kw_only=True, tag="route"):
    """What belongs to an area. Keys that are given must all hold; lists mean any of."""

    id: str  # AREA/ID
    area: str
    place: str
    host: str | None = None  # lower-case; `*.shop.example` is a wildcard
    path: str  # `/orders/{id}`, `/api/orders/**`, `regex:…`
    methods: tuple[str, ...] | None = None
    headers: dict[str, tuple[str, ...]] | None = None  # lower-case names; any of the exact values
    query: dict[str, tuple[str, ...]] | None = None
    cookies: dict[str, tuple[str, ...]] | None = None
    segment: tuple[str, ...] | None = None
    region: tuple[str, ...] | None = None
    account: tuple[str, ...] | None = None
    to: Backend | None = None
    rewrite_legacy: str | None = None
    rewrite_new: str | None = None
    patience: dict[Backend, Patience] | None = None  # where it isn't the area's


class Clause(_Part, frozen=True, kw_only=True):
    """One step of a flag: the first clause whose predicate holds gives the outcome.

    `when` None holds always. `then` is text (a variant), null (the default), `{"fractional": […]}`, or any
    other expression that gives a variant's name. `$ref`s are already replaced by what they name.
    """

    id: str  # position from 1
    place: str
    when: Logic = None
    then: Logic = None


class Flag(_Record, frozen=True, kw_only=True, tag="flag"):
    """A flagd flag, compiled to clauses."""

    key: str
    place: str
    enabled: bool
    variants: dict[str, Any]  # name → value; only the values "new" and "legacy" name a backend
    default: str | None = None
    clauses: tuple[Clause, ...] = ()
    managed: bool = False  # the shape that `canary` writes (docs/flags.md)


Record = Settings | Identity | Listener | BackendSpec | ErrorPage | TableRef | Register | Segment | Area | Route | Flag

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration, in memory, before it is written or after it is read."""

    settings: Settings
    identity: Identity
    listener: Listener = Listener()
    backends: tuple[BackendSpec, ...]  # legacy, new
    error_pages: tuple[ErrorPage, ...] = ()
    tables: tuple[TableRef, ...] = ()
    register: Register | None = None
    segments: tuple[Segment, ...] = ()
    areas: tuple[Area, ...] = ()
    routes: tuple[Route, ...] = ()
    flags: tuple[Flag, ...] = ()

    def records(self) -> Iterator[Record]:
        """Every record in canonical order."""
        yield self.settings
        yield self.identity
        if self.listener != Listener():
            yield self.listener
        yield from self.backends
        yield from self.error_pages
        yield from self.tables
        if self.register is not None:
            yield self.register
        yield from self.segments
        yield from self.areas
        yield from self.routes
        yield from self.flags


def new_settings(*, otherwise: Backend, **rest: Any) -> Settings:
    """Settings of the current format and bucketing."""
    return Settings(format=FORMAT, bucketing=BUCKETING, otherwise=otherwise, **rest)


def encode_plan(plan: Plan) -> bytes:
    """The canonical text of a plan: what is hashed, written and mapped."""
    return _encoder.encode_lines(plan.records())


def plan_name(text: bytes) -> str:
    """The plan's content address: 64 hex digits. People are shown the first 12."""
    return hashlib.sha256(text).hexdigest()


def decode_record(line: bytes) -> Record:
    """One line back to a record.

    Raises:
        msgspec.ValidationError: the line is of another format or damaged.
    """
    return _decoder.decode(line)


def decode_plan(text: bytes) -> Plan:
    """A plan back from its canonical text (used off the traffic path; workers decode line by line)."""
    return gather(decode_record(line) for line in text.splitlines())


def gather(records: Iterable[Record]) -> Plan:
    """Sort records by kind into a plan.

    Raises:
        ValueError: settings or identity are missing.
    """
    kinds: dict[type[Any], list[Any]] = {}
    for record in records:
        kinds.setdefault(type(record), []).append(record)
    try:
        (settings,), (identity,) = kinds[Settings], kinds[Identity]
    except (KeyError, ValueError):
        raise ValueError("a plan has exactly one settings and one identity record") from None
    register = kinds.get(Register, [None])
    (listener,) = kinds.get(Listener, [Listener()])
    return Plan(
        settings=settings,
        identity=identity,
        listener=listener,
        backends=tuple(kinds.get(BackendSpec, ())),
        error_pages=tuple(kinds.get(ErrorPage, ())),
        tables=tuple(kinds.get(TableRef, ())),
        register=register[0],
        segments=tuple(kinds.get(Segment, ())),
        areas=tuple(kinds.get(Area, ())),
        routes=tuple(kinds.get(Route, ())),
        flags=tuple(kinds.get(Flag, ())),
    )
