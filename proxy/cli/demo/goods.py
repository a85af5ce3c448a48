"""What both shops read and write: in a migration two systems often share a database for a while, and here they do."""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ARTICLES = ("Envelopes", "Fountain pens", "Labels", "Ledgers", "Paper, A4", "Ring binders", "Rubber stamps", "Staples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order of one account."""

    number: int
    account: str
    article: str
    amount: int
    taken_by: str  # the system that took it


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What was uploaded; the demo keeps no bytes."""

    name: str
    size_bytes: int
    sha256: str
    taken_by: str


@dataclass(slots=True, kw_only=True)
class Goods:
    """The shared data, in memory."""

    accounts: tuple[str, ...]
    orders: dict[int, Order] = field(default_factory=dict)
    documents: list[Document] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def place_order(self, account: str, article: str, amount: int, taken_by: str) -> Order:
        """Take an order."""
        order = Order(number=next(self._numbers), account=account, article=article, amount=amount, taken_by=taken_by)
        self.orders[order.number] = order
        return order

    def keep_document(self, name: str, content: bytes, taken_by: str) -> Document:
        """Note an upload, newest first, ten at most."""
        digest = hashlib.sha256(content).hexdigest()
        document = Document(name=name, size_bytes=len(content), sha256=digest, taken_by=taken_by)
        self.documents.insert(0, document)
        del self.documents[10:]
        return document


def stock(register: Path) -> Goods:
    """Goods with two old orders for every account of a register (CSV with a column `id`)."""
    with register.open(encoding="utf-8", newline="") as lines:
        accounts = tuple(row["id"] for row in csv.DictReader(lines))
    goods = Goods(accounts=accounts)
    for nth, account in enumerate(accounts * 2):
        goods.place_order(account, ARTICLES[nth * 5 % 7], 10 * (nth % 7 + 1), "legacy")
    return goods
