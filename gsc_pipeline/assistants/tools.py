"""The tools: what an assistant may ask, with their descriptions. All of them only read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Any

from pydantic import Field

from gsc_pipeline.assistants.answers import (
    Answer,
    CompareAnswer,
    DescribedTable,
    Dimension,
    Figures,
    InsightAnswer,
    Metric,
    Period,
    QueryAnswer,
    ReportAnswer,
    SearchTypeName,
    ServedWorkspace,
    StatusAnswer,
    TablesAnswer,
    WorkspacesAnswer,
)
from gsc_pipeline.assistants.compare import MEANINGS, Comparison, windows
from gsc_pipeline.assistants.docs import RULES
from gsc_pipeline.assistants.messages import CallError, Limits, Result, Statement
from gsc_pipeline.assistants.reported import failing, report_answer
from gsc_pipeline.assistants.states import ServedStates
from gsc_pipeline.assistants.tables import columns_of, result_fields, table_of
from gsc_pipeline.days import Clock, Window, utc_now
from gsc_pipeline.insights.scope import WHOLE
from gsc_pipeline.insights.tables import read_ranked
from gsc_pipeline.lake import export_log
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.parquet_source import sql_text
from gsc_pipeline.lake.schemas import INSIGHTS, SYNC_LEDGER, TABLES
from gsc_pipeline.report.data import ReportError, configured, report_data
from gsc_pipeline.report.totals import Totals, outermost
from gsc_pipeline.sync.failures import is_configured
from gsc_pipeline.workspaces.registry import Workspace

RunSql = Callable[[Sequence[Statement]], tuple[Result, ...]]
"""Runs statements over the served workspaces' rows. Raises CallError."""

READERS = 2
"""Calls that read the lake at the same time, besides queries."""

WAIT_SECONDS = 20.0
"""How long such a call waits for its turn."""

_Workspace = Annotated[str, Field(description="A workspace's id, from list_workspaces")]
_Limit = Annotated[int, Field(ge=1, description="The most rows to return")]


class Tools:
    """The tools over the rows of the served workspaces. Thread-safe."""

    def __init__(
        self,
        lake: Lake,
        workspaces: Sequence[Workspace],
        run_sql: RunSql,
        limits: Limits,
        clock: Clock = utc_now,
    ) -> None:
        self._lake, self._run_sql, self._limits, self._clock = lake, run_sql, limits, clock
        self._workspaces = {one.id: one for one in workspaces}
        self._states = ServedStates(lake, workspaces, clock)
        self._turns = threading.BoundedSemaphore(READERS)

    def every(self) -> tuple[Callable[..., Answer], ...]:
        """The tools, as functions whose signatures and docstrings describe them."""
        return (
            self.list_workspaces,
            self.describe_tables,
            self.query,
            self.insight,
            self.status,
            self.compare,
            self.report,
        )

    def list_workspaces(self) -> WorkspacesAnswer:
        """List the workspaces (clients or brands) that can be asked about, with their properties and days.

        Call this first: the other tools take the ids.
        """
        with self._turn():
            states = self._states.read()
        listed = [
            ServedWorkspace(
                id=workspace.id,
                name=workspace.name,
                is_active=workspace.active,
                properties=None if workspace.properties is None else list(workspace.properties),
                search_types=[one.name for one in workspace.search_types],
                first_day=state.first_day,
                newest_day=state.last_day,
                final_up_to=state.final_up_to,
            )
            for workspace, state in zip(self._workspaces.values(), states, strict=True)
        ]
        most = self._limits.rows
        return WorkspacesAnswer(
            freshness=self._states.freshness_of(states),
            workspaces=listed[:most],
            workspaces_left_out=len(listed) > most,
        )

    def describe_tables(
        self,
        tables: Annotated[
            list[str] | None, Field(description="Names of tables whose columns to list; all tables without")
        ] = None,
    ) -> TablesAnswer:
        """List the tables for `query`, or the columns of some tables, with the rules for correct numbers.

        Without names: every table with its description and keys. With names: also each column's meaning.
        """
        known = {table.name: table for table in TABLES}
        unknown = [name for name in tables or () if name not in known and name != export_log.NAME]
        if unknown:
            raise CallError(f"unknown table: expected one or more of {', '.join(known)}")
        named = dict.fromkeys(tables or ())
        wanted = known.values() if tables is None else [known[name] for name in named if name in known]
        described = [
            DescribedTable(
                name=table.name,
                description=table.description,
                keys=list(table.keys),
                columns=[] if tables is None else columns_of(table),
            )
            for table in wanted
        ]
        if tables is None or export_log.NAME in tables:
            described.append(
                DescribedTable(name=export_log.NAME, description=export_log.DESCRIPTION, keys=[], columns=[])
            )
        with self._turn():
            freshness = self._states.freshness()
        return TablesAnswer(freshness=freshness, rules=list(RULES), tables=described)

    def query(
        self,
        sql: Annotated[str, Field(description="One SELECT, or EXPLAIN and a SELECT, in DuckDB's dialect")],
        limit: _Limit = 100,
    ) -> QueryAnswer:
        """Run one DuckDB SELECT over the tables, which hold the rows of the served workspaces only.

        Read describe_tables first: its rules are needed for correct totals, positions and rates. Aggregate in
        SQL rather than fetching rows. Files, settings, most table functions, other statements and several
        statements are refused; time, memory, rows and characters are limited. SHOW, DESCRIBE and SUMMARIZE
        work; PIVOT does not.
        """
        if len(sql) > self._limits.sql_characters:
            most = self._limits.sql_characters
            raise CallError(f"the SQL has {len(sql)} characters: expected at most {most}")
        with self._turn():
            freshness = self._states.freshness()
        (result,) = self._run_sql([Statement(sql, self._most(limit))])
        return QueryAnswer(freshness=freshness, **result_fields(result))

    def insight(
        self,
        name: Annotated[str, Field(description=f"One of: {', '.join(one.name for one in INSIGHTS)}")],
        workspace: _Workspace,
        limit: _Limit = 50,
    ) -> InsightAnswer:
        """The rows of an insight of one workspace, the most important first.

        striking_distance: queries just below the top. ctr_gap: seen but not clicked. cannibalisation: pages
        that compete. content_decay: pages that lose clicks. winners_and_losers: the largest changes.
        anomalies: unusual days. index_coverage: index problems. daily_performance: clicks, impressions and
        position by day. ctr_curve: clicks by position. describe_tables explains their columns. anomalies,
        content_decay, winners_and_losers and index_coverage are those of whole properties, queries and pages:
        `query` has their rows of content groups too. change_points and content_group_days have every group.
        """
        served = self._served(workspace)
        table = next((one for one in INSIGHTS if one.name == name), None)
        if table is None:
            raise CallError(f"unknown insight: expected one of {', '.join(one.name for one in INSIGHTS)}")
        with self._turn():
            rows = configured(WHOLE.of(table, read_ranked(self._lake, table, served.id)), served)
            freshness = self._states.freshness(served.id)
        column = "as_of" if "as_of" in rows else "data_date"
        return InsightAnswer(
            freshness=freshness,
            insight=table.name,
            description=table.description,
            workspace=served.id,
            computed_for=None if rows.empty else rows[column].max().date(),
            rows_in_all=len(rows),
            **dict(table_of(rows, self._most(limit), self._limits, table)),
        )

    def status(self, workspace: _Workspace) -> StatusAnswer:
        """How one workspace stands: days by status, last syncs, and what fails, since when and what helps.

        Use it before trusting numbers of recent days, and when numbers look wrong or are missing.
        """
        served = self._served(workspace)
        with self._turn():
            (state,) = [one for one in self._states.read() if one.workspace == served.id]
        return StatusAnswer(
            freshness=self._states.freshness_of([state]),
            workspace=served.id,
            is_active=state.active,
            first_day=state.first_day,
            final_days=state.final,
            empty_days=state.empty,
            clicks=state.clicks,
            impressions=state.impressions,
            cut_clicks=state.cut_clicks,
            cut_impressions=state.cut_impressions,
            last_sync=state.last_sync,
            failed_syncs_in_a_row=state.failed_in_a_row,
            incomplete_syncs_in_a_row=state.incomplete_in_a_row,
            failing=[failing(one) for one in state.failures],
            is_damaged=bool(state.damaged),
        )

    def compare(
        self,
        workspace: _Workspace,
        metric: Metric,
        dimension: Dimension,
        start: Annotated[date, Field(description="First day of the period, YYYY-MM-DD")],
        end: Annotated[date, Field(description="Last day of the period, included")],
        against: Annotated[
            str,
            Field(
                description="previous_period (the equal period before), previous_year (52 weeks earlier), or "
                "the first day of another period of equal length"
            ),
        ] = "previous_period",
        search_type: SearchTypeName = "WEB",
        site_url: Annotated[
            str | None,
            Field(description="One property. Without, all that can be added without counting twice"),
        ] = None,
        limit: _Limit = 25,
    ) -> CompareAnswer:
        """Compare clicks, impressions, ctr or position in two periods, by a dimension, largest changes first.

        Why did clicks fall? Compare by page, then query, device and country. `is_comparable` says whether all
        days of both periods are final: end the period at `final_up_to` of list_workspaces if it is false.
        """
        served = self._served(workspace)
        window, other = windows(start, end, against)
        site_urls = self._properties(served, search_type, site_url)
        comparison = Comparison(served.id, tuple(site_urls), search_type, metric, dimension, window, other)
        items, totals, days = self._run_sql(
            [
                Statement(comparison.items_sql(), self._most(limit)),
                Statement(comparison.totals_sql(), 1),
                Statement(comparison.days_sql(), 2),
            ]
        )
        with self._turn():
            freshness = self._states.freshness(served.id)
        counts = {row[0]: row[1:] for row in days.rows}
        period, before = (_period(one, len(site_urls), counts.get(one is window)) for one in (window, other))
        total = totals.rows[0] if totals.rows else [0, 0, None, None, 0, 0, None, None, 0]
        return CompareAnswer(
            freshness=freshness,
            workspace=served.id,
            metric=metric,
            dimension=dimension,
            search_type=search_type,
            site_urls=site_urls,
            period=period,
            against=before,
            is_comparable=all(one.final_days == one.days for one in (period, before)),
            total=_figures(total[:4]),
            total_against=_figures(total[4:8]),
            unlisted_clicks=total[8] if dimension == "query" else None,
            **result_fields(items, MEANINGS),
        )

    def report(self, workspace: _Workspace) -> ReportAnswer:
        """The report of a workspace: figures, changes, forecasts, devices, countries, findings, advice.

        The best start for "how is it going?". Each finding says what it means and what to do; its rows are
        the most important ones, `insight` has all. The figures are as last computed, up to `last_day`.
        """
        served = self._served(workspace)
        with self._turn():
            try:
                data = report_data(self._lake, served, now=self._clock())
            except ReportError:
                raise CallError(
                    "nothing to report yet, because no final day has impressions: status has more"
                ) from None
            freshness = self._states.freshness(served.id)
        return report_answer(data, freshness, self._limits)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Read the lake, a few at a time."""
        if not self._turns.acquire(timeout=WAIT_SECONDS):
            raise CallError(f"{READERS} calls are reading the lake already: try again in some seconds")
        try:
            yield
        finally:
            self._turns.release()

    def _served(self, workspace: str) -> Workspace:
        served = self._workspaces.get(workspace)
        if served is None:
            raise CallError("unknown workspace: expected one of the ids in list_workspaces")
        return served

    def _most(self, limit: int) -> int:
        return min(limit, self._limits.rows)

    def _properties(self, workspace: Workspace, search_type: str, site_url: str | None) -> list[str]:
        """The properties whose numbers are added: `site_url`, or those that no other one includes."""
        (found,) = self._run_sql(
            [
                Statement(
                    f"SELECT DISTINCT site_url FROM {SYNC_LEDGER.name} WHERE workspace = "
                    f"{sql_text(workspace.id)} AND search_type = {sql_text(search_type)} ORDER BY ALL",
                    self._limits.rows,
                )
            ]
        )
        known = [str(row[0]) for row in found.rows if is_configured(workspace, row[0], search_type)]
        if not known:
            raise CallError("this workspace has no data of that search type: status shows what it has")
        if site_url is not None and site_url not in known:
            raise CallError(f"unknown property: expected one of {', '.join(known[:20])}")
        return [site_url] if site_url else outermost(known)


def _period(window: Window, properties: int, counts: Sequence[int] | None) -> Period:
    final, provisional, cut = counts or (0, 0, 0)
    days = len(window) * properties
    return Period(
        start=window.start,
        end=window.last,
        days=days,
        final_days=final,
        provisional_days=provisional,
        cut_days=cut,
        missing_days=days - final - provisional,
    )


def _figures(row: Sequence[Any]) -> Figures:
    clicks, impressions, _, position = row
    return Figures.of(Totals(clicks, impressions, position))
