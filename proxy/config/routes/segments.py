"""Segments: read file by file, then put in an order in which each stands before its users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from proxy.config.names import place
from proxy.config.problems import Report, quoted
from proxy.config.routes.drafts import Mentioned, SegmentDraft
from proxy.config.routes.shapes import (
    SEGMENT_ACCOUNTS,
    SEGMENT_ALL,
    SEGMENT_ANY,
    SEGMENT_ATTRIBUTES,
    SEGMENT_NOT,
    SEGMENT_REGIONS,
)
from proxy.core.plan import Segment

if TYPE_CHECKING:
    from proxy.config.kinds import Fields, Key
    from proxy.config.text.nodes import Scalar


def draft_segments(segments: Iterable[tuple[Scalar, Fields]], file: str) -> tuple[SegmentDraft, ...]:
    """The segments of one file; nothing here depends on another."""
    return tuple(_draft(name, fields, file) for name, fields in segments)


def _draft(name: Scalar, fields: Fields, file: str) -> SegmentDraft:
    accounts = fields[SEGMENT_ACCOUNTS]
    attributes = fields.each(SEGMENT_ATTRIBUTES)
    regions = fields[SEGMENT_REGIONS]
    parts: list[Mentioned] = []
    for key in (SEGMENT_ANY, SEGMENT_ALL, SEGMENT_NOT):
        for scalar in fields.each(key):
            parts.append(Mentioned(name=scalar.text, mark=scalar, where=fields.at(key)))  # noqa: PERF401
    record = Segment(
        name=name.text,
        place=place(file, name),
        attributes={key.text: tuple(v.text for v in values) for key, values in attributes} or None,
        regions=tuple(scalar.text for scalar in regions) if regions else None,
        any_of=_names(fields, SEGMENT_ANY),
        all_of=_names(fields, SEGMENT_ALL),
        none_of=_names(fields, SEGMENT_NOT),
    )
    where = fields.at(SEGMENT_ATTRIBUTES)
    return SegmentDraft(
        record=record,
        mark=name,
        where=fields.where,
        accounts=Mentioned(name=accounts.text, mark=accounts, where=fields.at(SEGMENT_ACCOUNTS)) if accounts else None,
        attributes=tuple(Mentioned(name=key.text, mark=key, where=f"{where}.{key.text}") for key, _ in attributes),
        regions=fields.node(SEGMENT_REGIONS) if regions else None,
        parts=tuple(parts),
    )


def _names(fields: Fields, key: Key[tuple[Scalar, ...]]) -> tuple[str, ...] | None:
    scalars = fields[key]
    return tuple(scalar.text for scalar in scalars) if scalars else None


def in_order(
    drafts: Mapping[str, SegmentDraft],
    digest_of: Callable[[SegmentDraft], str | None],
    report_for: Callable[[str], Report],
) -> tuple[Segment, ...]:
    """The segments' records, each before its users, else in the order written.

    A circle is told once, where its first member stands; its members are left out.
    """
    done: dict[str, Segment | None] = {}
    for name in drafts:
        # Depth first with a stack of our own: a chain of segments may be longer than Python's.
        path: list[tuple[str, int]] = [(name, 0)] if name not in done else []
        on_path = {name}
        while path:
            current, at = path[-1]
            draft = drafts[current]
            if at < len(draft.parts):
                path[-1] = (current, at + 1)
                part = draft.parts[at].name
                if part in on_path:
                    _tell_circle([one for one, _ in path], part, drafts, report_for)
                elif part in drafts and part not in done:
                    path.append((part, 0))
                    on_path.add(part)
                continue
            path.pop()
            on_path.discard(current)
            done[current] = msgspec.structs.replace(draft.record, accounts=digest_of(draft))
    return tuple(record for record in done.values() if record is not None)


def _tell_circle(
    path: Sequence[str], part: str, drafts: Mapping[str, SegmentDraft], report_for: Callable[[str], Report]
) -> None:
    circle = path[path.index(part) :]
    chain = " → ".join((*circle, part))
    draft = drafts[part]
    file = file_of(draft)
    others = {file_of(drafts[name]) for name in circle}
    told = f"{quoted(part)} is made of itself: {chain}; take one of them out"
    report_for(file).tell("segment-cycle", draft.mark, draft.where, told, others=others)


def file_of(draft: SegmentDraft) -> str:
    """The file in which a segment is defined."""
    return draft.record.place.rsplit(":", 2)[0]
