"""The limits of routes.yaml: one row each, from which come the keys, the reader, and the table of docs/traffic.md.

Part of `shapes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.config.kinds import Fields, Key, Kind, Shape
from proxy.config.quantities import OFF, Duration, Size, Whole, duration_text, size_text
from proxy.core.limits import DEFAULT_LIMITS, KIB, Limit, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIB: Final = KIB * KIB
_TIB: Final = _MIB * _MIB
_MOST: Final = 1_000_000

_BODY_SIZE: Final = Size(1, _TIB, may_be_off=True)
_RATE: Final = Size(1, 100 * _MIB, may_be_off=True)
_LINE: Final = Size(256, _MIB)
_HEAD: Final = Size(1024, 16 * _MIB)
_BUFFER: Final = Size(1, 16 * _MIB)
_FIELDS: Final = Whole(10, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One limit.

    Attributes:
        limit: its key.
        field: its name in `Limits`, which also has the default.
        of: what it bounds, for people.
        then: what happens beyond it.
        precedent: who has which, and why ours is another.
        default: where the value in `Limits` doesn't say it.
    """

    limit: Limit
    field: str
    kind: Kind[Any]
    of: str
    then: str
    precedent: str
    default: str | None = None

    @property
    def key(self) -> Key[Any]:
        """The key of routes.yaml."""
        return Key(name=self.limit.value, kind=self.kind, default=self.without, meaning=f"{self.of}: {self.then}.")

    @property
    def without(self) -> str:
        """The default, for people."""
        value = getattr(DEFAULT_LIMITS, self.field)
        if self.default is not None:
            return self.default
        if value == OFF:
            return "`off`"
        match self.kind:
            case Size():
                return f"`{size_text(value)}`"
            case Duration():
                return f"`{duration_text(value)}`"
            case _:
                return f"`{value}`"


ROWS: Final = (
    # -- what a request may be
    Row(
        limit=Limit.HEAD,
        field="head_bytes",
        kind=_HEAD,
        of="A request's head",
        then="431",
        precedent="Envoy 60 KiB, nginx 4 × 8 KiB, Node.js 16 KiB",
    ),
    Row(
        limit=Limit.REQUEST_LINE,
        field="request_line_bytes",
        kind=_LINE,
        of="A request's first line",
        then="414",
        precedent="IIS 16 KiB; nginx, Apache 8 KiB",
    ),
    Row(
        limit=Limit.HEADERS,
        field="header_count",
        kind=_FIELDS,
        of="Header lines of a request",
        then="431",
        precedent="Apache, Envoy 100; HAProxy 101",
    ),
    Row(
        limit=Limit.BODY,
        field="body_bytes",
        kind=_BODY_SIZE,
        of="A request's body, without its framing; an area may have its own",
        then="413, before a backend hears of it when its length is announced; one in chunks is cut at both sides",
        precedent="HAProxy, Envoy, Caddy none; nginx 1 MiB; what is in front must not refuse what is behind takes",
    ),
    Row(
        limit=Limit.CHUNK_LINE,
        field="chunk_line_bytes",
        kind=_LINE,
        of="The line in front of a chunk, of request or answer",
        then="400 or a cut",
        precedent="Go 4 KiB",
    ),
    Row(
        limit=Limit.CHUNK_EXTENSIONS,
        field="chunk_extensions_bytes",
        kind=_LINE,
        of="All chunk extensions of a body",
        then="400 or a cut",
        precedent="Node.js, hyper 16 KiB (CVE-2024-22019)",
    ),
    Row(
        limit=Limit.TRAILERS,
        field="trailers_bytes",
        kind=_LINE,
        of="The trailers of a body",
        then="431 or a cut",
        precedent="hyper 16 KiB",
    ),
    Row(
        limit=Limit.TRAILER_FIELDS,
        field="trailer_count",
        kind=_FIELDS,
        of="Trailer lines of a body",
        then="431 or a cut",
        precedent="as `headers`",
    ),
    # -- how long a client may take
    Row(
        limit=Limit.HEAD_TIMEOUT,
        field="head_s",
        kind=Duration(),
        of="A request's whole head, from its first byte",
        then="408",
        precedent="nginx `client_header_timeout` 60 s",
    ),
    Row(
        limit=Limit.BODY_TIMEOUT,
        field="body_s",
        kind=Duration(),
        of="The next byte of a request's body, while the backend would take it",
        then="408, or a cut once an answer began",
        precedent="nginx `client_body_timeout` 60 s",
    ),
    Row(
        limit=Limit.MIN_RATE,
        field="min_rate_bytes",
        kind=_RATE,
        of="Bytes a second that a client at least gives of a body, or takes of an answer, on average over "
        "`body_timeout` or `stall` of being waited for",
        then="408, or a cut once an answer began",
        precedent="IIS and Kestrel 240; Apache `RequestReadTimeout` 500; judged like curl's `--speed-limit`",
    ),
    Row(
        limit=Limit.STALL,
        field="client_stall_s",
        kind=Duration(),
        of="A client that takes nothing of its answer",
        then="a cut",
        precedent="nginx `send_timeout` 60 s",
    ),
    Row(
        limit=Limit.IDLE,
        field="idle_s",
        kind=Duration(),
        of="The next request on a connection",
        then="a close",
        precedent="nginx `keepalive_timeout` 75 s",
    ),
    Row(
        limit=Limit.LINGER,
        field="linger_s",
        kind=Duration(),
        of="A client to notice that what it still sends isn't wanted",
        then="a reset",
        precedent="nginx `lingering_timeout` 5 s",
    ),
    # -- how many connections
    Row(
        limit=Limit.REQUESTS_PER_CONNECTION,
        field="requests_per_connection",
        kind=Whole(1, 1_000_000_000, may_be_off=True),
        of="Requests of one connection",
        then="the last is answered with `Connection: close`, so that clients spread anew",
        precedent="HAProxy, Envoy none; nginx 1 000, as its connections grow with each request",
    ),
    Row(
        limit=Limit.CONNECTIONS,
        field="connections",
        kind=Whole(1, 10_000_000),
        default="half of the file descriptors that each worker may have beyond 64",
        of="Connections of clients, per node (a worker gets its part, rounded up)",
        then="the longest idle are closed, and new ones wait in the kernel's queue until one ends",
        precedent="HAProxy `maxconn`, computed from the descriptors, and its queue; nginx closes idle ones",
    ),
    Row(
        limit=Limit.CONNECTIONS_PER_CLIENT,
        field="connections_per_client",
        kind=Whole(1, _MOST, may_be_off=True),
        of="Connections of one address (of IPv6: one /64) on each worker; peers in `trusted_from` have no limit",
        then="429 at once, and beyond twice as many a reset; as many again may be shaking hands, others are closed",
        precedent="nginx `limit_conn`, HAProxy `src_conn_cur`, off: a company's clients share an address",
    ),
    Row(
        limit=Limit.PIPELINED,
        field="pipelined_bytes",
        kind=_BUFFER,
        of="Bytes read ahead of the request in flight, or sent before a WebSocket is granted",
        then="the client isn't read until there is room",
        precedent="nginx 4 × 8 KiB, HAProxy 16 KiB",
    ),
    # -- what a backend may do
    Row(
        limit=Limit.ANSWER_HEAD,
        field="answer_head_bytes",
        kind=_HEAD,
        of="An answer's head",
        then="502",
        precedent="Envoy 60 KiB, HAProxy 16 KiB",
    ),
    Row(
        limit=Limit.ANSWER_HEADERS,
        field="answer_header_count",
        kind=_FIELDS,
        of="Header lines of an answer",
        then="502",
        precedent="Envoy 100, HAProxy 101; more here: one `Set-Cookie` a line",
    ),
    Row(
        limit=Limit.INTERIM_ANSWERS,
        field="interim_answers",
        kind=Whole(1, 1000),
        of="1xx answers before the final one",
        then="502",
        precedent="Go 5; curl and hyper any number",
    ),
    Row(
        limit=Limit.REPLAY,
        field="replay_bytes",
        kind=_BUFFER,
        of="What is kept of a body to send it a second time",
        then="more isn't sent again",
        precedent="nginx and Envoy buffer more, and need memory for it",
    ),
    Row(
        limit=Limit.BACKEND_IDLE,
        field="backend_idle_s",
        kind=Duration(),
        of="The next request on a connection to a backend",
        then="a close",
        precedent="nginx upstream `keepalive_timeout` 60 s",
    ),
    # -- WebSockets
    Row(
        limit=Limit.TUNNEL_IDLE,
        field="tunnel_idle_s",
        kind=Duration(),
        of="A byte in either direction of a WebSocket",
        then="a close",
        precedent="Envoy 1 h, and HAProxy's advice for `timeout tunnel`; nginx 60 s, but what ran without pings must run on",
    ),
    Row(
        limit=Limit.TUNNEL_HALF_CLOSED,
        field="tunnel_half_closed_s",
        kind=Duration(),
        of="The same after one side has ended",
        then="a close",
        precedent="HAProxy `timeout client-fin` and `server-fin`",
    ),
    # -- rates
    Row(
        limit=Limit.RATED_ACCOUNTS,
        field="rated_accounts",
        kind=Whole(64, _MOST),
        of="Accounts whose [`rate`](routes.md#rate) a worker remembers, each some 250 bytes",
        then="who made no request for longest is forgotten, claimed ones before verified ones, and may make its burst anew",
        precedent="nginx `limit_req_zone`, where 16 000 take 1 MiB",
    ),
)

LIMITS: Final = Shape("limits", [row.key for row in ROWS])
LIMITS_KEY = Key(
    name="limits", kind=LIMITS, default="the defaults", meaning="What a client or a backend may ask of the proxy."
)
AREA_BODY = Key(
    name="body",
    kind=_BODY_SIZE,
    default="`limits.body`",
    meaning="What a request's body may come to here; more is 413.",
)
BACKEND_MIN_RATE = Key(
    name="min_rate",
    kind=_RATE,
    default="`240B`",
    meaning="Bytes a second that it takes of a request, or gives of an answer that announces its length, at least, on average "
    "over `timeout`; fewer end the exchange.",
)


def draft_limits(fields: Fields | None) -> Limits:
    """The limits: what is written, and for the rest the defaults."""
    written: Mapping[str, Any] = fields.values if fields is not None else {}
    made = Limits(**{row.field: value for row in ROWS if (value := written.get(row.limit.value)) is not None})
    return DEFAULT_LIMITS if made == DEFAULT_LIMITS else made  # the very object, which a plan leaves out
