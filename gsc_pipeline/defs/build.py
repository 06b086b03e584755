"""Builds the definitions that Dagster loads, from settings and resources."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from gsc_pipeline.defs.assets.bookkeeping import bookkeeping_specs
from gsc_pipeline.defs.assets.insights import CLIENT_REPORT, insights_asset
from gsc_pipeline.defs.assets.portal import PORTAL, portal_asset
from gsc_pipeline.defs.assets.searchdata import searchdata_asset
from gsc_pipeline.defs.assets.workspace_tables import workspace_table_assets
from gsc_pipeline.defs.auto_sync import AUTO_SYNC, auto_sync_check
from gsc_pipeline.defs.checks import data_checks
from gsc_pipeline.defs.events import ASSETS
from gsc_pipeline.defs.freshness_checks import up_to_date_checks
from gsc_pipeline.defs.housekeeping import housekeeping_job
from gsc_pipeline.defs.jobs import checks_job, insights_job, more_job, portal_job, sync_job
from gsc_pipeline.defs.metadata import place
from gsc_pipeline.defs.partitions import ListedWorkspaces, partitions_definition
from gsc_pipeline.defs.resources import WorkspacesFile, all_resources
from gsc_pipeline.defs.schedules import all_schedules
from gsc_pipeline.defs.sensors import all_sensors
from gsc_pipeline.defs.workspace_runs import RETRIES
from gsc_pipeline.lake.schemas import INSIGHTS, TABLES
from gsc_pipeline.settings import Settings, load_settings
from gsc_pipeline.sync.tables.more import MORE_TABLES

_MORE = [one.table for one in MORE_TABLES]


def build_defs(
    settings: Settings | None = None,
    resources: Mapping[str, Any] | None = None,
    *,
    retries: dg.RetryPolicy = RETRIES,
) -> dg.Definitions:
    """The definitions for `settings`, by default those of the environment. Does no I/O.

    `resources` replace those of the same names (`defs.resources`). `retries` is the policy of every asset.
    """
    settings = settings or load_settings()
    chosen = all_resources(settings, resources or {})
    checks = [
        *data_checks(),
        up_to_date_checks(settings, ASSETS, _MORE, INSIGHTS, CLIENT_REPORT),
    ]
    return dg.Definitions(
        assets=_all_assets(settings, chosen["workspaces"], retries),
        asset_checks=[*checks, auto_sync_check()],
        jobs=[
            sync_job(settings),
            more_job(_MORE),
            insights_job(INSIGHTS, CLIENT_REPORT),
            portal_job(PORTAL),
            checks_job(checks),
            housekeeping_job(settings),
        ],
        schedules=all_schedules(settings),
        sensors=all_sensors(settings),
        resources=chosen,
        executor=dg.in_process_executor,
    )


def _all_assets(
    settings: Settings, file: WorkspacesFile, retries: dg.RetryPolicy
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    def listed_ids() -> list[str]:
        return [workspace.id for workspace in file.load()]

    by_workspace = ListedWorkspaces(listed_ids)
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        searchdata_asset(partitions_definition(settings.start_date, listed_ids), retries),
        *workspace_table_assets(by_workspace, retries),
        insights_asset(by_workspace, retries),
        portal_asset(retries),
        *bookkeeping_specs(),
        AUTO_SYNC,
    ]
    tables = {table.name: table for table in TABLES}

    def completed(spec: dg.AssetSpec) -> dg.AssetSpec:
        table = tables.get(spec.key.to_user_string())
        metadata = place(table, settings.lake) if table else {}
        return spec.merge_attributes(owners=settings.owners.split(), metadata=metadata)

    return list(dg.map_asset_specs(completed, assets))
