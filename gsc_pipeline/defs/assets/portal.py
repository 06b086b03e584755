"""The portal: one page of all workspaces, which links to their reports.

`report` is imported inside the asset: it loads libraries that other runs do not need.
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.keys import CLIENT_REPORT, PLAIN, PORTAL, AssetKeys
from gsc_pipeline.defs.metadata import about
from gsc_pipeline.defs.resources import LakeTables, ReportsFolder, WorkspacesFile
from gsc_pipeline.defs.workspace_runs import RETRIES, read_workspaces
from gsc_pipeline.lake.schemas import (
    CHANGE_POINTS,
    FOLDER_DAYS,
    FORECASTS,
    MORE_LEDGER,
    PAST_CAP,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
)

READ = (
    SYNC_LEDGER,
    SYNC_RUNS,
    STANDING_FAILURES,
    PAST_CAP,
    FOLDER_DAYS,
    MORE_LEDGER,
    CHANGE_POINTS,
    FORECASTS,
)
"""The tables that the portal reads."""


def portal_asset(retries: dg.RetryPolicy = RETRIES, keys: AssetKeys = PLAIN) -> dg.AssetsDefinition:
    """The asset `portal`, which has no partitions: each run writes the whole page."""

    @dg.asset(
        key=keys.of(PORTAL),
        description=about(
            "One HTML file for the agency: the most important changes of level over all workspaces, what "
            "needs a person, and a row for each active workspace with its headline figures, latest change, "
            "forecast, clicks by week and state, with links to the reports. The file is "
            "`index.html` in the folder or bucket that GSC_REPORTS names. It lists every client, so do not "
            "hand it on. Green: the page is written; the event names the file. Red: it could not be written, "
            "and the earlier page remains.",
            made_by="the job `gsc_portal`, which the sensor `gsc_portal_after_runs` starts when syncs or "
            "reports have ended; also by `gsc report --all`.",
        ),
        deps=[keys.of(name) for name in (CLIENT_REPORT, *(table.name for table in READ))],
        group_name="report",
        kinds={"html"},
        retry_policy=retries,
    )
    def portal(
        context: dg.AssetExecutionContext,
        workspaces: WorkspacesFile,
        lake: LakeTables,
        reports: ReportsFolder,
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[Any]:
        from gsc_pipeline.report.data import ReportError
        from gsc_pipeline.report.portal import portal_data
        from gsc_pipeline.report.write import write_portal

        listed = read_workspaces(context, workspaces)
        stale_after = timedelta(hours=reports.stale_after_hours)
        data = portal_data(lake.open(), listed, stale_after=stale_after, now=clock())
        try:
            file = write_portal(data, reports.how().place)
        except ReportError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(file.address),
                "kilobytes": round(file.size / 1000, 1),
                "workspaces": len(data.rows),
                "need_attention": sum(bool(row.attention) for row in data.rows),
            }
        )

    return portal
