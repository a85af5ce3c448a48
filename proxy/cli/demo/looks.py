"""How each shop looks: the frame around a page, and its small parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final, Literal

System = Literal["legacy", "new"]

MENU: Final = (
    ("/", "Home"),
    ("/orders", "Orders"),
    ("/search", "Search"),
    ("/documents", "Documents"),
    ("/checkout", "Checkout"),
    ("/help", "Help"),
    ("/blog", "Blog"),
)
STYLE_PATH: Final[dict[System, str]] = {"legacy": "/static/shop.css", "new": "/assets/shop.css"}


def style(system: System) -> str:
    """The shop's style sheet."""
    return Path(__file__).with_name(f"{system}.css").read_text(encoding="utf-8")


def frame(system: System, *, title: str, path: str, body: str, switch: str, facts: Sequence[tuple[str, str]]) -> str:
    """A whole page.

    Args:
        system: the shop that answers.
        title: plain text.
        path: the path that was asked for: marks the place in the menu.
        body: the page's own part, HTML.
        switch: the form that changes the account, HTML.
        facts: what the shop received, plain text; shown at the foot.
    """
    answered = (
        f'<section class="answered" aria-label="Who answered"><h2>Answered by {system}</h2>{_facts(facts)}</section>'
    )
    inner = f"<h1>{escape(title)}</h1>{body}{answered}"
    framed = _legacy_frame(path, inner, switch) if system == "legacy" else _new_frame(path, inner, switch)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – {system} shop</title>"
        f'<link rel="stylesheet" href="{STYLE_PATH[system]}"><link rel="icon" href="data:,"></head>'
        f'<body><a class="skip" href="#main">Skip to the content</a>{framed}</body></html>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text."""
    titles = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="data"><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>'


def choice(name: str, label: str, options: Iterable[tuple[str, str]], chosen: str | None = None) -> str:
    """A labelled list to choose from: (value, text) pairs."""
    items = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return f'<label for="{name}">{escape(label)}</label> <select id="{name}" name="{name}">{items}</select>'


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(k)}</th><td><code>{escape(v)}</code></td></tr>' for k, v in facts)
    return f"<table>{rows}</table>"


def _links(path: str) -> str:
    at = "/" + path.split("/")[1]
    return "".join(f'<a href="{to}"{" aria-current=page" if to == at else ""}>{escape(name)}</a>' for to, name in MENU)


def _legacy_frame(path: str, inner: str, switch: str) -> str:
    return (
        '<table class="frame" role="presentation" cellspacing="4">'
        '<tr class="title"><td>Office Supplies Online</td><td>Best viewed at 800 × 600</td></tr>'
        f'<tr><td class="menu"><nav aria-label="Areas">{_links(path)}</nav></td>'
        f'<td class="main"><main id="main">{switch}{inner}</main></td></tr></table>'
    )


def _new_frame(path: str, inner: str, switch: str) -> str:
    return (
        '<header><div class="bar"><a class="mark" href="/orders">Office Supplies<span>new</span></a>'
        f'<nav aria-label="Areas">{_links(path)}</nav></div></header>'
        f'<main id="main">{switch}{inner}</main>'
    )
