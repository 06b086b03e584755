"""The table `url_inspections`: what Google's index knows of single pages."""

import dagster as dg

from gsc_pipeline.assets.by_workspace import workspace_asset
from gsc_pipeline.assets.shared_runs import RETRIES
from gsc_pipeline.lake.schemas import URL_INSPECTIONS
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.sync.inspections import sync_inspections
from gsc_pipeline.sync.sources import SourceReport
from gsc_pipeline.workspaces import Workspace


def inspections_asset(partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES) -> dg.AssetsDefinition:
    """A call per page, within the day's budget of each property."""

    def sync(workspace: Workspace, console: SearchConsole, pipeline: Pipeline, run_id: str) -> SourceReport:
        return sync_inspections(
            workspace,
            console,
            pipeline.lake,
            per_day=pipeline.inspections_per_day,
            concurrency=pipeline.options.concurrency,
            clock=pipeline.clock,
            run_id=run_id,
        )

    return workspace_asset(URL_INSPECTIONS, sync, partitions, retries)
