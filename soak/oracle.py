"""Judges stories. A violation is something that must never be, whatever breaks; a failure (an honest 502, a visible cut) must only have a cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final

from soak.backend import ASKS
from soak.drilled import NEVER_SENT, Drilled
from soak.expected import History
from soak.pressure import BUSY_FAULT, CAPPED_FAULT, Pressure
from soak.shunned import Shunned
from soak.story import ONCE, SAFE, End, Seen, Story, Way


@unique
class Wrong(StrEnum):
    """What must never be."""

    SYSTEM = "wrong system"
    DOUBLED = "doubled non-idempotent"
    TRUNCATED = "truncated but looking whole"
    ALTERED = "altered"
    MIXED_UP = "another request's answer"
    INVENTED = "answered by nobody"
    UNFROZEN = "written in a freeze"
    FROZEN = "frozen without a freeze"
    PIN = "taken from where it was pinned"
    FELL = "fell back without need, or untold"
    MISTOLD = "told of another system than answered"
    DRILLED = "met a drill outside of it, or passed it"
    REFUSED = "capped or refused as busy without need"
    UNTOLD = "refused, and not told when to come again"
    WAITED = "waited longer than its queue lets"
    SHUNNED = "sent where it is unwell or no more"
    UNEXPLAINED = "failed without a cause"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a story breaks."""

    wrong: Wrong
    why: str
    story: Story


@dataclass(frozen=True, slots=True)
class Cause:
    """A time in which requests may fail, and which of them: `lasting` alone (WebSockets, event streams), or all.

    `unanswered_only`: of others than these only those of which nothing came back: what is begun comes to its end.
    `system`: the backend that may be unreachable meanwhile; empty: neither.
    """

    name: str
    since_s: float
    until_s: float
    lasting_only: bool = False
    system: str = ""
    unanswered_only: bool = False

    def explains(self, story: Story, seen: Seen) -> bool:
        """Whether a failure may come of it."""
        if seen.at_s < self.since_s or self.until_s < story.sent.at_s:
            return False
        if story.sent.way is not Way.PLAIN:
            return True
        return not self.lasting_only and (not self.unanswered_only or (seen.end is End.NONE and not seen.own))


@dataclass(slots=True)
class Oracle:
    """What the judgement rests on.

    Attributes:
        drills: by their id.
        shunned: endpoints and addresses that nobody may be sent to.
        pressure: who asked too much; None: nobody is capped, and nobody waits.
    """

    history: History
    causes: list[Cause] = field(default_factory=list)
    drills: dict[str, Drilled] = field(default_factory=dict)
    shunned: list[Shunned] = field(default_factory=list)
    pressure: Pressure | None = None

    def judge(self, story: Story) -> list[Violation]:
        """Every rule that a story breaks."""
        found = [
            *self._of_arrivals(story),
            *self._of_answer(story),
            *self._of_freezes(story),
            *self._of_drills(story),
            *self._of_refusals(story),
        ]
        if not found and failed(story) and not self._caused(story):
            found.append((Wrong.UNEXPLAINED, "nothing was broken at that time"))
        return [Violation(wrong, why, story) for wrong, why in found]

    def cause(self, story: Story) -> str:
        """The first cause that a failure may have."""
        return next(self._causes(story), "")

    def _of_arrivals(self, story: Story) -> Iterator[tuple[Wrong, str]]:
        sent = story.sent
        if sent.method in ONCE and len(story.arrivals) > 1:
            yield Wrong.DOUBLED, f"arrived {len(story.arrivals)} times"
        for one in story.arrivals:
            until_s = one.at_s if story.seen is None else min(one.at_s, story.seen.at_s)
            right = self._right(story, until_s)
            if one.backend not in right and not self._may_fall_back(story, right, until_s):
                unpinned = sent.pinned and one.backend in self._right(story, until_s, pinned="")
                told = f"arrived at {one.backend}, belongs to {' or '.join(sorted(right))}"
                yield (Wrong.PIN if unpinned else Wrong.SYSTEM), told
            if one.whole and not sent.whole:
                yield Wrong.TRUNCATED, "its body was cut, and looked whole at the backend"
            elif one.whole and (one.body_bytes, one.digest) != (sent.body_bytes, sent.digest):
                yield Wrong.ALTERED, "its body is another at the backend"
            if any(each.forbids(story, one) for each in self.shunned):
                yield Wrong.SHUNNED, f"it came to {one.backend} {one.endpoint} ({one.address}), which is left alone"

    def _of_answer(self, story: Story) -> Iterator[tuple[Wrong, str]]:
        seen, sent = story.seen, story.sent
        if seen is None or seen.end is not End.WHOLE or seen.own:
            return
        if seen.told_id != story.id:
            yield Wrong.MIXED_UP, f"the answer is to {seen.told_id or 'nobody'}"
            return
        answers = [one for one in story.arrivals if one.answered]
        if seen.decided and seen.answered_by not in {"", seen.decided[0]}:
            yield Wrong.MISTOLD, f"{seen.answered_by} answered, {seen.decided[0]} is told of"
        right = self._right(story, seen.at_s)
        if seen.reason == "fallback" and not self._may_fall_back(story, right, seen.at_s):
            yield Wrong.FELL, "new could be reached, or it is no read, or its area doesn't want that"
        elif seen.reason and seen.reason != "fallback" and seen.answered_by == "legacy" and right == {"new"}:
            yield Wrong.FELL, f"legacy answered in place of new, and that is told as {seen.reason}"
        if not answers:
            yield Wrong.INVENTED, "no backend answered"
        elif sent.method == "HEAD" or sent.way is Way.WEBSOCKET:
            return
        elif not any((one.answer_bytes, one.answer_digest) == (seen.body_bytes, seen.digest) for one in answers):
            short = any(one.answer_bytes > seen.body_bytes for one in answers)
            yield (Wrong.TRUNCATED if short else Wrong.ALTERED), "the answer isn't what the backend gave"
        elif not any(one.answer_whole for one in answers):
            yield Wrong.TRUNCATED, "the backend cut its answer, and it looked whole"

    def _of_freezes(self, story: Story) -> Iterator[tuple[Wrong, str]]:
        seen, sent = story.seen, story.sent
        if seen is None or sent.method in SAFE:
            return
        situations = self.history.during(sent.at_s, seen.at_s)
        held = [situation.holds_up(sent.area, sent.method) for situation in situations]
        if seen.own.endswith("-frozen") and not any(held):
            yield Wrong.FROZEN, "its area wasn't frozen"
        if all(held) and any(one.whole for one in story.arrivals):
            yield Wrong.UNFROZEN, "its area was frozen all the time"

    def _of_drills(self, story: Story) -> Iterator[tuple[Wrong, str]]:
        name = "" if story.seen is None else story.seen.drill
        if name:
            one = self.drills.get(name)
            if one is None or not one.may_hit(story, self.history):
                yield Wrong.DRILLED, f"it says that it met {name}, and doesn't belong to it"
            elif one.kind in NEVER_SENT and any(arrival.backend == "new" for arrival in story.arrivals):
                yield Wrong.DRILLED, f"it met {name} ({one.kind}), and arrived all the same"
        elif story.seen is not None and story.seen.own.endswith("-drilled"):
            yield Wrong.DRILLED, "it met a drill that isn't named"
        for arrival in story.arrivals:
            if arrival.backend == "new":
                for one in self.drills.values():
                    if one.must_have_stopped(story, arrival):
                        yield Wrong.DRILLED, f"it arrived, as if {one.id} ({one.kind}) weren't on"

    def _of_refusals(self, story: Story) -> Iterator[tuple[Wrong, str]]:
        seen, sent = story.seen, story.sent
        if seen is None or not seen.own or seen.status not in _COME_AGAIN or seen.own.endswith("-drilled"):
            return
        if not seen.retry_after.isdecimal() or not int(seen.retry_after):
            yield Wrong.UNTOLD, f"Retry-After is {seen.retry_after!r}"
        if self.pressure is None:
            return
        if seen.own == CAPPED_FAULT and not self.pressure.may_be_capped(story):
            yield Wrong.REFUSED, "its account had not asked for so much"
        if seen.own == BUSY_FAULT:
            if not self.pressure.may_be_full(sent.began_s, seen.at_s):
                yield Wrong.REFUSED, "there was a place for it"
            if seen.at_s - sent.began_s > self.pressure.bounds.wait_s + _LATE_S:
                yield Wrong.WAITED, f"{seen.at_s - sent.began_s:.2f} s, of {self.pressure.bounds.wait_s:g} s"

    def _right(self, story: Story, until_s: float, *, pinned: str | None = None) -> set[str]:
        sent = story.sent
        pinned = sent.pinned if pinned is None else pinned
        during = self.history.during(sent.at_s, until_s)
        return {one.system(sent.area, sent.account, visitor=sent.visitor, pinned=pinned) for one in during}

    def _may_fall_back(self, story: Story, right: set[str], until_s: float) -> bool:
        """Whether legacy may answer in place of new: a read, in an area that wants it, while new can't be reached or seems so."""
        sent = story.sent
        if "new" not in right or sent.method not in SAFE or sent.way is Way.WEBSOCKET:
            return False
        if not any(sent.area in one.falls_back for one in self.history.during(sent.at_s, until_s)):
            return False
        if any(one.kind == "refused" and one.may_hit(story, self.history) for one in self.drills.values()):
            return True
        return any(one.system == "new" and one.since_s <= until_s and sent.at_s <= one.until_s for one in self.causes)

    def _caused(self, story: Story) -> bool:
        return bool(self.cause(story))

    def _causes(self, story: Story) -> Iterator[str]:
        seen = story.seen
        assert seen is not None
        if story.sent.asks in ASKS:
            yield f"asked for: {story.sent.asks}"
        if seen.own.endswith("-frozen"):
            yield "freeze"
        if seen.drill in self.drills:
            yield f"drill: {self.drills[seen.drill].kind}"
        if self.pressure is not None and seen.own == CAPPED_FAULT:
            yield "rate cap"
        if self.pressure is not None and seen.own == BUSY_FAULT:
            yield "no place, and the queue full or too long"
        yield from (cause.name for cause in self.causes if cause.explains(story, seen))


_FAILED: Final = frozenset({End.CUT, End.NONE})
_COME_AGAIN: Final = frozenset({429, 503})
_LATE_S: Final = 3.0
"""By which a busy machine may be late with an answer; all waits of the configuration but one are shorter, and that is no wait for a place."""


def failed(story: Story) -> bool:
    """Whether its client didn't get what it came for."""
    seen = story.seen
    return seen is not None and (seen.end in _FAILED or (seen.end is End.WHOLE and seen.status >= 400))
