"""The table `search_appearance`: how results looked, by day, by property and by page."""

import dagster as dg

from gsc_pipeline.assets.by_workspace import workspace_asset
from gsc_pipeline.assets.shared_runs import RETRIES
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.sync.appearance import sync_appearance
from gsc_pipeline.sync.sources import SourceReport
from gsc_pipeline.workspaces import Workspace


def appearance_asset(partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES) -> dg.AssetsDefinition:
    """A call per property and search type, and a few for each day that is not final yet."""

    def sync(workspace: Workspace, console: SearchConsole, pipeline: Pipeline, run_id: str) -> SourceReport:
        return sync_appearance(workspace, console, pipeline.lake, clock=pipeline.clock, run_id=run_id)

    return workspace_asset(SEARCH_APPEARANCE, sync, partitions, retries)
