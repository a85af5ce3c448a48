"""What `tracing:` and `metrics:` say, in the plan."""

from __future__ import annotations

import pytest

from proxy.config.compile import compile_files
from proxy.core.plan import SAMPLE_BP, Tracing
from tests.config import base


def tracing(text: str) -> Tracing | None:
    plan = compile_files(base.files({"routes.yaml": f"tracing: {text}\n"})).plan
    assert plan is not None
    return plan.settings.tracing


def test_everything_that_is_written_stands_in_the_plan() -> None:
    assert tracing(
        '{context: begin, accept: trusted, sample: 0.25%, export: "http://collector.internal:4318/"}'
    ) == Tracing(begin=True, trusted_only=True, sample_bp=25, export="http://collector.internal:4318/v1/traces")
    plan = compile_files(base.files({"routes.yaml": "metrics: {routes: true}\n"})).plan
    assert plan is not None
    assert plan.settings.metrics_by_route
    assert plan.settings.tracing is None


def test_what_is_left_out_is_careful() -> None:
    assert tracing("{context: pass}") == Tracing(begin=False, trusted_only=False, sample_bp=SAMPLE_BP, export=None)


@pytest.mark.parametrize(
    ("written", "share_bp"), [("0%", 0), ("1 %", 100), ("100%", 10_000), ("12.5%", 1_250), ("0.01%", 1)]
)
def test_a_share_is_read_to_the_basis_point(written: str, share_bp: int) -> None:
    settings = tracing(f"{{sample: {written}}}")
    assert settings is not None
    assert settings.sample_bp == share_bp


def test_the_path_that_a_collector_is_known_by_is_added_once() -> None:
    for url in ("https://otlp.example/otlp", "https://otlp.example/otlp/v1/traces"):
        settings = tracing(f'{{export: "{url}"}}')
        assert settings is not None
        assert settings.export == "https://otlp.example/otlp/v1/traces"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{sample: 100.01%}", "bad-percent"),
        ("{sample: 0.123%}", "bad-percent"),
        ("{sample: -1%}", "bad-percent"),
        ("{sample: []}", "wrong-kind"),
        ("{export: collector:4318}", "bad-url"),
        ('{export: "http://"}', "bad-url"),
        ('{export: "http://collector:0"}', "bad-url"),
        ('{export: "http://collector:99999"}', "bad-url"),
        ('{export: "http://key@collector:4318"}', "bad-url"),
        ('{export: "http://collector:4318?key=1"}', "bad-url"),
        ("{context: maybe}", "unknown-value"),
        ("{}", "empty"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, code: str) -> None:
    compiled = compile_files(base.files({"routes.yaml": f"tracing: {text}\n"}))
    assert compiled.plan is None
    assert [one.code for one in compiled.complaints] == [code]
