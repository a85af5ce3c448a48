"""A generation: a plan lowered to what one worker runs, built in steps so that no loop turn is long."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final

from proxy.core.deciding.conditions import lower_conditions
from proxy.core.deciding.identity import LiveSource
from proxy.core.deciding.match import Hosts, LiveRoute, Trie
from proxy.core.deciding.networks import Networks, lies_in, networks
from proxy.core.deciding.pattern import parse_path, parse_rewrite
from proxy.core.deciding.pins import Pins
from proxy.core.deciding.segments import LiveSegment, lower_segment
from proxy.core.deciding.visitors import Visitors
from proxy.core.deciding.waits import waits_of_route
from proxy.core.http.caching import Private, Varying
from proxy.core.http.errorpage import LiveErrorPage
from proxy.core.model import BUCKETING, Backend
from proxy.core.plan import (
    FORMAT,
    Area,
    BackendSpec,
    ErrorPage,
    Flag,
    Identity,
    Listener,
    Register,
    Route,
    Segment,
    Settings,
    TableRef,
    decode_record,
)
from proxy.core.table import Table
from proxy.core.targeting.flags import LiveFlag

# Spellings of Host remembered with their tries. Full, it starts anew: a hostile client neither fills it nor spoils it.
_HOSTS_KEPT: Final = 1024
_LONGEST_HOST_BYTES: Final = 255  # a name that DNS holds is no longer (RFC 1035 §2.3.4)

_PRIVATE: Final = Private()

OpenTable = Callable[[str], memoryview]
HostEntry = tuple[str, tuple[Trie, ...]]


class Generation:
    """What a request reads: complete, never changed after it is built, replaced by one assignment.

    Attributes:
        number: counts the swaps of a node, from 1; the same plan may come back under a new number.
        plan: the plan's name (64 hex digits).
        identity_headers: lower-case names of the headers that `header:` sources read; they are removed
            from requests whose peer isn't trusted.
        now_s: the clock that timed flags and signed cookies go by, in Unix seconds.
        pins: keeps clients where they began; None: no area wants that.
        visitors: knows who comes back without an account; None: nobody is known so.
    """

    def __init__(self, number: int, plan: str, now_s: Callable[[], float]) -> None:
        self.number = number
        self.plan = plan
        self.now_s: Callable[[], float] = now_s
        self.settings: Settings
        self.identity: Identity
        self.listener = Listener()
        self.backends: dict[Backend, BackendSpec] = {}
        self.error_pages: dict[str, LiveErrorPage] = {}
        self.areas: dict[str, Area] = {}
        self.routes: dict[str, LiveRoute] = {}
        self.flags: dict[str, LiveFlag] = {}
        self.segments: dict[str, LiveSegment] = {}
        self.tables: dict[str, TableRef] = {}
        self.register: Table | None = None
        self.account_sources: tuple[LiveSource, ...] = ()
        self.region_sources: tuple[LiveSource, ...] = ()
        self.identity_headers: frozenset[bytes] = frozenset()
        self.visitors: Visitors | None = None
        self.pins: Pins | None = None
        self._trusted: Networks = ()
        self._believed: Networks | None = None  # None: those that are trusted
        self._hosts = Hosts()
        self._host_entries: dict[bytes, HostEntry] = {}

    def trusts(self, address: str) -> bool:
        """Whether a peer's IP address lies in `identity.trusted_from`; asked once per connection and generation."""
        return lies_in(address, self._trusted)

    def believes(self, address: str, *, trusted: bool) -> bool:
        """Whether a peer, trusted or not, is believed as to where its requests came from (`forwarding.trusted_from`)."""
        return trusted if self._believed is None else lies_in(address, self._believed)

    def error_page(self, status: int) -> LiveErrorPage | None:
        """What an answer of the proxy's own with this status looks like; None: as `proxy.traffic.exchanges.refusal` has it."""
        pages = self.error_pages
        return (pages.get(str(status)) or pages.get(f"{status // 100}xx")) if pages else None

    def host_entry(self, raw: bytes) -> HostEntry:
        """A Host as written → (lower-case name without port and final dot, its tries)."""
        entry = self._host_entries.get(raw)
        if entry is None:
            host = _host_name(raw)
            entry = (host, self._hosts.look_up(host))
            if len(raw) <= _LONGEST_HOST_BYTES:
                if len(self._host_entries) >= _HOSTS_KEPT:
                    self._host_entries.clear()
                self._host_entries[raw] = entry
        return entry

    def dismantle(self) -> Iterator[None]:
        """Take apart what only look-ups need, a step at a time.

        For a generation that was replaced: exchanges still in flight keep their route and backends.
        """
        self._host_entries = {}
        for trie in self._hosts.tries():
            yield from trie.dismantle()
        for kept in (self.routes, self.flags, self.segments):
            while kept:
                kept.popitem()
                yield


def assemble(
    text: bytes, open_table: OpenTable, *, number: int, name: str, now_s: Callable[[], float]
) -> Generator[None, None, Generation]:
    """Build a generation record by record; the caller decides how many steps fit in a loop turn.

    Args:
        text: a plan's canonical text.
        open_table: gives the mapped bytes of the table with a digest.
        number: the generation's number.
        name: the plan's name.
        now_s: the clock that timed flags read.

    Raises:
        msgspec.ValidationError, ValueError: the plan is damaged or of another format.
    """
    generation = Generation(number, name, now_s)
    build = _Builder(generation, open_table)
    # Flags stand last in a plan but routes point to them, so routes wait until everything else is there.
    routes: list[bytes] = []
    for line in _lines(text):
        if line.startswith(_ROUTE_LINE):
            routes.append(line)
        else:
            build.add(line)
            yield
    build.check()
    for line in routes:
        build.add(line)
        yield
    for trie in generation._hosts.tries():  # noqa: SLF001  the builder is part of this module
        trie.seal()
        yield
    return generation


def _lines(text: bytes) -> Iterator[bytes]:
    """The lines one by one: `splitlines` takes milliseconds for a plan of 10 000 routes, all in one step."""
    start = 0
    while (end := text.find(b"\n", start)) >= 0:
        yield text[start:end]
        start = end + 1


_ROUTE_LINE: Final = b'{"kind":"route",'


class _Builder:
    def __init__(self, generation: Generation, open_table: OpenTable) -> None:
        self._made = generation
        self._open_table = open_table
        self._tables: dict[str, Table] = {}
        self._pinning = False  # an area wants pins

    def add(self, line: bytes) -> None:
        made = self._made
        record = decode_record(line)
        match record:
            case Route():
                self._add_route(record)
            case Flag():
                made.flags[record.key] = LiveFlag(record)
            case Area():
                made.areas[record.name] = record
                self._pinning = self._pinning or record.pin_s is not None
            case Segment():
                table = None if record.accounts is None else self._tables[record.accounts]
                made.segments[record.name] = lower_segment(record, table)
            case TableRef():
                made.tables[record.digest] = record
                self._tables[record.digest] = Table(self._open_table(record.digest))
            case Register():
                made.register = self._tables[record.table]
            case BackendSpec():
                made.backends[record.name] = record
            case ErrorPage():
                made.error_pages[record.status] = LiveErrorPage(record)
            case Identity():
                self._add_identity(record)
            case Listener():
                made.listener = record
            case Settings():
                if (record.format, record.bucketing) != (FORMAT, BUCKETING):
                    raise ValueError(f"the plan has format {record.format}, bucketing {record.bucketing}")
                made.settings = record
                believed = record.forwarding.trusted_from
                made._believed = None if believed is None else networks(believed)  # noqa: SLF001

    def check(self) -> None:
        made = self._made
        if not hasattr(made, "settings") or not hasattr(made, "identity"):
            raise ValueError("the plan lacks its settings or identity record")
        if set(made.backends) != set(Backend):
            raise ValueError("the plan lacks a backend")
        if made.identity.visitors_s is not None and made.settings.signing_keys:
            made.visitors = Visitors(made.settings.signing_keys, made.identity.visitors_s)
        if self._pinning and made.settings.signing_keys:
            made.pins = Pins(made.settings.signing_keys)

    def _add_identity(self, record: Identity) -> None:
        made = self._made
        made.identity = record
        made.account_sources = tuple(LiveSource(source) for source in record.account)
        made.region_sources = tuple(LiveSource(source) for source in record.region)
        made.identity_headers = frozenset(
            source.name.lower().encode() for source in (*record.account, *record.region) if source.source == "header"
        )
        made._trusted = networks(record.trusted_from)  # noqa: SLF001

    def _add_route(self, record: Route) -> None:
        made = self._made
        area = made.areas[record.area]
        if area.pin_s is not None and made.pins is not None and area.flag in made.flags:
            made.pins.watch(area, made.flags[area.flag].record)
        pattern = parse_path(record.path)
        templates = ((Backend.LEGACY, record.rewrite_legacy), (Backend.NEW, record.rewrite_new))
        route = LiveRoute(
            record,
            area,
            made.flags.get(area.flag),
            pattern,
            lower_conditions(record),
            {backend: parse_rewrite(text, pattern) for backend, text in templates if text is not None},
            len(made.routes),
            self._caching(record, area),
            waits_of_route(made.backends, area, record),
        )
        made.routes[record.id] = route
        made._hosts.trie_for(record.host).add(route)  # noqa: SLF001

    def _caching(self, record: Route, area: Area) -> Private | Varying | None:
        asks = (
            record.to is None or record.account or record.segment or record.region or record.headers or record.cookies
        )
        if area.cache is None or area.retired or not asks:
            return None
        return _PRIVATE if area.cache == "private" else Varying(self._made.settings.vary)


def _host_name(raw: bytes) -> str:
    host = raw.decode("latin-1").lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].removesuffix(".")
