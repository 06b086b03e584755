"""The code location at a glance: `defs` is everything Dagster sees.

Importing this reads the environment, and no file and no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from gsc_pipeline.assets.insights import CLIENT_REPORT, insights_asset
from gsc_pipeline.assets.more import MORE_TABLES, more_assets
from gsc_pipeline.assets.searchdata import searchdata_asset
from gsc_pipeline.assets.specs import place
from gsc_pipeline.checks import data_checks
from gsc_pipeline.events import ASSETS
from gsc_pipeline.housekeeping import housekeeping_job
from gsc_pipeline.jobs import checks_job, insights_job, more_job, sync_job
from gsc_pipeline.lake.schemas import INSIGHTS, TABLES
from gsc_pipeline.partitions import ListedWorkspaces, partitions_definition
from gsc_pipeline.resources import live_pipeline
from gsc_pipeline.schedules import (
    auto_sync_more_schedule,
    auto_sync_schedule,
    checks_schedule,
    housekeeping_schedule,
)
from gsc_pipeline.sensors import workspaces_sensor
from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline.tick_summary import AUTO_SYNC, auto_sync_check, tick_summary_sensor
from gsc_pipeline.up_to_date import up_to_date_checks


def build_defs(
    settings: Settings | None = None, resources: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The definitions for `settings` (the environment's by default).

    `resources` replace the live ones by name (`pipeline`), for tests and experiments.
    """
    settings = settings or load_settings()
    resources = {"pipeline": live_pipeline(settings), **(resources or {})}
    list_workspaces = resources["pipeline"].list_workspaces

    def listed_ids() -> list[str]:
        return [workspace.id for workspace in list_workspaces()]

    tables = {table.name: table for table in TABLES}

    def completed(spec: dg.AssetSpec) -> dg.AssetSpec:
        table = tables.get(spec.key.to_user_string())
        return spec.merge_attributes(owners=owners, metadata=place(table, settings.lake) if table else {})

    checks = [
        *data_checks(),
        up_to_date_checks(settings, ASSETS, MORE_TABLES, INSIGHTS, CLIENT_REPORT),
    ]
    syncing, more, judging = sync_job(settings), more_job(MORE_TABLES), checks_job(checks)
    tidying = housekeeping_job(settings)
    insights = insights_job(INSIGHTS, CLIENT_REPORT)
    workspaces, owners = ListedWorkspaces(listed_ids), settings.owners.split()
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        searchdata_asset(partitions_definition(settings.start_date, listed_ids)),
        *more_assets(workspaces),
        insights_asset(workspaces),
        AUTO_SYNC,
    ]
    return dg.Definitions(
        assets=dg.map_asset_specs(completed, assets),
        asset_checks=[*checks, auto_sync_check()],
        jobs=[syncing, more, insights, judging, tidying],
        schedules=[
            auto_sync_schedule(syncing, settings),
            auto_sync_more_schedule(more, settings),
            checks_schedule(judging, settings),
            housekeeping_schedule(tidying, settings),
        ],
        sensors=[workspaces_sensor(), tick_summary_sensor(insights, settings)],
        resources={**resources, "pipeline": _described(resources["pipeline"])},
        executor=dg.in_process_executor,
    )


def _described(pipeline: Any) -> dg.ResourceDefinition:
    return dg.ResourceDefinition.hardcoded_resource(
        pipeline,
        description="What syncs, checks and schedules work with: the workspaces file, the Search Console "
        "client, the lake, the state that processes share. Made from the GSC_ variables, which "
        "docs/configuration.md lists.",
    )


defs = build_defs()
