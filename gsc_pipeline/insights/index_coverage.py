"""The table index_coverage: index states of inspected pages, and sitemaps."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.measures import ratio, require
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.schemas import INDEX_COVERAGE

INSPECTIONS_INPUT = (
    "site_url",
    "url",
    "inspected_on",
    "verdict",
    "coverage_state",
    "page_fetch_state",
    "is_in_sitemap",
)
"""The latest inspection of each page."""

SITEMAPS_INPUT = ("site_url", "path", "observed_on", "errors", "warnings", "submitted")
"""The latest record of each sitemap that Search Console still lists."""

_BROKEN = (
    "SOFT_404",
    "NOT_FOUND",
    "ACCESS_DENIED",
    "SERVER_ERROR",
    "REDIRECT_ERROR",
    "ACCESS_FORBIDDEN",
    "BLOCKED_4XX",
    "INTERNAL_CRAWL_ERROR",
    "INVALID_URL",
)


def index_coverage(inspections: pd.DataFrame, sitemaps: pd.DataFrame) -> pd.DataFrame:
    """Rows of index_coverage: one per index state of pages, and one per sitemap.

    Pages are a problem if their verdict is FAIL, if Google could not fetch them, or if a sitemap lists them
    but Google does not index them. A sitemap is a problem if it has errors.
    """
    found = [_states(require(inspections, INSPECTIONS_INPUT)), _sitemaps(require(sitemaps, SITEMAPS_INPUT))]
    return ranked(INDEX_COVERAGE, pd.concat([one for one in found if len(one)] or found[:1]))


def _states(pages: pd.DataFrame) -> pd.DataFrame:
    verdict = pages["verdict"].fillna("VERDICT_UNSPECIFIED")
    is_problem = (
        (verdict == "FAIL")
        | pages["page_fetch_state"].isin(_BROKEN)
        | (pages["is_in_sitemap"].astype(bool) & ~verdict.isin(("PASS", "PARTIAL")))
    )
    pages = pages.assign(
        item=pages["coverage_state"].fillna("unknown"), verdict=verdict, is_problem=is_problem
    )
    states = (
        pages.sort_values("url")
        .groupby(["site_url", "item", "is_problem"], as_index=False)
        .agg(
            pages=("url", "count"),
            as_of=("inspected_on", "max"),
            verdict=("verdict", "first"),
            example_url=("url", "first"),
        )
    )
    states["share"] = ratio(states["pages"], states.groupby("site_url")["pages"].transform("sum"))
    missing = pd.Series(pd.NA, index=states.index, dtype="Int64")
    return states.assign(source="inspections", errors=missing, warnings=missing)


def _sitemaps(listed: pd.DataFrame) -> pd.DataFrame:
    missing = pd.Series(pd.NA, index=listed.index, dtype="string")
    return pd.DataFrame(
        {
            "site_url": listed["site_url"],
            "item": listed["path"],
            "is_problem": listed["errors"] > 0,
            "pages": listed["submitted"],
            "as_of": listed["observed_on"],
            "verdict": missing,
            "example_url": missing,
            "share": pd.Series(pd.NA, index=listed.index, dtype="Float64"),
            "source": "sitemaps",
            "errors": listed["errors"].astype("Int64"),
            "warnings": listed["warnings"].astype("Int64"),
        }
    )
