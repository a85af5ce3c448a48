"""A generation as traffic uses it: per backend a pool and the editors of heads. Replaced whole with its generation."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.core.answering import AnswerEditor
from proxy.core.faults import Party, party_of
from proxy.core.forwarding import RequestEditor
from proxy.core.mapback import MapBack
from proxy.core.model import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.generation import Generation
    from proxy.core.plan import BackendSpec
    from proxy.traffic.pool import Pool


class Outlet:
    """The way to one backend and back.

    Attributes:
        authority: stands in for the Host that a client of HTTP/1.0 left out.
        party: whose fault it is when the way is broken.
        requests: by whether the peer is trusted.
    """

    __slots__ = ("answers", "authority", "backend", "party", "pool", "requests")

    def __init__(self, generation: Generation, spec: BackendSpec, pool: Pool) -> None:
        settings = generation.settings
        of_legacy, of_new = settings.cookies_legacy, settings.cookies_new
        foreign = of_new if spec.name is Backend.LEGACY else of_legacy
        self.authority = urlsplit(spec.urls[0]).netloc.encode()
        self.backend = spec.name
        self.party: Party = party_of(spec.name)
        self.pool = pool
        self.requests = {
            trusted: RequestEditor(
                trusted=trusted,
                identity_headers=generation.identity_headers,
                isolated_cookies=foreign,
                set_headers=spec.headers_set,
                remove_headers=spec.headers_remove,
            )
            for trusted in (False, True)
        }
        back = MapBack(spec.name, origins=spec.urls, public_origin=settings.public_origin, isolated_cookies=foreign)
        self.answers = AnswerEditor(back)


class Wiring:
    """What a request reads once, and then lives in.

    Attributes:
        withholds: tells the trailer fields that pass to no backend; a body may be read before its backend is known.
    """

    __slots__ = ("generation", "outlets", "withholds")

    def __init__(self, generation: Generation, pools: Mapping[Backend, Pool]) -> None:
        self.generation = generation
        self.outlets = {
            backend: Outlet(generation, generation.backends[backend], pool) for backend, pool in pools.items()
        }
        strictest = RequestEditor(
            trusted=False,
            identity_headers=generation.identity_headers,
            remove_headers=[
                name
                for spec in generation.backends.values()
                for name in (*spec.headers_remove, *(name for name, _ in spec.headers_set))
            ],
        )
        self.withholds = strictest.withholds
