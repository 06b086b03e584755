"""Builds the definitions that Dagster loads, from settings and resources."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from gsc_pipeline.defs.assets.bookkeeping import bookkeeping_specs
from gsc_pipeline.defs.assets.insights import insights_asset
from gsc_pipeline.defs.assets.portal import portal_asset
from gsc_pipeline.defs.assets.searchdata import searchdata_asset
from gsc_pipeline.defs.assets.workspace_tables import workspace_table_assets
from gsc_pipeline.defs.auto_sync import auto_sync_check, auto_sync_spec
from gsc_pipeline.defs.checks import data_checks
from gsc_pipeline.defs.freshness_checks import up_to_date_checks
from gsc_pipeline.defs.housekeeping import housekeeping_job
from gsc_pipeline.defs.jobs import checks_job, insights_job, more_job, portal_job, sync_job
from gsc_pipeline.defs.keys import AssetKeys, name_of
from gsc_pipeline.defs.metadata import place
from gsc_pipeline.defs.partitions import ListedWorkspaces, partitions_definition
from gsc_pipeline.defs.resources import WorkspacesFile, all_resources
from gsc_pipeline.defs.schedules import all_schedules
from gsc_pipeline.defs.sensors import all_sensors
from gsc_pipeline.defs.workspace_runs import RETRIES
from gsc_pipeline.lake.schemas import TABLES
from gsc_pipeline.settings import Settings, load_settings


def build_defs(
    settings: Settings | None = None,
    resources: Mapping[str, Any] | None = None,
    *,
    retries: dg.RetryPolicy = RETRIES,
    asset_key_prefix: Sequence[str] = (),
    group_name: str | None = None,
    shared: bool = False,
) -> dg.Definitions:
    """The definitions for `settings`, by default those of the environment. Does no I/O.

    `resources` replace those of the same names (`defs.resources`). `retries` is the policy of every asset.
    `asset_key_prefix` comes before the name of every asset, `group_name` replaces the groups of all assets.
    `shared`: the project and its instance have other definitions too, so there is no default executor, and
    housekeeping deletes no runs and no check results.
    """
    settings = settings or load_settings()
    keys = AssetKeys(tuple(asset_key_prefix))
    chosen = all_resources(settings, resources or {})
    checks = [*data_checks(keys), up_to_date_checks(settings, keys)]
    return dg.Definitions(
        assets=_all_assets(settings, chosen["workspaces"], retries, keys, group_name),
        asset_checks=[*checks, auto_sync_check(keys)],
        jobs=[
            sync_job(settings, keys),
            more_job(keys),
            insights_job(keys),
            portal_job(keys),
            checks_job(checks),
            housekeeping_job(settings, owns_instance=not shared),
        ],
        schedules=all_schedules(settings),
        sensors=all_sensors(settings, keys),
        resources=chosen,
        executor=None if shared else dg.in_process_executor,
    )


def _all_assets(
    settings: Settings, file: WorkspacesFile, retries: dg.RetryPolicy, keys: AssetKeys, group: str | None
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    def listed_ids() -> list[str]:
        return [workspace.id for workspace in file.load()]

    by_workspace = ListedWorkspaces(listed_ids)
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        searchdata_asset(partitions_definition(settings.start_date, listed_ids), retries, keys),
        *workspace_table_assets(by_workspace, retries, keys),
        insights_asset(by_workspace, retries, keys),
        portal_asset(retries, keys),
        *bookkeeping_specs(keys),
        auto_sync_spec(keys),
    ]
    tables = {table.name: table for table in TABLES}

    def completed(spec: dg.AssetSpec) -> dg.AssetSpec:
        table = tables.get(name_of(spec.key))
        metadata = place(table, settings.lake) if table else {}
        spec = spec.merge_attributes(owners=settings.owners.split(), metadata=metadata)
        return spec.replace_attributes(group_name=group) if group else spec

    return list(dg.map_asset_specs(completed, assets))
