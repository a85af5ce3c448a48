"""Who asks: the cookies of a request. Every proxy gets the same ones; two are signed by ours, which alone reads them.

Others go by the plain cookie `acct`. Ours looks for an account in the cookie `account`, and goes by a visitor's signed id where there is none.
"""

from __future__ import annotations

import functools
import re
import time
from typing import Final

from bench.job import SHARE, SIGNING_KEY
from proxy.core.deciding.pins import PIN_COOKIE
from proxy.core.deciding.signed import Purpose, Signer, derive
from proxy.core.deciding.visitors import VISITOR_COOKIE
from proxy.core.targeting.bucketing import bucket

_AREA: Final = re.compile(r"/(area-\d+)(?:/|$)")
_LASTS_S: Final = 180 * 86_400


@functools.cache
def _signers() -> tuple[Signer, Signer, int]:
    key = derive(SIGNING_KEY.encode())
    return Signer((key,), Purpose.VISITOR), Signer((key,), Purpose.PIN), int(time.time()) + _LASTS_S


def cookies(number: int, path: str = "", *, account: bool = True) -> str:
    """The Cookie header of the request with this number, from 1.

    Args:
        number: tells accounts and visitors apart.
        path: of the request; in an area, it is pinned there to the system that the share gives it anyway.
        account: whether ours finds an account, or has to go by the visitor's id: then it verifies both signed cookies.
    """
    visitors, pins, until_s = _signers()
    visitor = f"{number:032x}"
    who = f"account=acct-{number}; " if account else ""
    said = f"acct=acct-{number}; {who}session=0123456789abcdef; {VISITOR_COOKIE}={visitors.sign(visitor, until_s)}"
    area = _AREA.search(path)
    if area is None:
        return said
    name, subject = area[1], f"acct-{number}" if account else ""
    letter = "n" if bucket(name, subject or visitor, 100) < SHARE else "l"
    pin = pins.sign(f"{name}:{letter}:{until_s}", until_s, subject.encode())
    return f"{said}; {PIN_COOKIE}={pin}"
