"""This project as a library: `sync_workspace` of one workspace into the folder's lake."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

from gsc_pipeline.days import Window
from gsc_pipeline.footprint import reduce_footprint
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.wiring import console_opener, sync_options
from gsc_pipeline.workspaces import Workspace


def main() -> None:
    """Sync the job's days."""
    reduce_footprint()
    job = json.loads(sys.argv[1])
    settings = load_settings(api_url=job["url"])
    workspace = Workspace(
        id="acme",
        name="Acme",
        credentials=ServiceAccountFile(Path(job["key"])),
        properties=tuple(job["sites"]),
        search_types=(QueryType.WEB,),
    )
    window = Window(date.fromisoformat(job["start"]), date.fromisoformat(job["end"]))
    with closing(console_opener(settings)(workspace)) as console:
        lake = Lake(f"{job['folder']}/lake")
        report = sync_workspace(workspace, window, console, lake, options=sync_options(settings))
    assert not report.problems, report.reason
    print(json.dumps({"rows": report.rows}))  # noqa: T201


if __name__ == "__main__":
    main()
