"""One workspace's report as files.

Belongs here: bringing insights up to date, and writing. Does not: what is in the files (`page`, `findings`).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import DAILY_PERFORMANCE, INSIGHTS
from gsc_pipeline.report.data import ReportData, ReportError, report_data
from gsc_pipeline.report.spreadsheets import write_csv
from gsc_pipeline.workspaces import Workspace


def write_report(
    lake: Lake, workspace: Workspace, folder: Path, *, now: datetime, as_csv: bool = False
) -> list[Path]:
    """Bring the workspace's insights up to date and write `<id>.html`; with `as_csv` also a CSV per insight.

    Returns the files, the page first. Raises ReportError when there is nothing to report on, or a file
    cannot be written; LakeError where the lake does not do its part.
    """
    refresh_insights(lake, workspace, now=now)
    data = report_data(lake, workspace, now=now)
    file = write_page(data, folder)
    try:
        return [file, *(_tables(lake, data, folder) if as_csv else ())]
    except OSError as error:
        raise _unwritable(data, folder, error) from None


def write_page(data: ReportData, folder: Path) -> Path:
    """Write `<id>.html` into the folder, which is made if need be. Raises ReportError where it cannot be."""
    # Only now, because drawing takes time and memory that a workspace without a report need not spend.
    from gsc_pipeline.report.page import page

    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{data.workspace.id}.html"
        file.write_text(page(data), encoding="utf-8")
    except OSError as error:
        raise _unwritable(data, folder, error) from None
    return file


def _unwritable(data: ReportData, folder: Path, error: OSError) -> ReportError:
    cause = f"{data.workspace.id}: the report cannot be written to {folder} ({error.strerror})"
    return ReportError(f"{cause}: name another folder")


def _tables(lake: Lake, data: ReportData, folder: Path) -> list[Path]:
    files = []
    for table in INSIGHTS:
        rows = lake.read(table, workspace=data.workspace.id).to_pandas(date_as_object=False)
        if table is DAILY_PERFORMANCE:
            # The others are one file, in their order; this one is a file per month.
            rows = rows.sort_values(list(table.keys))
        files.append(folder / f"{data.workspace.id}-{table.name}.csv")
        write_csv(files[-1], rows.drop(columns=["workspace", "month"]))
    return files
