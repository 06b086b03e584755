"""The code location at a glance: `defs` is everything Dagster sees.

Importing this reads the environment, and no file and no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from gsc_pipeline.assets.searchdata import searchdata_asset
from gsc_pipeline.jobs import sync_job
from gsc_pipeline.partitions import partitions_definition
from gsc_pipeline.resources import live_pipeline
from gsc_pipeline.schedules import auto_sync_schedule
from gsc_pipeline.sensors import workspaces_sensor
from gsc_pipeline.settings import Settings, load_settings


def build_defs(
    settings: Settings | None = None, resources: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The definitions for `settings` (the environment's by default).

    `resources` replace the live ones by name (`pipeline`), for tests and experiments.
    """
    settings = settings or load_settings()
    resources = {"pipeline": live_pipeline(settings), **(resources or {})}
    list_workspaces = resources["pipeline"].list_workspaces
    partitions = partitions_definition(
        settings.start_date, lambda: [workspace.id for workspace in list_workspaces()]
    )
    job = sync_job()
    return dg.Definitions(
        assets=[searchdata_asset(partitions)],
        jobs=[job],
        schedules=[auto_sync_schedule(job, settings)],
        sensors=[workspaces_sensor()],
        resources=resources,
        executor=dg.in_process_executor,
    )


defs = build_defs()
