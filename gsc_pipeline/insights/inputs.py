"""The inputs of the insights, aggregated from the rows of one workspace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa

from gsc_pipeline.insights import sql
from gsc_pipeline.insights.canonical_queries import NAMED_QUERY
from gsc_pipeline.insights.content_group_days import GroupDays, group_days
from gsc_pipeline.insights.content_groups import group_sql
from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.insights.reader import RowQueries
from gsc_pipeline.insights.seo_tests import TEST_DAYS_INPUT
from gsc_pipeline.insights.windows import compared, final_days, window
from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import (
    CONTENT_GROUP_DAYS,
    SITE_IMPRESSION,
    SITEMAPS,
    SYNC_LEDGER,
    URL_IMPRESSION,
    URL_INSPECTIONS,
    TableSpec,
)
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.seo_tests import SeoTest

READ = (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, URL_INSPECTIONS, SITEMAPS, CONTENT_GROUP_DAYS)
"""The tables that insights read."""

_OF_DAY = ("site_url", "search_type", "data_date", "clicks", "impressions")
_CUT = ("cut_clicks", "cut_impressions")
_URL_SUMS = ("url_rows", "url_clicks", "url_impressions")
_LEDGER = (*_OF_DAY, *_CUT, *_URL_SUMS, "status", "position", "truncated", "last_read_at")
_POSITIONS = (*_OF_DAY, "query", "device", "sum_top_position")

_TESTS_AT_ONCE = 20


class Inputs:
    """The inputs of one workspace's insights, from the lake as it was when this was created.

    DuckDB aggregates the rows, so only sums are held in memory. `tables` are the ones to read and must
    include the ledger. The properties of folders are left out: those that they complete have the same pages.
    Raises LakeError if the lake cannot be read. Use in a `with`, or call `close`.
    """

    def __init__(self, lake: Lake, workspace: Workspace, tables: Sequence[TableSpec] = READ) -> None:
        self._thresholds = workspace.thresholds
        self._content_groups = workspace.content_groups
        self._is_brand = sql.is_brand_sql(workspace.brand_terms)
        self._rows = RowQueries(lake, workspace.id, tables)
        self._without = workspace.folder_urls
        self._pairs: dict[int, pd.DataFrame] = {}
        self.ledger = self._kept(self._over(SYNC_LEDGER, _LEDGER, "SELECT * FROM facts ORDER BY ALL"))
        self._refuse_doubled(workspace.id)
        self.final = final_days(self.ledger, workspace.thresholds.window_days)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and free its memory."""
        self._rows.close()

    def _refuse_doubled(self, workspace: str) -> None:
        """Raise LakeError if the ledger has two records of a day: every sum over days would be wrong."""
        doubled = self.ledger[self.ledger.duplicated([*SERIES, "data_date"])]
        if len(doubled):
            one = doubled.iloc[0]
            self.close()
            raise LakeError(
                f"{SYNC_LEDGER.name} has more than one record of {one.site_url} ({one.search_type}) on "
                f"{one.data_date.date()}: another program wrote to the lake. "
                f"Run gsc verify {workspace} --repair"
            )

    @property
    def newest(self) -> date | None:
        """The last final day among the workspace's properties; None without any."""
        return self.final["as_of"].max().date() if len(self.final) else None

    def fingerprint(self) -> str:
        """A text that changes whenever the data of the insights does."""
        inspected = self._over(URL_INSPECTIONS, ["inspected_at"], sql.LAST_INSPECTION)
        frames = (self.ledger, self.sitemaps(), inspected)
        return " ".join(f"{int(pd.util.hash_pandas_object(frame).sum()):x}" for frame in frames)

    def named_by_day(self) -> pd.DataFrame:
        """Input of daily_performance."""
        return self._over(SITE_IMPRESSION, (*_OF_DAY, "query"), sql.NAMED_BY_DAY)

    def curve_positions(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Inputs of ctr_curve and ctr_gap: sums by position, and by query if it has enough impressions."""
        self._rows.reset()
        days = self._window(self._thresholds.curve_days)
        deepest, least = self._thresholds.curve_positions - 1, self._thresholds.ctr_gap_impressions
        self._over(SITE_IMPRESSION, _POSITIONS, sql.MAKE_PLACED, days, deepest=deepest)
        self._frame(sql.MAKE_PLACED_FORMS, least=least)
        self._over(SITE_IMPRESSION, _POSITIONS, sql.MAKE_PLACED_QUERIES, days, deepest=deepest, least=least)
        return self._frame(sql.POSITIONS), self._frame(sql.QUERY_POSITIONS)

    def queries(self) -> pd.DataFrame:
        """Input of striking_distance."""
        self._rows.reset()
        days, least = self._window(self._thresholds.window_days), self._thresholds.striking_impressions
        self._over(SITE_IMPRESSION, _POSITIONS, sql.MAKE_QUERIES, days)
        self._frame(sql.MAKE_QUERY_FORMS, least=least)
        self._frame(sql.MAKE_SHOWN_QUERIES, least=least)
        return self._frame(sql.QUERIES)

    def query_pages(self, queries: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Input of cannibalisation, and the page with the most impressions for each of `queries`.

        The latter has the columns of NAMED_QUERY and url, and no row for a query without a page.
        """
        self._rows.reset()
        columns = (*_OF_DAY, "query", "url", "sum_position")
        days, least = self._window(self._thresholds.window_days), self._thresholds.cannibalisation_clicks
        self._over(URL_IMPRESSION, columns, sql.MAKE_QUERY_PAGES, days)
        wanted = queries[NAMED_QUERY].drop_duplicates()
        texts = {name: pa.array(wanted[name], pa.string(), from_pandas=True) for name in wanted}
        self._rows.register("wanted", pa.table(texts))
        self._frame(sql.MAKE_PAGE_FORMS, least=least)
        self._frame(sql.MAKE_CLICKED_QUERIES, least=least)
        return self._frame(sql.SHARED_QUERIES), self._frame(sql.TOP_PAGES)

    def compared_queries(self) -> pd.DataFrame:
        """Input of winners_and_losers: queries and canonical queries, the latter by `item` their spelling."""
        self._rows.reset()
        days, least = self.pairs(self._thresholds.window_days), self._thresholds.change_impressions
        self._over(SITE_IMPRESSION, (*_OF_DAY, "query", "sum_top_position"), sql.MAKE_COMPARED_QUERIES, days)
        self._frame(sql.MAKE_COMPARED_FORMS, least=least)
        self._frame(sql.MAKE_COMPARED_FOUND, least=least)
        return self._frame(sql.COMPARED_QUERIES, least=least)

    def compared_pages(self, back: int) -> pd.DataFrame:
        """Input of winners_and_losers and content_decay: pages against the window `back` days before."""
        self._rows.reset()
        return self._over(
            URL_IMPRESSION,
            (*_OF_DAY, "url", "sum_position"),
            sql.COMPARED_PAGES,
            self.pairs(back),
            least_impressions=self._thresholds.change_impressions,
            least_clicks=self._thresholds.decay_clicks,
        )

    def pairs(self, back: int) -> pd.DataFrame:
        """The days of two equal windows of each series, `back` days apart, as `compared` gives them."""
        if back not in self._pairs:
            share = self._thresholds.compared_days_share
            self._pairs[back] = compared(self.final, self._thresholds.window_days, back, share)
        return self._pairs[back]

    def parts(self, *, are_compared: bool) -> pd.DataFrame:
        """Sums by device and country over two adjacent windows, counted by property.

        Unless they are compared, all final days of the window count, and the sums of the earlier one are 0.
        """
        window_days = self._thresholds.window_days
        alone = window(self.final, window_days, 0.0).assign(period="now")
        days = self.pairs(window_days) if are_compared else alone
        columns = (*_OF_DAY, "device", "country", "sum_top_position")
        return self._over(SITE_IMPRESSION, columns, sql.COMPARED_PARTS, days)

    def test_days(self, tests: Sequence[SeoTest]) -> pd.DataFrame:
        """Input of seo_tests: final days of which pages are known, and zero on those without a row of a set.

        Reads nothing without tests.
        """
        wanted = {(one.site_url, one.search_type) for one in tests}
        is_wanted = [pair in wanted for pair in zip(*(self.final[name] for name in SERIES), strict=True)]
        days = self.final.loc[is_wanted, [*SERIES, "data_date"]]
        days = days.merge(self._days_without_pages(), on=[*SERIES, "data_date"], how="left", indicator=True)
        days = days[days["_merge"] == "left_only"].drop(columns="_merge")
        if days.empty:
            return pd.DataFrame(columns=list(TEST_DAYS_INPUT))
        # In parts, because the time to plan a query grows with the square of its columns.
        parts = [tests[first : first + _TESTS_AT_ONCE] for first in range(0, len(tests), _TESTS_AT_ONCE)]
        return pd.concat([self._days_of_tests(part, days) for part in parts], ignore_index=True)

    def _days_without_pages(self) -> pd.DataFrame:
        """Days with impressions of which the lake has no page: of no set is it known what it had."""
        has_pages = self.ledger["url_rows"].fillna(1) > 0
        return self.ledger.loc[(self.ledger["impressions"] > 0) & ~has_pages, [*SERIES, "data_date"]]

    def _days_of_tests(self, tests: Sequence[SeoTest], days: pd.DataFrame) -> pd.DataFrame:
        """The rows of some tests in `test_days`."""
        self._rows.reset()
        self._over(URL_IMPRESSION, (*SERIES, "data_date", "url"), sql.MAKE_TESTED_URLS, days)
        self._rows.query(sql.make_tested_sql(tests, group_sql(self._content_groups)))
        sums = self._over(URL_IMPRESSION, (*_OF_DAY, "url"), sql.test_days_sql(tests), days)
        whole = days.merge(sums, on=[*SERIES, "data_date"], how="left").fillna(0)
        frames = []
        for number, test in enumerate(tests):
            is_own = (whole["site_url"] == test.site_url) & (whole["search_type"] == test.search_type)
            own = whole[is_own].assign(test=test.name)
            names = {f"{name}_{number}": name for name in TEST_DAYS_INPUT[2:]}
            frames.append(own.rename(columns=names)[list(TEST_DAYS_INPUT)])
        return pd.concat(frames, ignore_index=True)

    def inspections(self) -> pd.DataFrame:
        """Input of index_coverage: the latest inspection of each page."""
        columns = [c for c in URL_INSPECTIONS.schema.names if c != "result_json"]
        return self._kept(self._over(URL_INSPECTIONS, columns, sql.INSPECTIONS))

    def sitemaps(self) -> pd.DataFrame:
        """Input of index_coverage: the latest record of each listed sitemap."""
        return self._kept(self._over(SITEMAPS, SITEMAPS.schema.names, sql.LISTED_SITEMAPS))

    def group_days(self) -> GroupDays:
        """The days of content groups, and what has changed of those that are stored."""
        most = self._thresholds.most_groups
        return group_days(self._rows, self.ledger, self.final, self._content_groups, most)

    def with_groups(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with the column `content_group`, the group of their `url`; missing without a url."""
        urls = pa.array(rows["url"].dropna().unique(), pa.string(), from_pandas=True)
        self._rows.register("urls", pa.table({"url": urls}))
        groups = self._rows.query(f"SELECT url, {group_sql(self._content_groups)} AS content_group FROM urls")
        return rows.assign(content_group=rows["url"].map(groups.set_index("url")["content_group"]))

    def _kept(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[~rows["site_url"].isin(self._without)].reset_index(drop=True)

    def _window(self, days: int) -> pd.DataFrame:
        return window(self.final, days, self._thresholds.compared_days_share)

    def _over(
        self,
        table: TableSpec,
        columns: Sequence[str],
        query: str,
        days: pd.DataFrame | None = None,
        **parameters: Any,
    ) -> pd.DataFrame:
        """The result of the query over the rows of the table, joined with `days` if given."""
        if days is not None:
            self._rows.register_days("chosen", days)
        self._rows.open_facts(table, columns, days)
        return self._frame(query, **parameters)

    def _frame(self, query: str, **parameters: Any) -> pd.DataFrame:
        return self._rows.query(query.replace("{is_brand}", self._is_brand), **parameters)
