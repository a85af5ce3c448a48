"""Which route a request belongs to: a trie per host, so that look-up cost doesn't grow with the number of routes.

Order: exact host, longest wildcard host, no host; then the path, segment by segment (literal before `{x}` before `**`,
`regex:` last); then file order. A candidate whose other keys don't match falls through to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import re2

from proxy.core.deciding.pattern import Capture, PathPattern, Template, compile_regex
from proxy.core.model import Backend
from proxy.core.override import override

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Trace
    from proxy.core.deciding.facts import Facts
    from proxy.core.deciding.waits import Waits
    from proxy.core.http.caching import Private, Varying
    from proxy.core.plan import Area, Route
    from proxy.core.targeting.flags import LiveFlag

_EXPRESSIONS_A_SET: Final = 64  # one RE2 set scans the path once for all of them; compiling more would hold the loop up

Condition = tuple[str, Callable[["Facts"], bool]]
"""(as people read it, the test)."""


class LiveRoute:
    """A route, ready to match.

    Attributes:
        order: position in the file order, the last tie-breaker.
        caching: tells shared caches that its answers depend on who asks; None: they don't, or it isn't wanted.
        conditions: every key besides host and path; all must hold.
        flag: the area's flag; None when it doesn't exist.
        rewrites: the template for each backend that has one.
        waits: how long each backend is waited for; None: as it says itself.
    """

    __slots__ = (
        *("area", "caching", "conditions", "flag", "id", "order", "pattern", "record", "rewrites", "to", "waits"),
    )

    def __init__(
        self,
        record: Route,
        area: Area,
        flag: LiveFlag | None,
        pattern: PathPattern,
        conditions: tuple[Condition, ...],
        rewrites: dict[Backend, Template],
        order: int,
        caching: Private | Varying | None = None,
        waits: dict[Backend, Waits] | None = None,
    ) -> None:
        self.record = record
        self.id = record.id
        self.area = area
        self.flag = flag
        self.pattern = pattern
        self.conditions = conditions
        self.rewrites = rewrites
        self.to = record.to
        self.order = order
        self.caching = caching
        self.waits = waits

    def accepts(self, facts: Facts, trace: Trace | None) -> bool:
        """Whether every other key of the route matches too."""
        for text, test in self.conditions:
            if not test(facts):
                if trace is not None:
                    trace.step(self.record.place, f"route {self.id}: {self.record.path}", f"no: {text}")
                return False
        if trace is not None:
            trace.step(self.record.place, f"route {self.id}: {self.record.path}", "matches")
        return True


class Node:
    """One place between slashes."""

    __slots__ = ("capture", "literals", "routes", "tails")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.capture: Node | None = None
        self.routes: list[LiveRoute] = []  # patterns that end here
        self.tails: list[LiveRoute] = []  # patterns that end here in /**


class Trie:
    """All routes of one host."""

    __slots__ = ("_sets", "_waiting", "root")

    def __init__(self) -> None:
        self.root = Node()
        self._sets: list[tuple[Expressions, list[LiveRoute]]] = []
        self._waiting: list[LiveRoute] = []

    def add(self, route: LiveRoute) -> None:
        """Add a route; routes come in file order."""
        pattern = route.pattern
        if pattern.regex is not None:
            self._waiting.append(route)
            if len(self._waiting) == _EXPRESSIONS_A_SET:
                self.seal()
            return
        node = self.root
        for part in pattern.parts:
            if isinstance(part, Capture):
                if node.capture is None:
                    node.capture = Node()
                node = node.capture
            else:
                child = node.literals.get(part)
                if child is None:
                    child = node.literals[part] = Node()
                node = child
        (node.tails if pattern.tail else node.routes).append(route)

    def seal(self) -> None:
        """Compile the expressions that wait; every trie is sealed before it is used."""
        if self._waiting:
            self._sets += _compile_sets(self._waiting)
            self._waiting = []

    def find(self, path: str, parts: Sequence[str], facts: Facts, trace: Trace | None) -> LiveRoute | None:
        """The first candidate that accepts."""
        found = _walk(self.root, parts, 0, facts, trace)
        if found is None and self._sets:
            for expressions, routes in self._sets:
                for i in expressions.matching(path):
                    candidate = routes[i]
                    if candidate.accepts(facts, trace):
                        return candidate
        return found

    def dismantle(self) -> Iterator[None]:
        """Take the trie apart, a node a step, so that freeing it never holds the loop up."""
        nodes = [self.root]
        while nodes:
            node = nodes.pop()
            if node.capture is not None:
                nodes.append(node.capture)
            nodes.extend(node.literals.values())
            node.literals = {}
            node.capture = None
            node.routes = node.tails = []
            yield


def _walk(node: Node, parts: Sequence[str], at: int, facts: Facts, trace: Trace | None) -> LiveRoute | None:
    # Depth is bounded by the deepest pattern, not by the path a client sends.
    if at == len(parts):
        for route in node.routes:
            if (not route.conditions and trace is None) or route.accepts(facts, trace):
                return route
    else:
        part = parts[at]
        child = node.literals.get(part)
        if child is not None:
            found = _walk(child, parts, at + 1, facts, trace)
            if found is not None:
                return found
        if node.capture is not None and part:
            found = _walk(node.capture, parts, at + 1, facts, trace)
            if found is not None:
                return found
    for route in node.tails:
        if (not route.conditions and trace is None) or route.accepts(facts, trace):
            return route
    return None


class Expressions:
    """Several expressions that are matched in one pass.

    Raises:
        re2.error: together they take more memory than RE2 allows a set.
    """

    __slots__ = ("_set",)

    def __init__(self, expressions: Sequence[str]) -> None:
        options = re2.Options()
        options.log_errors = False
        self._set = re2.Set.FullMatchSet(options)
        for expression in expressions:
            self._set.Add(expression)
        self._set.Compile()

    def matching(self, path: str) -> list[int]:
        """The positions of those that match the whole path, ascending: file order."""
        return sorted(self._set.Match(path) or ())  # None when none does


class LoneExpression(Expressions):
    """One that is too large for any set."""

    __slots__ = ("_expression",)

    def __init__(self, expression: str) -> None:
        self._expression = compile_regex(expression)

    @override
    def matching(self, path: str) -> list[int]:
        return [0] if self._expression.fullmatch(path) is not None else []


def _compile_sets(routes: list[LiveRoute]) -> list[tuple[Expressions, list[LiveRoute]]]:
    """As few sets as RE2's memory allows: each expression compiles alone, many large ones may not together."""
    expressions = [route.pattern.regex or "" for route in routes]
    try:
        return [(Expressions(expressions), routes)]
    except re2.error:
        if len(routes) == 1:
            return [(LoneExpression(expressions[0]), routes)]
        half = len(routes) // 2
        return _compile_sets(routes[:half]) + _compile_sets(routes[half:])


class Hosts:
    """Which tries a host is looked up in, most specific first."""

    __slots__ = ("_any", "_exact", "_wildcards")

    def __init__(self) -> None:
        self._exact: dict[str, Trie] = {}
        self._wildcards: dict[str, Trie] = {}  # by what follows the `*`
        self._any: Trie | None = None

    def trie_for(self, host: str | None) -> Trie:
        """The trie of a route's host, made when it is first asked for."""
        if host is None:
            if self._any is None:
                self._any = Trie()
            return self._any
        if host.startswith("*"):
            return self._wildcards.setdefault(host[1:], Trie())
        return self._exact.setdefault(host, Trie())

    def tries(self) -> Iterator[Trie]:
        """Every trie."""
        yield from self._exact.values()
        yield from self._wildcards.values()
        if self._any is not None:
            yield self._any

    def look_up(self, host: str) -> tuple[Trie, ...]:
        """The tries for a request's host: exact, wildcards from longest, then routes without a host."""
        found = [self._exact[host]] if host in self._exact else []
        if self._wildcards:
            at = host.find(".")
            while at >= 0:
                trie = self._wildcards.get(host[at:])
                if trie is not None and at > 0:
                    found.append(trie)
                at = host.find(".", at + 1)
        if self._any is not None:
            found.append(self._any)
        return tuple(found)
