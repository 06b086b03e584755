"""The project as a library: `sync_workspace` of one workspace, into a lake in the folder."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import Window
from gsc_pipeline.lake.arrow_process import prepare_arrow
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.settings import load_settings
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Workspace


def main() -> None:
    """Sync the job's days."""
    prepare_arrow()
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
    services = Services(settings)
    with closing(services.open_console(workspace)) as console:
        lake = Lake(f"{job['folder']}/lake")
        report = sync_workspace(workspace, window, console, lake, options=services.sync_options())
    assert not report.problems, report.reason
    print(json.dumps({"rows": report.rows}))  # noqa: T201


if __name__ == "__main__":
    main()
