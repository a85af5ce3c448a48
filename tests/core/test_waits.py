"""For how long a backend is waited for: the narrowest word holds, each of its parts by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.care.reaching import Patience
from proxy.core.deciding.waits import waits
from proxy.core.model import Backend
from proxy.core.plan import BackendSpec
from tests.core.plans import area, live, plan, route

SECONDS = st.none() | st.floats(0.1, 100)
PATIENCE = st.none() | st.dictionaries(
    st.sampled_from(Backend), st.builds(Patience, timeout_s=SECONDS, total_s=SECONDS | st.just(0.0))
)


@given(PATIENCE, PATIENCE, st.sampled_from(Backend))
def test_the_route_goes_before_its_area_and_that_before_the_backend(
    of_area: dict[Backend, Patience] | None, of_route: dict[Backend, Patience] | None, backend: Backend
) -> None:
    spec = BackendSpec(name=backend, urls=("http://a:1",), place="-", timeout_s=1000.0, total_s=2000.0)
    found = waits(spec, area("a", patience=of_area), route("/", area="a", patience=of_route))
    nothing = Patience()
    timeouts = [("backend", 1000.0)]
    totals: list[tuple[str, float]] = [("backend", 2000.0)]
    for whose, said in (("area", of_area), ("route", of_route)):
        one = (said or {}).get(backend, nothing)
        timeouts += [] if one.timeout_s is None else [(whose, one.timeout_s)]
        totals += [] if one.total_s is None else [(whose, one.total_s)]
    assert (found.timeout_of, found.timeout_s) == timeouts[-1]
    assert (found.total_of, found.total_s or 0.0) == totals[-1]


def test_routes_that_say_nothing_cost_nothing() -> None:
    said = {Backend.NEW: Patience(timeout_s=60.0)}
    made = live(plan(route("/plain"), route("/export", patience=said)))
    assert made.routes["orders//plain"].waits is None
    of_export = made.routes["orders//export"].waits
    assert of_export is not None
    assert (of_export[Backend.NEW].timeout_s, of_export[Backend.LEGACY].timeout_s) == (60.0, 20.0)
