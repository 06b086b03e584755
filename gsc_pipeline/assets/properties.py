"""The table `properties`: what each workspace's credential can see, over time."""

import dagster as dg

from gsc_pipeline.assets.by_workspace import workspace_asset
from gsc_pipeline.assets.shared_runs import RETRIES
from gsc_pipeline.lake.schemas import PROPERTIES
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.sync.properties import sync_properties
from gsc_pipeline.sync.sources import SourceReport
from gsc_pipeline.workspaces import Workspace


def properties_asset(partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES) -> dg.AssetsDefinition:
    """One call per run; a row only for what has changed."""

    def sync(workspace: Workspace, console: SearchConsole, pipeline: Pipeline, run_id: str) -> SourceReport:
        return sync_properties(workspace, console, pipeline.lake, clock=pipeline.clock, run_id=run_id)

    return workspace_asset(PROPERTIES, sync, partitions, retries)
