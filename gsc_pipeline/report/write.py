"""Write the report of a workspace, and its insights as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake.errors import cause_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import INSIGHTS
from gsc_pipeline.lake.storage import folder_of, write_file
from gsc_pipeline.report.data import ReportData, ReportError, configured, report_data
from gsc_pipeline.report.page import page
from gsc_pipeline.report.spreadsheets import csv_file
from gsc_pipeline.workspaces.registry import Workspace


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of a report: its path, or its URI in an object store, and its size in bytes."""

    address: str
    size: int


def write_report(
    lake: Lake, workspace: Workspace, place: str, *, now: datetime, as_csv: bool = False
) -> list[WrittenFile]:
    """Refresh the workspace's insights and write `<id>.html`, and with `as_csv` a CSV file for each insight.

    `place` is a folder or the URI of an object store. Each file appears as a whole. Returns the files, the
    page first. Raises ReportError if there is nothing to report or a file cannot be written, and LakeError if
    the lake cannot be read or written.
    """
    refresh_insights(lake, workspace, now=now)
    data = report_data(lake, workspace, now=now)
    files = [write_page(data, place)]
    for table in INSIGHTS if as_csv else ():
        rows = configured(read_ranked(lake, table, workspace.id), workspace)
        content = csv_file(rows.drop(columns=["workspace", "month"]))
        files.append(_write(data, place, f"{workspace.id}-{table.name}.csv", content))
    return files


def write_page(data: ReportData, place: str) -> WrittenFile:
    """Write `<id>.html` to a folder, which is created if missing, or to an object store.

    Raises ReportError if that fails.
    """
    return _write(data, place, f"{data.workspace.id}.html", page(data).encode())


def _write(data: ReportData, place: str, name: str, content: bytes) -> WrittenFile:
    try:
        return WrittenFile(write_file(place, name, content), len(content))
    except OSError as error:
        next_step = "check GSC_REPORTS, and that the bucket exists, answers and may be written to"
        if folder_of(place) is not None:
            next_step = "name another folder"
        cause = error.strerror or cause_of(error)
        raise ReportError(
            f"{data.workspace.id}: the report cannot be written to {place} ({cause}): {next_step}"
        ) from None
