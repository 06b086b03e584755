"""The table `searchdata_hourly`: the hours of the last ten days, by property and by page."""

import dagster as dg

from gsc_pipeline.assets.by_workspace import workspace_asset
from gsc_pipeline.assets.shared_runs import RETRIES
from gsc_pipeline.lake.schemas import SEARCHDATA_HOURLY
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.sync.hourly import sync_hourly
from gsc_pipeline.sync.sources import SourceReport
from gsc_pipeline.workspaces import Workspace


def hourly_asset(partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES) -> dg.AssetsDefinition:
    """A call per property and search type, and one or more for each day that moved."""

    def sync(workspace: Workspace, console: SearchConsole, pipeline: Pipeline, run_id: str) -> SourceReport:
        return sync_hourly(workspace, console, pipeline.lake, clock=pipeline.clock, run_id=run_id)

    return workspace_asset(SEARCHDATA_HOURLY, sync, partitions, retries)
