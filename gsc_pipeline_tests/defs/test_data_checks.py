"""The data checks as Dagster runs them: one run covers every workspace."""

from __future__ import annotations

import dagster as dg
import pytest

from gsc_pipeline.definitions import build_defs
from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.settings import load_settings
from gsc_pipeline_tests.defs.conftest import Orchestra

SITE = dg.AssetKey(SITE_IMPRESSION.name)


def run_checks(orchestra: Orchestra) -> dict[str, dg.AssetCheckEvaluation]:
    defs = build_defs(load_settings(), resources=orchestra.resources)
    result = defs.resolve_job_def("gsc_checks").execute_in_process(instance=orchestra.instance)
    assert result.success
    found = result.get_asset_check_evaluations()
    return {check.check_name: check for check in found if check.asset_key == SITE}


def test_a_correct_lake_passes_every_check(orchestra: Orchestra) -> None:
    for workspace in orchestra.workspaces:
        orchestra.world.sync(workspace)
    found = run_checks(orchestra)
    assert len(found) == 8
    assert all(check.passed for check in found.values())


def test_a_check_names_workspace_and_day_of_an_offence(orchestra: Orchestra) -> None:
    for workspace in orchestra.workspaces:
        orchestra.world.sync(workspace)
    day = orchestra.world.last(2).start
    target = Target("globex", "sc-domain:acme.com", "WEB", (day,))
    orchestra.world.lake.replace(SITE_IMPRESSION, target, SITE_IMPRESSION.schema.empty_table())
    check = run_checks(orchestra)["totals_reconcile"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    (example,) = check.metadata["examples"].records
    assert (example.data["workspace"], example.data["data_date"]) == ("globex", str(day))


@pytest.mark.soak
def test_an_inactive_workspace_is_not_checked(orchestra: Orchestra) -> None:
    orchestra.world.sync(orchestra.workspaces[0])
    assert not run_checks(orchestra)["up_to_date"].passed
    del orchestra.workspaces[1]
    assert run_checks(orchestra)["up_to_date"].passed
