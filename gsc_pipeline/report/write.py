"""Write the report of a workspace, its insights as CSV, and the portal, which links to every report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gsc_pipeline.insights.inputs import Inputs
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.scope import WHOLE, Scope
from gsc_pipeline.insights.seo_tests import METRICS, chart_days
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake.annotations.stored import known
from gsc_pipeline.lake.errors import LakeError, cause_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import INSIGHTS, SEO_TESTS, SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.lake.storage import file_names, folder_of, write_file
from gsc_pipeline.report.data import NothingToReportError, ReportData, ReportError, configured, report_data
from gsc_pipeline.report.page import page
from gsc_pipeline.report.portal import PortalData, portal_data
from gsc_pipeline.report.portal_page import portal_page
from gsc_pipeline.report.seo_test_page import TestPage, seo_test_page
from gsc_pipeline.report.spreadsheets import csv_file
from gsc_pipeline.sync.problems import Problem
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.seo_tests import page_name

log = logging.getLogger(__name__)

PORTAL = "index.html"

_HTML, _CSV = "text/html; charset=utf-8", "text/csv; charset=utf-8"


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of a report: its path, or its URI in an object store, and its size in bytes."""

    address: str
    size: int


@dataclass(frozen=True, slots=True)
class Reports:
    """How reports are written: to a folder or the URI of an object store, and whether with CSV files.

    `link_back`: each report links to the portal beside it. `scope` is what they show of the workspace.
    """

    place: str
    as_csv: bool = False
    link_back: bool = False
    scope: Scope = WHOLE


def write_report(lake: Lake, workspace: Workspace, how: Reports, *, now: datetime) -> list[WrittenFile]:
    """Refresh the workspace's insights and write `<id>.html`, and if wanted a CSV file for each insight.

    Each SEO test has a page, which is written before the report of the whole, so that this can link to it.
    With another scope than the whole, names and rows are those of the scope; of a content group, an insight
    that does not name groups has no file. Each file appears as a whole. Returns the files, the page first.
    Raises ReportError if there is nothing to report or a file cannot be written, and LakeError if the lake
    cannot be read or written.
    """
    refresh_insights(lake, workspace, now=now)
    data = report_data(lake, workspace, how.scope, now=now)
    pages_of_tests = write_test_pages(lake, workspace, how, now=now) if how.scope == WHOLE else []
    files = [write_page(data, how), *pages_of_tests]
    for table in INSIGHTS if how.as_csv else ():
        rows = configured(read_ranked(lake, table, workspace.id), workspace)
        if not how.scope.applies_to(rows):
            continue
        content = csv_file(how.scope.of(table, rows).drop(columns=["workspace", "month"]))
        name = f"{_stem(data)}-{table.name}.csv"
        files.append(_write(workspace.id, how.place, name, content, _CSV))
    return files


def write_all(
    lake: Lake,
    workspaces: Sequence[Workspace],
    how: Reports,
    *,
    stale_after: timedelta,
    now: datetime,
    on_file: Callable[[WrittenFile], None],
    on_problem: Callable[[ReportError], None],
) -> None:
    """Write the report of each active workspace, and then the portal.

    A workspace whose report fails stops no other: `on_problem` gets its error. Raises ReportError if a file
    cannot be written, which would be so for the others too, and LakeError if the portal cannot be read.
    """
    active = [workspace for workspace in workspaces if workspace.active]
    _refuse_index(active)
    for workspace in active:
        try:
            files = write_report(lake, workspace, how, now=now)
        except NothingToReportError as error:
            on_problem(error)
        except LakeError as error:
            on_problem(ReportError(f"{workspace.id}: {error}"))
        except ReportError:
            raise
        except Exception as error:
            log.exception("workspace %s: unexpected error", workspace.id)
            cause = Problem.of_fault(error).cause
            on_problem(ReportError(f"{workspace.id}: {cause}; please report it with the log"))
        else:
            for file in files:
                on_file(file)
    data = portal_data(lake, workspaces, stale_after=stale_after, now=now)
    on_file(write_portal(data, how.place))


def write_page(data: ReportData, how: Reports) -> WrittenFile:
    """Write `<id>.html` to a folder, which is created if missing, or to an object store.

    Raises ReportError if that fails.
    """
    id_ = data.workspace.id
    has_tests = data.tests is not None and len(data.tests)
    try:
        beside = file_names(how.place) if has_tests else set()
    except OSError as error:
        raise _unwritable(id_, how.place, error) from None
    html = page(data, PORTAL if how.link_back else "", beside)
    return _write(id_, how.place, f"{_stem(data)}.html", html.encode(), _HTML)


def _stem(data: ReportData) -> str:
    return data.scope.file_stem(data.workspace.id, data.group_names)


def write_test_pages(lake: Lake, workspace: Workspace, how: Reports, *, now: datetime) -> list[WrittenFile]:
    """Write `<id>.test-<name>.html` for each SEO test of the workspace, from its insights as they are.

    Reads nothing without tests. Raises ReportError if a file cannot be written, LakeError if the lake cannot
    be read.
    """
    if not workspace.seo_tests:
        return []
    annotations = [one for one in known(lake) if one.is_of(workspace.id)]
    rows = read_ranked(lake, SEO_TESTS, workspace.id)
    with Inputs(lake, workspace, (SYNC_LEDGER, URL_IMPRESSION)) as inputs:
        days = inputs.test_days(workspace.seo_tests)
    files = []
    for test in workspace.seo_tests:
        shown = TestPage(
            workspace=workspace.id,
            name=workspace.name,
            test=test,
            rows=rows[rows["test"] == test.name],
            days={metric: chart_days(test, days, annotations, metric) for metric in METRICS},
            made_at=now,
        )
        if len(shown.rows):
            name = page_name(workspace.id, test.name)
            files.append(_write(workspace.id, how.place, name, seo_test_page(shown).encode(), _HTML))
    return files


def write_portal(data: PortalData, place: str) -> WrittenFile:
    """Write `index.html`, with links to the reports that are beside it.

    Raises ReportError if it cannot be written.
    """
    _refuse_index([row.workspace for row in data.rows])
    try:
        written = file_names(place)
    except OSError as error:
        raise _unwritable("portal", place, error) from None
    reports = {row.workspace.id for row in data.rows if f"{row.workspace.id}.html" in written}
    return _write("portal", place, PORTAL, portal_page(data, reports).encode(), _HTML)


def _refuse_index(workspaces: Sequence[Workspace]) -> None:
    if any(f"{workspace.id}.html" == PORTAL for workspace in workspaces):
        raise ReportError(
            "index: the report of this workspace and the portal are both index.html: give the workspace "
            "another id"
        )


def _write(what: str, place: str, name: str, content: bytes, content_type: str) -> WrittenFile:
    try:
        return WrittenFile(write_file(place, name, content, content_type), len(content))
    except OSError as error:
        raise _unwritable(what, place, error) from None


def _unwritable(what: str, place: str, error: OSError) -> ReportError:
    next_step = "check GSC_REPORTS, and that the bucket exists, answers and may be written to"
    if folder_of(place) is not None:
        next_step = "name another folder"
    cause = error.strerror or cause_of(error)
    kind = "it" if what == "portal" else "the report"
    return ReportError(f"{what}: {kind} cannot be written to {place} ({cause}): {next_step}")
