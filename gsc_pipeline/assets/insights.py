"""The insights of a workspace, a table each, and the report that is made of them.

Belongs here: their run, their events, their place in the lineage. Does not: what is found (`insights`), the
report (`report`). Those are imported when a run needs them: they load pandas, and drawing.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from gsc_pipeline.assets.lineage import column_lineage, sources
from gsc_pipeline.assets.shared_runs import RETRIES, OneOfARun, for_each_workspace
from gsc_pipeline.assets.specs import about, column_schema, table_metadata
from gsc_pipeline.lake.schemas import DAILY_PERFORMANCE, INSIGHTS, TableSpec
from gsc_pipeline.partitions import ListedWorkspaces
from gsc_pipeline.resources import Pipeline
from gsc_pipeline.workspaces import Workspace

if TYPE_CHECKING:
    from gsc_pipeline.insights.refresh import InsightsReport
    from gsc_pipeline.report.data import ReportData

CLIENT_REPORT = "client_report"


def insights_asset(partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES) -> dg.AssetsDefinition:
    """Insights, made anew where something moved, and the report of them, for each workspace of a run."""

    @dg.multi_asset(
        name="insights",
        specs=[*(_spec(table) for table in INSIGHTS), _report_spec()],
        partitions_def=partitions,
        can_subset=True,
        retry_policy=retries,
    )
    def insights(context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> Iterator[None]:
        for_each_workspace(context, pipeline, retries, _make)
        # What was made is told by workspace, so the step itself has nothing to yield.
        yield from ()

    return insights


def _make(one: OneOfARun) -> None:
    """What was selected of insights and report; a report alone rests on the insights as they are."""
    selected = {key.to_user_string() for key in one.context.selected_asset_keys}
    tables = [table for table in INSIGHTS if table.name in selected]
    if tables:
        _refresh(one, tables)
    if CLIENT_REPORT in selected:
        _write_report(one)


def _refresh(one: OneOfARun, tables: Sequence[TableSpec]) -> None:
    from gsc_pipeline.insights.refresh import refresh_insights

    report = refresh_insights(one.pipeline.lake, one.workspace, now=one.pipeline.clock())
    if not report.changed:
        one.context.log.info(f"{one.workspace.id}: nothing moved since the insights were made, so they stay")
    for table in tables:
        one.tell(table.name, _metadata(one.pipeline, one.workspace, table, report))


def _write_report(one: OneOfARun) -> None:
    from gsc_pipeline.report.data import ReportError, report_data
    from gsc_pipeline.report.write import write_page

    try:
        data = report_data(one.pipeline.lake, one.workspace, now=one.pipeline.clock())
    except ReportError as error:
        # A workspace of which no day is final yet: it has no report, and that is no failure.
        one.context.log.warning(str(error))
        return
    try:
        file = write_page(data, one.pipeline.reports)
    except ReportError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    one.tell(
        CLIENT_REPORT,
        {
            "path": dg.MetadataValue.path(file.absolute()),
            "kilobytes": round(file.stat().st_size / 1000, 1),
            **_headline(data),
        },
    )


def _spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        description=about(
            table.description,
            made_by="the job `gsc_insights`, which the sensor `gsc_tick_summary` asks for when a workspace's "
            "days have moved; also by `gsc report`.",
            partition="one workspace. Its event shows the foremost rows; `as_of` is the last final day they "
            "rest on, and `changed` is false where nothing had moved and the rows stayed.",
            table=table,
        ),
        deps=[source.name for source in sources(table)],
        group_name="insights",
        kinds={"deltalake", "pandas"},
        skippable=True,
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/column_lineage": column_lineage(table),
        },
    )


def _report_spec() -> dg.AssetSpec:
    return dg.AssetSpec(
        CLIENT_REPORT,
        description=about(
            "One HTML file for the client, which needs no network to open: headline figures, days, brand "
            "split, devices and countries, each insight with what to do about it. In the folder that "
            "GSC_REPORTS names, as `<workspace>.html`.",
            made_by="the job `gsc_insights`, after the insights; also by `gsc report acme`.",
            partition="one workspace. Its event names the file. One without an event has no final day yet.",
        ),
        deps=[table.name for table in INSIGHTS],
        group_name="report",
        kinds={"html"},
        skippable=True,
    )


def _metadata(
    pipeline: Pipeline, workspace: Workspace, table: TableSpec, report: "InsightsReport"
) -> dict[str, Any]:
    from gsc_pipeline.report.preview import chart, foremost

    rows = pipeline.lake.read(table, workspace=workspace.id)
    shown = foremost(table, rows)
    metadata: dict[str, Any] = {
        "rows": report.rows[table.name],
        "as_of": str(report.as_of) if report.as_of else "no day is final yet",
        "changed": report.changed,
    }
    if shown:
        metadata["foremost_rows"] = table_metadata(list(shown[0]), [list(row.values()) for row in shown])
    drawn = chart(rows) if table is DAILY_PERFORMANCE else None
    if drawn:
        metadata["chart"] = dg.MetadataValue.md(
            f"{drawn.site_url}, {drawn.search_type}\n\n![Clicks and impressions by day]({drawn.data_uri})"
        )
    return metadata


def _headline(data: "ReportData") -> dict[str, Any]:
    """The report's headline figures, each with its change against the window before where that is known."""
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
