"""The files of TLS, read and held against each other: what they say goes into the plan, and nothing of what is secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from proxy.config.edges.pem import BadPem, Chain, read_authorities, read_chain, read_key, refused_pair
from proxy.config.problems import Complaint, Report, quoted
from proxy.config.text.fileset import normal_name
from proxy.core.plan import BackendSpec, KeyPair, Listener, ListenerTls, Pem

if TYPE_CHECKING:
    from proxy.config.routes.drafts import BackendDraft, ListenerDraft, Mentioned, PairDraft
    from proxy.config.text.cache import Cache
    from proxy.config.text.fileset import File, FileSet

T = TypeVar("T")

WARNED_DAYS: Final = 14
"""Before a certificate ends. ACME clients renew 30 days before it: whoever still has it then has a renewal that fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A certificate in use."""

    file: Mentioned
    names: tuple[str, ...]  # none: an authority
    until: datetime


class Credentials:
    """Reads what the drafts name.

    Attributes:
        complaints: what files fail at by themselves.
        standing: every certificate that could be read.
    """

    def __init__(self, files: FileSet, cache: Cache, report: Report) -> None:
        """Read nothing yet.

        Args:
            files: the set.
            cache: keeps what was made of files that don't change.
            report: of routes.yaml, for what only files together can tell.
        """
        self.complaints: list[Complaint] = []
        self.standing: list[Standing] = []
        self._files = files
        self._cache = cache
        self._report = report

    def of_listener(self, draft: ListenerDraft | None) -> Listener:
        """The listener; without TLS when a file of it is wrong, and then there is no plan."""
        if draft is None:
            return Listener()
        pairs = [self._pair(one) for one in draft.certificates]
        certificates = tuple(one for one in pairs if one is not None)
        authority = self._authorities(draft.client_ca)
        if not certificates:
            return draft.record
        tls = ListenerTls(certificates=certificates, client_ca=authority, minimum=draft.minimum)
        return msgspec.structs.replace(draft.record, tls=tls)

    def of_backend(self, draft: BackendDraft, spec: BackendSpec) -> BackendSpec:
        """The backend with its TLS."""
        written = draft.tls
        if written is None:
            return spec
        pair = self._pair(written.pair) if written.pair is not None else None
        tls = msgspec.structs.replace(written.record, ca=self._authorities(written.ca), pair=pair)
        return msgspec.structs.replace(spec, tls=tls)

    def _pair(self, draft: PairDraft) -> KeyPair | None:
        one, other = self._file(draft.certificate), self._file(draft.key)
        if one is None or other is None:
            return None
        chain = self._read(draft.certificate, one, "bad-certificate", read_chain)
        public = self._read(draft.key, other, "bad-private-key", read_key)
        if chain is None or public is None:
            return None
        self.standing.append(Standing(file=draft.certificate, names=chain.names, until=chain.until))
        if chain.public != public:
            self._tell_wrong_key(draft, chain)
            return None
        why: str | None = self._cache.get(
            ("refused-pair", one.hash, other.hash), lambda: refused_pair(one.content, other.content)
        )
        if why is not None:
            told = f"OpenSSL refuses this certificate with its key: {why}; get one with a longer key or a newer digest"
            self._tell("refused-certificate", draft, told)
            return None
        return KeyPair(certificate=_pem(draft.certificate, one), key=_pem(draft.key, other), names=chain.names)

    def _tell_wrong_key(self, draft: PairDraft, chain: Chain) -> None:
        told = (
            f"{quoted(draft.key.name)} isn't the private key of the certificate in {quoted(draft.certificate.name)}"
            f"{_of(chain.names)}; put both of one request there"
        )
        self._tell("wrong-private-key", draft, told)

    def _tell(self, code: str, draft: PairDraft, told: str) -> None:
        others = (normal_name(draft.certificate.name), normal_name(draft.key.name))
        self._report.tell(code, draft.key.mark, draft.key.where, told, others=others)

    def _authorities(self, mention: Mentioned | None) -> Pem | None:
        file = None if mention is None else self._file(mention)
        if mention is None or file is None:
            return None
        until = self._read(mention, file, "bad-certificate", read_authorities)
        if until is None:
            return None
        self.standing.append(Standing(file=mention, names=(), until=until))
        return _pem(mention, file)

    def _file(self, mention: Mentioned) -> File | None:
        name = normal_name(mention.name)
        file = self._files.files.get(name)
        if file is None:
            told = f"there is no file {quoted(mention.name)}; paths are relative to {self._files.routes}"
            self._report.tell("missing-file", mention.mark, mention.where, told, others=(name,))
            return None
        if file.trouble is not None:
            self._alone(name, "unreadable-file", f"can't be read: {file.trouble}")
            return None
        return file

    def _read(self, mention: Mentioned, file: File, code: str, read: Callable[[bytes], T]) -> T | None:
        def attempt() -> T | BadPem:
            try:
                return read(file.content)
            except BadPem as bad:
                return bad

        found: T | BadPem = self._cache.get((read.__name__, file.hash), attempt)
        if isinstance(found, BadPem):
            self._alone(normal_name(mention.name), code, str(found))
            return None
        return found

    def _alone(self, name: str, code: str, text: str) -> None:
        report = Report(name)
        report.tell(code, None, "", text)
        self.complaints += report.complaints


def tell_expiring(certificates: Iterable[Standing], today: date | None, report: Report) -> None:
    """Tell certificates that are, or will soon be, refused by whoever looks at the calendar."""
    if today is None:
        return
    for one in certificates:
        ends = one.until.date()
        days = (ends - today).days
        what = f"the certificate in {quoted(one.file.name)}{_of(one.names)}"
        if days < 0:
            told = f"{what} expired on {ends}, and is refused; put a new one there, it is in force at once"
            report.tell("certificate-expired", one.file.mark, one.file.where, told)
        elif days <= WARNED_DAYS:
            left = f"in {days} day{'' if days == 1 else 's'}" if days else "today"
            told = f"{what} expires {left}, on {ends}; put a new one there, it is in force at once"
            report.tell("certificate-expires", one.file.mark, one.file.where, told)


def _pem(mention: Mentioned, file: File) -> Pem:
    return Pem(file=mention.name, digest=file.hash)


def _of(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f" for {shown}" if shown else ""
