"""The check `up_to_date`: on each asset's page, when the asset was last true for each workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gsc_pipeline.assets.insights import CLIENT_REPORT
from gsc_pipeline.assets.more import MORE_TABLES
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.lake.schemas import INSIGHTS, PROPERTIES, SITE_IMPRESSION, SITEMAPS, URL_IMPRESSION
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.dagster_layer.conftest import Orchestra
from gsc_pipeline_tests.world import World

SITE, CURVE = SITE_IMPRESSION.name, "ctr_curve"
REFUSED = "sc-domain:other.com"
ASSETS = [table.name for table in (SITE_IMPRESSION, URL_IMPRESSION, *MORE_TABLES, *INSIGHTS)] + [
    CLIENT_REPORT
]


def run(orchestra: Orchestra, job: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
    defs = build_defs(load_settings(), resources={"pipeline": orchestra.pipeline})
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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.serving(
        tmp_path, [SyntheticProperty("sc-domain:acme.com", rows_a_day=5, plants=False)]
    ) as one:
        yield one


@pytest.fixture
def kept(orchestra: Orchestra) -> Orchestra:
    """acme, synced and made in full, in the present; globex, which nothing was ever read of."""
    orchestra.world.now = datetime.now(UTC)
    acme = orchestra.world.workspace("acme", properties=["sc-domain:acme.com", REFUSED])
    orchestra.workspaces[0] = acme
    orchestra.world.sync(acme, orchestra.world.last(5))
    run(orchestra, "gsc_more", "acme")
    run(orchestra, "gsc_insights", "acme")
    return orchestra


def test_every_asset_says_when_it_was_last_true_for_each_workspace(kept: Orchestra) -> None:
    checks = judged(kept)
    assert sorted(checks) == sorted(ASSETS)
    for asset, check in checks.items():
        found = rows(check)
        assert list(found) in (["globex", "acme"], ["acme", "globex"])
        assert found["acme"]["state"] == "up to date", asset
    site = rows(checks[SITE])["acme"]
    assert site["last good sync (UTC)"].startswith(f"{kept.world.now:%Y-%m-%d %H:%M}")
    assert site["newest day"] == str(kept.world.last(1).start)
    assert site["final up to"] < site["newest day"]
    assert rows(checks[CURVE])["acme"]["as of"] == site["final up to"]


def test_a_workspace_that_was_never_read_comes_first_and_is_warned_of_where_something_is_due(
    kept: Orchestra,
) -> None:
    checks = judged(kept)
    for asset in (SITE, PROPERTIES.name):
        check = checks[asset]
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert check.description == "1 of 2 workspaces is not up to date: globex"
        assert next(iter(rows(check).values()))["state"] == "never"
    # No insight can follow from days that are not there.
    assert checks[CURVE].passed
    assert rows(checks[CURVE])["globex"]["state"] == "no final day yet"


def test_what_fails_now_is_told_with_what_to_do_about_it(kept: Orchestra) -> None:
    checks = judged(kept)
    for asset in (SITE, SITEMAPS.name):
        told = rows(checks[asset])["acme"]["wrong now, and what to do"]
        assert REFUSED in told
        assert "add the credential as a user of the property" in told
    assert "gsc_auto_sync" in rows(checks[SITE])["globex"]["wrong now, and what to do"]


def test_what_is_too_old_is_overdue(kept: Orchestra) -> None:
    del kept.workspaces[1]
    assert all(check.passed for check in judged(kept).values())
    kept.world.now += timedelta(hours=13)
    overdue = {asset for asset, check in judged(kept).items() if not check.passed}
    assert overdue == {SITE, URL_IMPRESSION.name}
    kept.world.now += timedelta(hours=24)
    overdue = {asset for asset, check in judged(kept).items() if not check.passed}
    assert overdue == {SITE, URL_IMPRESSION.name, *(table.name for table in MORE_TABLES)}


def test_insights_are_overdue_only_once_their_data_has_moved(kept: Orchestra) -> None:
    del kept.workspaces[1]
    kept.world.now += timedelta(days=2)
    kept.world.sync(kept.workspaces[0])
    assert judged(kept)[CURVE].passed
    kept.world.now += timedelta(hours=13)
    check = judged(kept)[CURVE]
    assert not check.passed
    assert rows(check)["acme"]["state"] == "overdue"
    assert "gsc_insights" in rows(check)["acme"]["wrong now, and what to do"]


def test_no_run_of_the_syncs_and_insights_judges_all_workspaces_beside(kept: Orchestra) -> None:
    defs = build_defs(load_settings(), resources={"pipeline": kept.pipeline})
    for job in ("gsc_sync", "gsc_more", "gsc_insights"):
        steps = {node.name for node in defs.resolve_job_def(job).nodes}
        assert "up_to_date" not in steps
