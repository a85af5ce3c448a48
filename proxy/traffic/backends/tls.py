"""Certificates and keys as TLS uses them: contexts, made of a plan outside the loop and handed over with the generation.

OpenSSL reads files only, and a private key belongs into no plan: the plan names digests, the bytes stand in the state
directory. Contexts whose part of the plan didn't change are taken over, with the connections that they made.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from proxy.core.model import Backend
from proxy.core.plan import BackendSpec, BackendTls, KeyPair, Listener, ListenerTls

if TYPE_CHECKING:
    from proxy.core.generation import Generation

PathOf = Callable[[str], Path]
"""Where the file with a digest stands."""

_ALPN: Final = ["http/1.1"]
_MINIMUM: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_OURS: Final = BackendTls()


@dataclass(frozen=True, slots=True)
class ListenerContext:
    """How clients are met, and of what it was made."""

    made_of: ListenerTls
    context: ssl.SSLContext


@dataclass(frozen=True, slots=True, eq=False)
class BackendContext:
    """How a backend is met, and of what it was made; the same object as long as that didn't change."""

    made_of: BackendTls
    context: ssl.SSLContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """All contexts of one generation; None and nothing: everything is plain text."""

    listener: ListenerContext | None = None
    backends: Mapping[Backend, BackendContext] = field(default_factory=lambda: MappingProxyType({}))

    def for_endpoint(self, backend: Backend, url: str) -> BackendContext | None:
        """How an endpoint is met; None: in plain text."""
        return self.backends[backend] if _is_secure(url) else None


PLAIN: Final = Credentials()


def needs_credentials(generation: Generation) -> bool:
    """Whether anything of a generation is TLS."""
    return generation.listener.tls is not None or any(map(_has_secure, generation.backends.values()))


def load_credentials(generation: Generation, path_of: PathOf, former: Credentials = PLAIN) -> Credentials:
    """Make the contexts of a generation. Takes milliseconds for each, so call it in a thread.

    Args:
        generation: the one.
        path_of: where the file with a digest stands.
        former: what is in force; what didn't change is taken over.

    Raises:
        OSError: a file isn't there, or OpenSSL refuses it (`ssl.SSLError`).
    """
    return Credentials(
        listener=_of_listener(generation.listener, path_of, former.listener),
        backends=MappingProxyType(
            {
                name: _of_backend(spec.tls or _OURS, path_of, former.backends.get(name))
                for name, spec in generation.backends.items()
                if _has_secure(spec)
            }
        ),
    )


def _has_secure(spec: BackendSpec) -> bool:
    return any(map(_is_secure, spec.urls))


def _is_secure(url: str) -> bool:
    return url.startswith("https://")


def _of_listener(listener: Listener, path_of: PathOf, former: ListenerContext | None) -> ListenerContext | None:
    tls = listener.tls
    if tls is None or (former is not None and former.made_of == tls):
        return None if tls is None else former
    # Pairs for the same names are one certificate with keys of two kinds: OpenSSL chooses by what the client knows.
    by_names: dict[tuple[str, ...], list[KeyPair]] = {}
    for pair in tls.certificates:
        by_names.setdefault(pair.names, []).append(pair)
    contexts = [(names, _met_with(tls, pairs, path_of)) for names, pairs in by_names.items()]
    by_name: dict[str, ssl.SSLContext] = {}
    for names, context in contexts:
        for name in names:
            by_name.setdefault(name, context)
    first = contexts[0][1]
    if len(contexts) > 1:
        first.sni_callback = _Chooser(by_name)
    return ListenerContext(tls, first)


class _Chooser:
    """Chooses the certificate for the name that a client asks for: exact, else by wildcard, else the first."""

    __slots__ = ("_by_name",)

    def __init__(self, by_name: Mapping[str, ssl.SSLContext]) -> None:
        self._by_name = by_name

    def __call__(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            name = name.lower()
            found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
            if found is not None:
                connection.context = found


def _met_with(tls: ListenerTls, pairs: list[KeyPair], path_of: PathOf) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[tls.minimum]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(_ALPN)
    for pair in pairs:
        _load(context, pair, path_of)
    if tls.client_ca is not None:
        context.load_verify_locations(cafile=path_of(tls.client_ca.digest))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _of_backend(tls: BackendTls, path_of: PathOf, former: BackendContext | None) -> BackendContext:
    if former is not None and former.made_of == tls:
        return former
    return BackendContext(tls, backend_context(tls, path_of))


def backend_context(tls: BackendTls | None, path_of: PathOf) -> ssl.SSLContext:
    """The context that a backend is met with.

    Args:
        tls: None: nothing was written.
        path_of: where the file with a digest stands.

    Raises:
        OSError: a file isn't there, or OpenSSL refuses it (`ssl.SSLError`).
    """
    tls = tls or _OURS
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is not None:
        context.load_verify_locations(cafile=path_of(tls.ca.digest))
        # So that `ca` may name an intermediate, or the very certificate of a box that signed its own.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.load_default_certs()
    if tls.pair is not None:
        _load(context, tls.pair, path_of)
    return context


def _load(context: ssl.SSLContext, pair: KeyPair, path_of: PathOf) -> None:
    # An encrypted key would be asked for on the terminal: the password is given, and is none.
    context.load_cert_chain(path_of(pair.certificate.digest), path_of(pair.key.digest), password="")
