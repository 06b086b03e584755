"""The table `sitemaps`: the sitemaps of each property, day by day."""

import dagster as dg

from gsc_pipeline.assets.by_workspace import workspace_asset
from gsc_pipeline.assets.shared_runs import RETRIES
from gsc_pipeline.lake.schemas import SITEMAPS
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.sync.sitemaps import sync_sitemaps
from gsc_pipeline.sync.sources import SourceReport
from gsc_pipeline.workspaces import Workspace


def sitemaps_asset(partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES) -> dg.AssetsDefinition:
    """A call per property."""

    def sync(workspace: Workspace, console: SearchConsole, pipeline: Pipeline, run_id: str) -> SourceReport:
        return sync_sitemaps(workspace, console, pipeline.lake, clock=pipeline.clock, run_id=run_id)

    return workspace_asset(SITEMAPS, sync, partitions, retries)
