"""Judges stories. A violation is something that must never be, whatever breaks; a failure (an honest 502, a visible cut) must only have a cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final

from soak.expected import History
from soak.story import ONCE, SAFE, End, Story, Way


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
    UNEXPLAINED = "failed without a cause"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a story breaks."""

    wrong: Wrong
    why: str
    story: Story


@dataclass(frozen=True, slots=True)
class Cause:
    """A time in which requests may fail, and which of them: `lasting` alone (WebSockets, event streams), or all."""

    name: str
    since_s: float
    until_s: float
    lasting_only: bool = False


@dataclass(slots=True)
class Oracle:
    """What the judgement rests on."""

    history: History
    causes: list[Cause] = field(default_factory=list)

    def judge(self, story: Story) -> list[Violation]:
        """Every rule that a story breaks."""
        found = [*self._of_arrivals(story), *self._of_answer(story), *self._of_freezes(story)]
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
            situations = self.history.during(sent.at_s, until_s)
            right = {situation.system(sent.area, sent.account) for situation in situations}
            if one.backend not in right:
                yield Wrong.SYSTEM, f"arrived at {one.backend}, belongs to {' or '.join(sorted(right))}"
            if one.whole and not sent.whole:
                yield Wrong.TRUNCATED, "its body was cut, and looked whole at the backend"
            elif one.whole and (one.body_bytes, one.digest) != (sent.body_bytes, sent.digest):
                yield Wrong.ALTERED, "its body is another at the backend"

    def _of_answer(self, story: Story) -> Iterator[tuple[Wrong, str]]:
        seen, sent = story.seen, story.sent
        if seen is None or seen.end is not End.WHOLE or seen.own:
            return
        if seen.told_id != story.id:
            yield Wrong.MIXED_UP, f"the answer is to {seen.told_id or 'nobody'}"
            return
        answers = [one for one in story.arrivals if one.answered]
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

    def _caused(self, story: Story) -> bool:
        return bool(self.cause(story))

    def _causes(self, story: Story) -> Iterator[str]:
        seen = story.seen
        assert seen is not None
        if story.sent.asks:
            yield f"asked for: {story.sent.asks}"
        if seen.own.endswith("-frozen"):
            yield "freeze"
        lasts = story.sent.way is not Way.PLAIN
        for cause in self.causes:
            if cause.since_s <= seen.at_s and story.sent.at_s <= cause.until_s and (lasts or not cause.lasting_only):
                yield cause.name


_FAILED: Final = frozenset({End.CUT, End.NONE})


def failed(story: Story) -> bool:
    """Whether its client didn't get what it came for."""
    seen = story.seen
    return seen is not None and (seen.end in _FAILED or (seen.end is End.WHOLE and seen.status >= 400))
