"""docs/tracing.md says what a span tells, and what waits."""

from __future__ import annotations

import inspect
import re

from proxy.config.edges.observing import TRACING
from proxy.traffic.telling import export, spans
from tests.docs.reading import ROOT, blocks

_TEXT = (ROOT / "docs" / "tracing.md").read_text()


def test_every_attribute_of_a_span_is_named_and_no_other() -> None:
    told = set(re.findall(r'"([a-z]+(?:\.[a-z_]+)+)"', inspect.getsource(spans)))
    told = {name for name in told if not name.startswith(("service.", "telemetry.")) and name != "opentelemetry-sdk"}
    named = set(re.findall(r"`((?:strangler|http|url|server|network|error)\.[a-z_.]+)`", _TEXT))
    assert named == told - {"http.request.method_original"}


def test_the_example_shows_every_key_and_the_bound_is_the_programs_own() -> None:
    (example,) = blocks(_TEXT, "yaml")
    assert set(re.findall(r"^  (\w+):", example, re.MULTILINE)) == {key.name for key in TRACING.keys}
    assert f"{export.SPANS_WAITING} may wait" in _TEXT
