"""The insights of a workspace, one table each, and the report that is made from them.

`insights` and `report` are imported inside functions: they load libraries that other runs do not need.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from gsc_pipeline.days import Clock
from gsc_pipeline.defs.assets.lineage import column_lineage, sources
from gsc_pipeline.defs.keys import CLIENT_REPORT, PLAIN, AssetKeys, name_of
from gsc_pipeline.defs.metadata import about, column_schema, table_metadata
from gsc_pipeline.defs.partitions import ListedWorkspaces
from gsc_pipeline.defs.resources import AnnotationsFile, LakeTables, ReportsFolder, WorkspacesFile
from gsc_pipeline.defs.startup import listed
from gsc_pipeline.defs.workspace_runs import RETRIES, WorkspaceRun, process_workspaces, refusal
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    ANOMALIES,
    CTR_CURVE,
    DAILY_PERFORMANCE,
    FOLDER_DAYS,
    INSIGHTS,
    MORE_LEDGER,
    PAST_CAP,
    SITE_IMPRESSION,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.workspaces.annotations_file import OwnAnnotations

if TYPE_CHECKING:
    import pandas as pd

    from gsc_pipeline.insights.refresh import InsightsReport
    from gsc_pipeline.report.data import ReportData
    from gsc_pipeline.report.write import Reports

REPORTED = (
    *(table for table in INSIGHTS if table is not CTR_CURVE),
    SITE_IMPRESSION,
    URL_IMPRESSION,
    SYNC_LEDGER,
    SYNC_RUNS,
    STANDING_FAILURES,
    FOLDER_DAYS,
    PAST_CAP,
    ANNOTATIONS,
    MORE_LEDGER,
)
"""The tables that the report reads."""

ANNOTATED = (DAILY_PERFORMANCE, ANOMALIES)
"""The insights whose events list the annotations of the last days."""
ANNOTATED_DAYS = timedelta(days=90)


def insights_asset(
    partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES, keys: AssetKeys = PLAIN
) -> dg.AssetsDefinition:
    """The multi-asset of the insights and the report. It updates them for each workspace of a run.

    The insights of a workspace are computed only if the workspace's data has changed.
    """

    @dg.multi_asset(
        name="insights",
        specs=[*(_spec(table, keys) for table in INSIGHTS), _report_spec(keys)],
        partitions_def=partitions,
        can_subset=True,
        retry_policy=retries,
    )
    def insights(
        context: dg.AssetExecutionContext,
        workspaces: WorkspacesFile,
        lake: LakeTables,
        annotations: AnnotationsFile,
        reports: ReportsFolder,
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        selected = {name_of(key) for key in context.selected_asset_keys}
        tables = [table for table in INSIGHTS if table.name in selected]
        written = lake.open().for_run(context.run.run_id)
        yours = _own(context, annotations)

        @cache
        def stored() -> tuple[Annotation, ...]:
            """Every annotation, brought up to date by the run's first workspace."""
            return bring_up_to_date(written, yours=yours.valid)

        def update(run: WorkspaceRun) -> None:
            known = [one for one in stored() if one.is_of(run.workspace.id)]
            if tables:
                _refresh(run, tables, written, known, yours.problems, clock())
            if CLIENT_REPORT in selected:
                _write_report(run, lake.open(), reports.how(), clock())

        yield from process_workspaces(context, workspaces, retries, update, keys)

    return insights


def _own(context: dg.AssetExecutionContext, annotations: AnnotationsFile) -> OwnAnnotations:
    """The user's annotations. Logs the mistakes of their file, which stop no workspace."""
    try:
        own = annotations.load()
    except ConfigurationError as error:
        raise refusal(str(error)) from None
    for warning in own.warnings:
        context.log.warning(warning)
    return own


def _refresh(
    run: WorkspaceRun,
    tables: Sequence[TableSpec],
    lake: Lake,
    annotations: Sequence[Annotation],
    problems: Sequence[str],
    now: datetime,
) -> None:
    from gsc_pipeline.insights.refresh import refresh_insights
    from gsc_pipeline.insights.tables import read_ranked

    @cache
    def rows_of(table: TableSpec) -> "pd.DataFrame":
        return read_ranked(lake, table, run.workspace.id)

    report = refresh_insights(lake, run.workspace, now=now)
    what = "updated" if report.changed else "unchanged, as their data is"
    run.ended.append((Outcome.COMPLETE, f"the insights are {what}"))
    for table in tables:
        metadata = _metadata(rows_of, table, report, annotations)
        if table in ANNOTATED and problems:
            metadata["annotations_left_out"] = listed(problems)
        run.materialize(table.name, metadata)


def _write_report(run: WorkspaceRun, lake: Lake, how: "Reports", now: datetime) -> None:
    from gsc_pipeline.report.data import ReportError, report_data
    from gsc_pipeline.report.write import write_page, write_test_pages

    try:
        data = report_data(lake, run.workspace, now=now)
    except ReportError as error:
        # A workspace without a final day with impressions has no report, which is not a failure.
        run.context.log.warning(str(error))
        return
    for damage in data.damaged:
        run.context.log.warning(f"{run.workspace.id}: numbers of the report may be wrong: {damage}")
    try:
        # Before the report, which links to the pages that exist.
        write_test_pages(lake, run.workspace, how, now=now)
        file = write_page(data, how)
    except ReportError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    run.materialize(
        CLIENT_REPORT,
        {
            "path": dg.MetadataValue.path(file.address),
            "kilobytes": round(file.size / 1000, 1),
            **_headline(data),
        },
    )


def _spec(table: TableSpec, keys: AssetKeys) -> dg.AssetSpec:
    return dg.AssetSpec(
        keys.of(table.name),
        description=about(
            table.description,
            made_by="the job `gsc_insights`, which the sensors `gsc_tick_summary` and "
            "`gsc_insights_after_more` start when a workspace's data has changed; also by `gsc report`.",
            partition="one workspace. Green: up to date; the event shows the foremost rows, `as_of` is the "
            "last final day they use, and `changed` is false if the rows have not changed. Red: the update "
            "failed; the lake keeps the earlier rows. Missing: no run has made the rows.",
            table=table,
        ),
        deps=[keys.of(source.name) for source in sources(table)],
        group_name="insights",
        kinds={"deltalake", "pandas"},
        skippable=True,
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/column_lineage": column_lineage(table, keys),
        },
    )


def _report_spec(keys: AssetKeys) -> dg.AssetSpec:
    return dg.AssetSpec(
        keys.of(CLIENT_REPORT),
        description=about(
            "One HTML file for the client, which needs no network to open: headline figures, what changed, "
            "days, forecast, content groups, tests, brand split, devices and countries, each "
            "insight with what to do about it. The file is `<workspace>.html` in the folder or bucket that "
            "GSC_REPORTS names, with `<workspace>.test-<name>.html` beside it for each SEO test.",
            made_by="the job `gsc_insights`, after the insights; also by `gsc report acme`.",
            partition="one workspace. Green: the report is written; the event names the file. Red: the "
            "report could not be written. Missing: no final day of the workspace has impressions, or no run "
            "has made the report.",
        ),
        deps=[keys.of(table.name) for table in REPORTED],
        group_name="report",
        kinds={"html"},
        skippable=True,
    )


def _metadata(
    rows_of: "Callable[[TableSpec], pd.DataFrame]",
    table: TableSpec,
    report: "InsightsReport",
    annotations: Sequence[Annotation],
) -> dict[str, Any]:
    """The metadata of a table's event. `rows_of` gives a table's ranked rows, each read once."""
    from gsc_pipeline.insights.scope import WHOLE
    from gsc_pipeline.report.preview import chart, preview_rows

    shown = preview_rows(table, WHOLE.of(table, rows_of(table)))
    metadata: dict[str, Any] = {
        "rows": report.rows[table.name],
        "as_of": str(report.as_of) if report.as_of else "no day is final yet",
        "changed": report.changed,
    }
    if shown:
        metadata["foremost_rows"] = table_metadata(list(shown[0]), [list(row.values()) for row in shown])
    if table in ANNOTATED and report.as_of:
        metadata["annotations"] = _annotations(annotations, report.as_of)
    if drawn := chart(table, rows_of, annotations):
        metadata["chart"] = dg.MetadataValue.md(drawn.markdown)
    return metadata


def _annotations(annotations: Sequence[Annotation], as_of: date) -> dg.TableMetadataValue:
    """The annotations that begin or end in the last days, the newest first."""
    found = [one for one in annotations if one.begins_or_ends(as_of - ANNOTATED_DAYS, as_of)]
    return table_metadata(
        ("days", "kind", "title", "search_types", "metrics", "property", "source"),
        [
            (
                one.days,
                one.kind.words,
                one.title,
                " ".join(one.search_types) or "all",
                " ".join(one.metrics) or "all",
                one.site_url or "all",
                one.source.value,
            )
            for one in reversed(found)
        ],
    )


def _headline(data: "ReportData") -> dict[str, Any]:
    """The report's headline figures, with their changes against the previous window if there is one."""
    totals, previous = data.figures.totals, data.figures.previous
    figures: dict[str, Any] = {
        "first_day": str(data.figures.first),
        "last_day": str(data.figures.last),
        "clicks": totals.clicks,
        "impressions": totals.impressions,
    }
    for measure in ("clicks", "impressions"):
        change = previous.change(measure) if previous else None
        if change is not None:
            figures[f"{measure}_change_percent"] = round(100 * change, 1)
    return figures
