"""One outcome, one verdict: what every view says of the same trouble, side by side.

The workspace acme has the trouble, globex is well, unless the whole installation has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.monitoring.freshness import FreshnessInputs, FreshnessState, search_data
from gsc_pipeline.monitoring.metrics import metrics_text
from gsc_pipeline.monitoring.monitor import HealthMonitor
from gsc_pipeline.monitoring.ticks import TickView
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, token_error
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.ticks import TickBook
from gsc_pipeline_tests.cli.conftest import Gsc, gsc, live
from gsc_pipeline_tests.faults.station import Station
from gsc_pipeline_tests.replies import FORBIDDEN, LOAD_QUOTA, UNAVAILABLE, all_queries, queries_of
from gsc_pipeline_tests.world import World, asks_token_for

__all__ = ["gsc", "live"]

pytestmark = pytest.mark.soak

DOMAIN, SHOP, GLOBEX = "sc-domain:acme.com", "https://shop.acme.com/", "sc-domain:globex.com"
DAYS = 5
TICKS = 3
LISTS = ("successes", "partial", "failures")

Fault = Callable[[Call], Reply | None]


@dataclass(frozen=True)
class Views:
    """What is shown of acme after one sync; `alerts` after each of three ticks."""

    run: str
    tick: str
    health: str
    metric: str
    json: str
    exit_code: int
    status_is_good: bool
    freshness: FreshnessState
    alerts: tuple[set[str], ...]


COMPLETE = Views(
    run="green",
    tick="successes",
    health="complete",
    metric="complete",
    json="successes",
    exit_code=0,
    status_is_good=True,
    freshness=FreshnessState.UP_TO_DATE,
    alerts=(set(), set(), set()),
)
PARTIAL = Views(
    run="red",
    tick="partial",
    health="partial",
    metric="partial",
    json="partial",
    exit_code=0,
    status_is_good=False,
    freshness=FreshnessState.NEVER,
    alerts=(set(), set(), {"partial"}),
)
FAILED = Views(
    run="red",
    tick="failures",
    health="failed",
    metric="failed",
    json="failures",
    exit_code=0,
    status_is_good=False,
    freshness=FreshnessState.NEVER,
    alerts=(set(), {"failed"}, {"failed"}),
)
ALL_FAILED = replace(FAILED, exit_code=1, alerts=({"failed_all"},) * TICKS)


def one_day(world: World) -> list[Fault]:
    fails = queries_of(world.last(DAYS).start, UNAVAILABLE)
    return [lambda call: fails(call) if call.site_url == DOMAIN else None]


def dead_credential(world: World) -> list[Fault]:
    revoked = token_error("invalid_grant", "Token has been revoked.")
    return [lambda call: revoked if asks_token_for("acme", call) else None]


def dead_credentials(world: World) -> list[Fault]:
    revoked = token_error("invalid_grant", "Token has been revoked.")
    return [lambda call: revoked if call.kind == "token" else None]


TABLE = [
    pytest.param(lambda world: [], (DOMAIN,), COMPLETE, id="nothing fails"),
    pytest.param(
        lambda world: [all_queries(FORBIDDEN, SHOP)], (DOMAIN, SHOP), COMPLETE, id="a property is refused"
    ),
    pytest.param(one_day, (DOMAIN,), PARTIAL, id="a day fails"),
    pytest.param(
        lambda world: [all_queries(UNAVAILABLE, SHOP)], (DOMAIN, SHOP), PARTIAL, id="a property fails"
    ),
    pytest.param(
        lambda world: [all_queries(LOAD_QUOTA, SHOP)], (DOMAIN, SHOP), PARTIAL, id="a quota is used up"
    ),
    pytest.param(dead_credential, (DOMAIN,), FAILED, id="a credential is dead"),
    pytest.param(
        lambda world: [all_queries(FORBIDDEN, SHOP)], (SHOP,), FAILED, id="the only property is refused"
    ),
    pytest.param(dead_credentials, (DOMAIN,), ALL_FAILED, id="all credentials are dead"),
    pytest.param(lambda world: [all_queries(FORBIDDEN)], (DOMAIN,), ALL_FAILED, id="all is refused"),
]


@pytest.mark.parametrize(("faults", "properties", "expected"), TABLE)
def test_every_view_says_the_same(
    live: World,
    gsc: Gsc,
    tmp_path: Path,
    faults: Callable[[World], list[Fault]],
    properties: tuple[str, ...],
    expected: Views,
) -> None:
    world = live
    world.simulator.put(SyntheticProperty(GLOBEX, rows_a_day=5, plants=False))
    world.faults += faults(world)
    by_hand = command(world, gsc, tmp_path, properties)
    workspaces = [
        world.workspace("acme", properties=properties),
        world.workspace("globex", properties=(GLOBEX,)),
    ]
    with Station.of(world, workspaces, auto_sync_days=DAYS) as station:
        ticks = [tick(station) for _ in range(TICKS)]
    assert {**by_hand, **ticks[0][0]} == {
        name: getattr(expected, name) for name in Views.__dataclass_fields__ if name != "alerts"
    }
    assert tuple(alerts for _, alerts in ticks) == expected.alerts


def command(world: World, gsc: Gsc, folder: Path, properties: tuple[str, ...]) -> dict[str, object]:
    """What `gsc sync` and `gsc status` say of acme, in a lake of their own."""
    env = world.environment(
        {"id": "acme", "properties": list(properties)}, {"id": "globex", "properties": [GLOBEX]}
    ) | {"GSC_LAKE": str(folder / "by hand" / "lake")}
    ended = gsc("sync", "--json", "--days", str(DAYS), env=env)
    summary = json.loads(ended.out)
    assert summary["total_workspaces"] == sum(len(summary[name]) for name in LISTS)
    (listed,) = [name for name in LISTS for one in summary[name] if one["workspace"] == "acme"]
    shown = json.loads(gsc("status", "--json", env=env).out)["workspaces"]
    (state,) = [one for one in shown if one["workspace"] == "acme"]
    return {
        "json": listed,
        "exit_code": ended.code,
        "status_is_good": state["last_good_sync"] is not None,
    }


def tick(station: Station) -> tuple[dict[str, object], set[str]]:
    """One tick: what is shown of acme when it has ended, and the kinds of reasons of alerts."""
    world = station.world
    requests = station.ask()
    assert not isinstance(requests, str), requests
    runs = {request.tags["gsc/workspace"]: station.run(request) for request in requests}
    # Nothing is deferred beyond the next tick.
    world.now += timedelta(hours=6)
    station.sum_up()
    ended = station.ended[-1]
    assert ended.total_workspaces == ended.successes + ended.partial + ended.failures == 2
    book = TickBook(station.store)
    monitor = HealthMonitor(
        world.lake,
        lambda: station.workspaces,
        stale_after=timedelta(hours=12),
        view_ticks=lambda name: TickView.of(book, world.now, name),
        clock=lambda: world.now,
    )
    observed = monitor.observe_now()
    inputs = FreshnessInputs(observed.states, lambda asset: {}, {}, world.now, timedelta(hours=12))
    metrics = text_string_to_metric_families(metrics_text(monitor)().decode())
    values = {family.name: family.samples[0].value for family in metrics}
    both = ended.failures == 2
    counts = {name: getattr(ended, name) for name in LISTS}
    shown = {
        "run": "green" if runs["acme"].success else "red",
        "tick": of_acme(counts, "successes", both=both),
        "health": of_acme(
            {one: getattr(observed.health, f"workspaces_{one}") for one in Outcome}, "complete", both=both
        ),
        "metric": of_acme({one: values[f"gsc_workspaces_{one}"] for one in Outcome}, "complete", both=both),
        "freshness": next(iter(search_data(inputs, SITE_IMPRESSION.name))).state,
    }
    return shown, set(observed.health.kinds)


def of_acme(counts: Mapping[str, float], well: str, *, both: bool) -> str:
    """What acme counts as, where globex is well or `both` fail alike."""
    rest = {name: count / 2 if both else count - (name == well) for name, count in counts.items()}
    (found,) = [name for name, count in rest.items() if count == 1]
    return str(found)
