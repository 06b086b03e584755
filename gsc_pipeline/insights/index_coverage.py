"""The table index_coverage: index states of inspected pages, also by content group, and sitemaps."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.measures import ratio, require
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.schemas import INDEX_COVERAGE
from gsc_pipeline.workspaces.content_groups import ALL
from gsc_pipeline.workspaces.thresholds import Thresholds

INSPECTIONS_INPUT = (
    "site_url",
    "url",
    "inspected_on",
    "verdict",
    "coverage_state",
    "page_fetch_state",
    "is_in_sitemap",
    "content_group",
)
"""The latest inspection of each page, and the group of the page."""

SITEMAPS_INPUT = ("site_url", "path", "observed_on", "errors", "warnings", "submitted")
"""The latest record of each sitemap that Search Console still lists."""

_GROUP = ["site_url", "content_group"]

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


def index_coverage(inspections: pd.DataFrame, sitemaps: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of index_coverage: one per index state of pages, and one per sitemap.

    The states are counted of all pages (the group `all`), and of the `most_groups` content groups of each
    property with the most inspected pages.

    Pages are a problem if their verdict is FAIL, if Google could not fetch them, or if a sitemap lists them
    but Google does not index them. A sitemap is a problem if it has errors.
    """
    pages = require(inspections, INSPECTIONS_INPUT)
    grouped = pd.concat([pages.assign(content_group=ALL), _of_largest(pages, thresholds.most_groups)])
    found = [_states(grouped), _sitemaps(require(sitemaps, SITEMAPS_INPUT))]
    return ranked(INDEX_COVERAGE, pd.concat([one for one in found if len(one)] or found[:1]))


def _of_largest(pages: pd.DataFrame, most: int) -> pd.DataFrame:
    """The pages of each property's groups with the most pages."""
    sizes = pages.groupby(_GROUP, as_index=False).size()
    sizes = sizes.sort_values(["size", "content_group"], ascending=[False, True])
    return pages.merge(sizes.groupby("site_url").head(most)[_GROUP], on=_GROUP)


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
        .groupby([*_GROUP, "item", "is_problem"], as_index=False)
        .agg(
            pages=("url", "count"),
            as_of=("inspected_on", "max"),
            verdict=("verdict", "first"),
            example_url=("url", "first"),
        )
    )
    states["share"] = ratio(states["pages"], states.groupby(_GROUP)["pages"].transform("sum"))
    missing = pd.Series(pd.NA, index=states.index, dtype="Int64")
    return states.assign(source="inspections", errors=missing, warnings=missing)


def _sitemaps(listed: pd.DataFrame) -> pd.DataFrame:
    missing = pd.Series(pd.NA, index=listed.index, dtype="string")
    return pd.DataFrame(
        {
            "site_url": listed["site_url"],
            "content_group": ALL,
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
