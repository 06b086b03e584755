"""What the insights are made from, read out of the lake: one frame for each declared input.

Belongs here: which query over which days gives which input. Does not: the queries (`queries`), windows
(`windows`), or what the sums mean (the insights' own modules).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa

from gsc_pipeline.insights import queries as sql
from gsc_pipeline.insights.frames import SERIES
from gsc_pipeline.insights.windows import YEAR, compared, final_days, window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SITEMAPS, SYNC_LEDGER, URL_IMPRESSION, URL_INSPECTIONS
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.thresholds import Thresholds

READ = (SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, URL_INSPECTIONS, SITEMAPS)
"""The tables that insights are made from."""


class LakeSource:
    """One workspace's inputs, as the insights declare them, summed inside DuckDB: memory holds sums.

    Raises LakeError where the lake cannot be read. To be closed, or used in a `with`.
    """

    def __init__(
        self, lake: Lake, workspace: str, brand_terms: Sequence[str], thresholds: Thresholds
    ) -> None:
        self._thresholds = thresholds
        self._is_brand = sql.is_brand_sql(brand_terms)
        self._connection = connect(lake, workspace=workspace, tables=READ)
        self.ledger = self._frame(sql.LEDGER)
        self.final = final_days(self.ledger, thresholds.window_days)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection and all it holds."""
        self._connection.close()

    def fingerprint(self) -> str:
        """A text that is another whenever what the insights are made from is."""
        return repr(self._connection.execute(sql.FINGERPRINT).fetchone())

    def named_by_day(self) -> pd.DataFrame:
        """Input of daily_performance."""
        return self._frame(sql.NAMED_BY_DAY)

    def curve_positions(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Inputs of ctr_curve and of ctr_gap: sums by position, and those of queries shown enough."""
        deepest, least = self._thresholds.curve_positions, self._thresholds.ctr_gap_impressions
        self._over(self._window(self._thresholds.curve_days), sql.MAKE_QUERY_POSITIONS, deepest=deepest)
        return self._frame(sql.POSITIONS), self._frame(sql.QUERY_POSITIONS, least=least)

    def queries(self) -> pd.DataFrame:
        """Input of striking_distance."""
        days = self._window(self._thresholds.window_days)
        return self._over(days, sql.QUERIES, least=self._thresholds.striking_impressions)

    def query_pages(self) -> pd.DataFrame:
        """Input of cannibalisation; also what `top_pages` looks into."""
        self._over(self._window(self._thresholds.window_days), sql.MAKE_QUERY_PAGES)
        return self._frame(sql.SHARED_QUERIES, least=self._thresholds.cannibalisation_clicks)

    def top_pages(self, queries: pd.DataFrame) -> pd.DataFrame:
        """The page shown most often for each query: site_url, search_type, query, url.

        Only after `query_pages`; a query without a page in that window has no row.
        """
        wanted = queries[[*SERIES, "query"]].drop_duplicates()
        texts = {name: pa.array(wanted[name], pa.string(), from_pandas=True) for name in wanted}
        self._connection.register("wanted", pa.table(texts))
        return self._frame(sql.TOP_PAGES)

    def compared_queries(self) -> pd.DataFrame:
        """Input of winners_and_losers, the queries."""
        days = self._pairs(self._thresholds.window_days)
        return self._compared(days, SITE_IMPRESSION.name, "query", "sum_top_position")

    def compared_pages(self) -> pd.DataFrame:
        """Input of winners_and_losers, the pages; of content_decay too."""
        days = self._pairs(self._thresholds.window_days)
        return self._compared(days, URL_IMPRESSION.name, "url", "sum_position")

    def pages_of_a_year(self) -> pd.DataFrame:
        """Input of content_decay against the year before."""
        return self._compared(self._pairs(YEAR), URL_IMPRESSION.name, "url", "sum_position")

    def inspections(self) -> pd.DataFrame:
        """Input of index_coverage: the newest inspection of each page."""
        return self._frame(sql.INSPECTIONS)

    def sitemaps(self) -> pd.DataFrame:
        """Input of index_coverage: each sitemap as it was last seen."""
        return self._frame(sql.LISTED_SITEMAPS)

    def _window(self, days: int) -> pd.DataFrame:
        return window(self.final, days, self._thresholds.compared_days_share)

    def _pairs(self, back: int) -> pd.DataFrame:
        share = self._thresholds.compared_days_share
        return compared(self.final, self._thresholds.window_days, back, share)

    def _compared(self, days: pd.DataFrame, table: str, of: str, position: str) -> pd.DataFrame:
        least = self._thresholds
        return self._over(
            days,
            sql.compared_sql(table, of, position),
            least_impressions=least.change_impressions,
            least_clicks=least.decay_clicks,
        )

    def _over(self, days: pd.DataFrame, query: str, **parameters: Any) -> pd.DataFrame:
        """The query's result over the chosen days; only their files are opened."""
        columns = {
            name: days[name].dt.date if name in ("data_date", "as_of") else days[name] for name in days
        }
        types = {"data_date": pa.date32(), "as_of": pa.date32(), "days": pa.int64()}
        arrays = {name: pa.array(columns[name], types.get(name, pa.string())) for name in columns}
        self._connection.register("chosen", pa.table(arrays))
        first, last = days["data_date"].min(), days["data_date"].max()
        span = {"first": None, "last": None} if days.empty else {"first": first.date(), "last": last.date()}
        return self._frame(query, **span, **parameters)

    def _frame(self, query: str, **parameters: Any) -> pd.DataFrame:
        return self._connection.execute(query.format(is_brand=self._is_brand), parameters).df()
