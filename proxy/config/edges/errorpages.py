"""Error pages: read whole into the plan, since they are small and every worker needs them when everything else fails."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from proxy.config.problems import Complaint, Report, nearest, quoted
from proxy.config.routes.draft import decode
from proxy.config.text.fileset import normal_name
from proxy.core.http.errorpage import PLACE, PLACES, TYPES
from proxy.core.plan import ErrorPage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config.routes.drafts import PageDraft
    from proxy.config.text.fileset import File, FileSet

LARGEST_PAGE_BYTES: Final = 64 * 1024
"""A page with its style inside has a tenth of it; what is larger has pictures in it, which belong elsewhere."""


def read_error_pages(
    drafts: Iterable[PageDraft], files: FileSet, report: Report
) -> tuple[tuple[ErrorPage, ...], list[Complaint]]:
    """Pages as a plan has them, and what the files fail at by themselves.

    Args:
        drafts: what routes.yaml names.
        files: the set.
        report: of routes.yaml.
    """
    pages: list[ErrorPage] = []
    complaints: list[Complaint] = []
    for draft in drafts:
        name = normal_name(draft.file.name)
        content_type = TYPES.get(posixpath.splitext(name)[1].lower())
        if content_type is None:
            told = f"what is in {quoted(name)} can't be told by its name; it ends in {', '.join(TYPES)}"
            report.tell("bad-page", draft.file.mark, draft.file.where, told)
            continue
        file = files.files.get(name)
        if file is None:
            told = f"there is no file {quoted(draft.file.name)}; paths are relative to {files.routes}"
            report.tell("missing-file", draft.file.mark, draft.file.where, told, others=(name,))
            continue
        own = Report(name)
        text = _read(file, own)
        complaints += own.complaints
        if text is not None:
            pages.append(ErrorPage(status=draft.status, content_type=content_type, text=text))
    return tuple(pages), complaints


def _read(file: File, report: Report) -> str | None:
    if file.trouble is not None:
        report.tell("unreadable-file", None, "", f"can't be read: {file.trouble}")
        return None
    if len(file.content) > LARGEST_PAGE_BYTES:
        told = f"has {len(file.content)} bytes; an error page has {LARGEST_PAGE_BYTES} at most"
        report.tell("bad-page", None, "", told)
        return None
    text = decode(file.content, report)
    if text is None:
        return None
    unknown = [found[1] for found in PLACE.finditer(text) if found[1] not in PLACES]
    for place in dict.fromkeys(unknown):
        report.tell("bad-page", None, "", f"nothing is known for {{{{{place}}}}}{nearest(place, PLACES)}")
    return None if unknown else text
