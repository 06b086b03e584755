"""The check `up_to_date`: when each asset was last up to date for each workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.keys import CLIENT_REPORT
from gsc_pipeline.defs.partitions import WORKSPACES
from gsc_pipeline.lake.schemas import INSIGHTS, PROPERTIES, SITE_IMPRESSION, SITEMAPS, URL_IMPRESSION
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.tables.more import MORE_TABLES
from gsc_pipeline_tests.defs.conftest import Orchestra
from gsc_pipeline_tests.world import World

SITE, CURVE = SITE_IMPRESSION.name, "ctr_curve"
TABLES = [one.table for one in MORE_TABLES]
REFUSED = "sc-domain:other.com"
ASSETS = [table.name for table in (SITE_IMPRESSION, URL_IMPRESSION, *TABLES, *INSIGHTS)] + [CLIENT_REPORT]


def run(orchestra: Orchestra, job: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
    defs = build_defs(load_settings(), resources=orchestra.resources)
    done = defs.resolve_job_def(job).execute_in_process(instance=orchestra.instance, partition_key=partition)
    assert done.success
    return done


def judged(orchestra: Orchestra) -> dict[str, dg.AssetCheckEvaluation]:
    found = run(orchestra, "gsc_checks").get_asset_check_evaluations()
    return {check.asset_key.to_user_string(): check for check in found if check.check_name == "up_to_date"}


def rows(check: dg.AssetCheckEvaluation) -> dict[str, Mapping[str, Any]]:
    return {
        str(record.data["workspace"]): record.data
        for record in check.metadata["workspaces"].value.records  # type: ignore[union-attr]
    }


@contextmanager
def keeping(folder: Path) -> Iterator[Orchestra]:
    """acme is synced with all its tables and insights, now. globex was never read."""
    properties = [SyntheticProperty("sc-domain:acme.com", rows_a_day=5, plants=False)]
    now = datetime.now(UTC)
    with World.serving(folder, properties, now=now) as world, dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(WORKSPACES, ["acme", "globex"])
        acme = world.workspace("acme", properties=["sc-domain:acme.com", REFUSED])
        orchestra = Orchestra(world, instance, [acme, world.workspace("globex")])
        world.sync(acme, world.last(5))
        run(orchestra, "gsc_more", "acme")
        run(orchestra, "gsc_insights", "acme")
        yield orchestra


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Orchestra]:
    with keeping(tmp_path) as orchestra:
        yield orchestra


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orchestra]:
    """For tests that change nothing."""
    with keeping(tmp_path_factory.mktemp("kept")) as orchestra:
        yield orchestra


@pytest.fixture(scope="module")
def checks(shared: Orchestra) -> dict[str, dg.AssetCheckEvaluation]:
    return judged(shared)


def test_every_asset_shows_when_it_was_last_up_to_date_for_each_workspace(
    shared: Orchestra, checks: dict[str, dg.AssetCheckEvaluation]
) -> None:
    assert sorted(checks) == sorted(ASSETS)
    for asset, check in checks.items():
        found = rows(check)
        assert list(found) in (["globex", "acme"], ["acme", "globex"])
        assert found["acme"]["state"] == "up to date", asset
    site = rows(checks[SITE])["acme"]
    assert site["last good sync (UTC)"].startswith(f"{shared.world.now:%Y-%m-%d %H:%M}")
    assert site["newest day"] == str(shared.world.last(1).start)
    assert site["final up to"] < site["newest day"]
    assert rows(checks[CURVE])["acme"]["as of"] == site["final up to"]


def test_a_workspace_that_was_never_read_comes_first_and_is_a_warning_where_something_is_due(
    checks: dict[str, dg.AssetCheckEvaluation],
) -> None:
    for asset in (SITE, PROPERTIES.name):
        check = checks[asset]
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert check.description == "1 of 2 workspaces is not up to date: globex"
        assert next(iter(rows(check).values()))["state"] == "never"
    # No insight can follow from days that are not there.
    assert checks[CURVE].passed
    assert rows(checks[CURVE])["globex"]["state"] == "no final day yet"


def test_a_failure_is_shown_with_its_next_step(checks: dict[str, dg.AssetCheckEvaluation]) -> None:
    for asset in (SITE, SITEMAPS.name):
        told = rows(checks[asset])["acme"]["wrong now, and what to do"]
        assert REFUSED in told
        assert "add the credential as a user of the property" in told
    assert "gsc_auto_sync" in rows(checks[SITE])["globex"]["wrong now, and what to do"]


@pytest.mark.soak
def test_an_asset_that_is_too_old_is_overdue(kept: Orchestra) -> None:
    del kept.workspaces[1]
    assert all(check.passed for check in judged(kept).values())
    kept.world.now += timedelta(hours=13)
    overdue = {asset for asset, check in judged(kept).items() if not check.passed}
    assert overdue == {SITE, URL_IMPRESSION.name}
    kept.world.now += timedelta(hours=24)
    overdue = {asset for asset, check in judged(kept).items() if not check.passed}
    assert overdue == {SITE, URL_IMPRESSION.name, *(table.name for table in TABLES)}


@pytest.mark.soak
def test_insights_are_overdue_only_after_their_data_has_changed(kept: Orchestra) -> None:
    del kept.workspaces[1]
    kept.world.now += timedelta(days=2)
    kept.world.sync(kept.workspaces[0])
    assert judged(kept)[CURVE].passed
    kept.world.now += timedelta(hours=13)
    check = judged(kept)[CURVE]
    assert not check.passed
    assert rows(check)["acme"]["state"] == "overdue"
    assert "gsc_insights" in rows(check)["acme"]["wrong now, and what to do"]


def test_no_run_of_the_other_jobs_runs_this_check(shared: Orchestra) -> None:
    defs = build_defs(load_settings(), resources=shared.resources)
    for job in ("gsc_sync", "gsc_more", "gsc_insights"):
        steps = {node.name for node in defs.resolve_job_def(job).nodes}
        assert "up_to_date" not in steps
