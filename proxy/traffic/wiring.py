"""A generation as traffic uses it: per backend a pool and the editors of heads. Replaced whole with its generation."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.core.http.answering import AnswerEditor
from proxy.core.http.forwarding import RequestEditor
from proxy.core.http.leaks import InnerHosts
from proxy.core.http.mapback import MapBack
from proxy.core.http.ports import DEFAULT_PORTS
from proxy.core.model import Backend
from proxy.core.plan import ENDPOINTS_OWN, KEEP
from proxy.core.telling.faults import Party, party_of
from proxy.traffic.exchanges.ourcookies import OUR_COOKIES, our_cookies
from proxy.traffic.telling.tracing import FIELDS, Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.generation import Generation
    from proxy.core.plan import BackendSpec
    from proxy.traffic.backends.endpoint import Endpoint
    from proxy.traffic.backends.pool import Pool
    from proxy.traffic.clients.caps import Capping, Caps
    from proxy.traffic.telling.leaks import Leaks


def _authority(url: str) -> bytes:
    """An endpoint's host and port as a client writes them in Host: without the port that its scheme has anyway."""
    parts = urlsplit(url)
    plain = parts.netloc.removesuffix(f":{parts.port}")
    return (plain if parts.port == DEFAULT_PORTS[parts.scheme] else parts.netloc).encode()


def _inner_hosts(generation: Generation) -> InnerHosts | None:
    """What to look for in answers: nothing, unless the public origin says what may be there instead."""
    settings = generation.settings
    if settings.public_origin is None or not settings.count_leaks:
        return None
    return InnerHosts([url for spec in generation.backends.values() for url in spec.urls], settings.public_origin)


class Outlet:
    """The way to one backend and back.

    Attributes:
        authority: stands in for the Host that a client of HTTP/1.0 left out.
        authorities: of each endpoint's URL, where requests name their endpoint's own and these differ.
        party: whose fault it is when the way is broken.
        requests: by the kind of peer (`Wiring.judge`).
        tells_trace: whether the backend hears of a request's trace from the tracer; its own `headers` go before.
    """

    __slots__ = ("answers", "authorities", "authority", "backend", "party", "pool", "requests", "tells_trace")

    def __init__(self, generation: Generation, spec: BackendSpec, pool: Pool, leaks: Leaks) -> None:
        settings = generation.settings
        of_legacy, of_new = settings.cookies_legacy, settings.cookies_new
        foreign = of_new if spec.name is Backend.LEGACY else of_legacy
        if settings.signing_keys:  # ours are no backend's business, and none may set them
            foreign = (*foreign, *OUR_COOKIES)
        authorities = {url: _authority(url) for url in spec.urls}
        self.authority = authorities[spec.urls[0]]
        self.backend = spec.name
        self.party: Party = party_of(spec.name)
        self.pool = pool
        edited = {name.lower() for name in (*spec.headers_remove, *(name for name, _ in spec.headers_set))}
        self.tells_trace = edited.isdisjoint(FIELDS)
        untraced = () if settings.tracing is None else FIELDS  # the tracer writes them anew
        self.requests = tuple(
            RequestEditor(
                trusted=trusted,
                believed=believed,
                scheme=scheme,
                identity_headers=generation.identity_headers,
                isolated_cookies=foreign,
                set_headers=spec.headers_set,
                remove_headers=(*spec.headers_remove, *untraced),
                host=spec.host,
                forwarding=settings.forwarding,
            )
            for scheme in (b"http", b"https")
            for believed in (False, True)
            for trusted in (False, True)
        )
        several = spec.host == ENDPOINTS_OWN and len(set(authorities.values())) > 1
        self.authorities = authorities if several else None
        told = {ENDPOINTS_OWN: [authority.decode() for authority in authorities.values()], KEEP: []}
        back = MapBack(
            spec.name,
            origins=spec.urls,
            told_hosts=told.get(spec.host, [spec.host]),
            public_origin=settings.public_origin,
            isolated_cookies=foreign,
        )
        self.answers = AnswerEditor(
            back,
            set_headers=spec.answer_headers_set,
            remove_headers=spec.answer_headers_remove,
            via=settings.forwarding.via if settings.forwarding.via_answers else None,
            inner=_inner_hosts(generation),
            leaked=lambda found: leaks.found(spec.name, found),
        )

    def tell_host(self, message: bytes, endpoint: Endpoint) -> bytes:
        """The message with its endpoint's own Host, where there are several: the Host line is the first."""
        if self.authorities is None:
            return message
        start, _, rest = message.partition(b"\r\n")
        return b"\r\n".join((start, b"Host: " + self.authorities[endpoint.url], rest.partition(b"\r\n")[2]))


class Wiring:
    """What a request reads once, and then lives in.

    Attributes:
        caps: on how many requests may come; None: there are none.
        cookies: gives clients cookies of ours; None: nobody gets any.
        limits: of what its exchanges hold or pass on.
        tracer: None: traces pass as they came.
        withholds: tells the trailer fields that pass to no backend; a body may be read before its backend is known.
    """

    __slots__ = ("caps", "cookies", "generation", "limits", "outlets", "tracer", "withholds")

    def __init__(self, generation: Generation, pools: Mapping[Backend, Pool], leaks: Leaks, caps: Caps) -> None:
        self.generation = generation
        self.caps: Capping | None = caps.of(generation)
        self.cookies = our_cookies(generation)
        self.limits = generation.settings.limits
        tracing = generation.settings.tracing
        self.tracer = None if tracing is None else Tracer(tracing)
        self.outlets = {
            backend: Outlet(generation, generation.backends[backend], pool, leaks) for backend, pool in pools.items()
        }
        strictest = RequestEditor(
            trusted=False,
            identity_headers=generation.identity_headers,
            remove_headers=[
                *(() if tracing is None else FIELDS),
                *(
                    name
                    for spec in generation.backends.values()
                    for name in (*spec.headers_remove, *(name for name, _ in spec.headers_set))
                ),
            ],
        )
        self.withholds = strictest.withholds

    def judge(self, address: str, scheme: bytes) -> tuple[bool, int]:
        """What the peer at an IP address may say, and how it came.

        Returns:
            Whether it is trusted to say who asks; and what kind of peer it is, the index of its editors: 1 for that,
            2 for being believed as to where its requests came from, 4 for TLS.
        """
        trusted = self.generation.trusts(address)
        believed = self.generation.believes(address, trusted=trusted)
        return trusted, trusted | believed << 1 | (scheme == b"https") << 2
