"""The columns that each column of an insight is computed from, for the lineage in Dagster's UI.

Columns that are not computed from single columns of a source, such as `days` and `weeks`, have no entry.
"""

from collections.abc import Mapping

import dagster as dg

from gsc_pipeline.defs.keys import PLAIN, AssetKeys
from gsc_pipeline.lake.schemas import (
    ANNOTATIONS,
    ANOMALIES,
    CANNIBALISATION,
    CHANGE_POINTS,
    CONTENT_DECAY,
    CONTENT_GROUP_DAYS,
    CTR_CURVE,
    CTR_GAP,
    DAILY_PERFORMANCE,
    FORECASTS,
    INDEX_COVERAGE,
    SEO_TESTS,
    SITE_IMPRESSION,
    SITEMAPS,
    STRIKING_DISTANCE,
    SYNC_LEDGER,
    URL_IMPRESSION,
    URL_INSPECTIONS,
    WINNERS_AND_LOSERS,
    TableSpec,
)

Sources = Mapping[TableSpec, str]
"""Columns of a table, separated by spaces."""


def _both(name: str) -> Sources:
    return {SITE_IMPRESSION: name, URL_IMPRESSION: name}


def _of(table: TableSpec, **columns: str) -> dict[str, Sources]:
    return {name: {table: sources} for name, sources in columns.items()}


_SERIES = {"site_url": "site_url", "search_type": "search_type"}
_COUNTS = {"clicks": "clicks", "impressions": "impressions", "ctr": "clicks impressions"}
_BY_PROPERTY = _of(SITE_IMPRESSION, **_SERIES, **_COUNTS, position="sum_top_position impressions")
_QUERY = _of(SITE_IMPRESSION, query="query", canonical_query="query", queries="query")
_BRAND = _QUERY | _of(SITE_IMPRESSION, is_brand="query")
_EXPECTED = _of(CTR_CURVE, expected_ctr="expected_ctr")
_ANNOTATION = _of(ANNOTATIONS, annotation="title first_day last_day")
_TOP_URL = _of(URL_IMPRESSION, url="url impressions", content_group="url")
_COMPARED = {
    "clicks_before": "clicks",
    "clicks": "clicks",
    "change": "clicks",
    "change_share": "clicks",
    "impressions_before": "impressions",
    "impressions": "impressions",
}


def _by_group(**columns: str) -> dict[str, Sources]:
    """Columns of pages, and of the days of content groups."""
    return {name: {URL_IMPRESSION: of, CONTENT_GROUP_DAYS: of} for name, of in columns.items()}


def _of_days(*columns: str, metrics: str = "clicks impressions position") -> dict[str, Sources]:
    """Columns that are computed from these metrics of the days of properties and of content groups."""
    of = {DAILY_PERFORMANCE: metrics, CONTENT_GROUP_DAYS: metrics}
    both = {DAILY_PERFORMANCE: "site_url", CONTENT_GROUP_DAYS: "site_url"}
    return {"site_url": both, **dict.fromkeys(columns, of)}


def _named_by_group(column: str, of: Sources) -> dict[str, Sources]:
    """A column with the names of items, and of content groups."""
    return {column: {**of, CONTENT_GROUP_DAYS: "content_group"}}


_OF_TESTS = ("variant_before", "variant_after", "control_before", "control_after", "effect", "low", "high")

_COLUMNS: dict[TableSpec, dict[str, Sources]] = {
    DAILY_PERFORMANCE: _BY_PROPERTY
    | _of(
        SITE_IMPRESSION,
        data_date="data_date",
        brand_clicks="query clicks",
        brand_impressions="query impressions",
        non_brand_clicks="query clicks",
        non_brand_impressions="query impressions",
        anonymised_clicks="query clicks",
        anonymised_impressions="query impressions",
        cut_clicks="is_truncated clicks",
        cut_impressions="is_truncated impressions",
    ),
    CTR_CURVE: _BY_PROPERTY
    | _of(SITE_IMPRESSION, device="device", expected_ctr="clicks impressions sum_top_position"),
    CTR_GAP: _BY_PROPERTY
    | _QUERY
    | _of(SITE_IMPRESSION, device="device")
    | _TOP_URL
    | _EXPECTED
    | {"gap_clicks": {SITE_IMPRESSION: "clicks impressions", CTR_CURVE: "expected_ctr"}},
    STRIKING_DISTANCE: _BY_PROPERTY
    | _BRAND
    | _TOP_URL
    | _EXPECTED
    | {"potential_clicks": {SITE_IMPRESSION: "clicks impressions", CTR_CURVE: "expected_ctr"}},
    CANNIBALISATION: _of(
        URL_IMPRESSION,
        **_SERIES,
        query="query",
        canonical_query="query",
        queries="query",
        is_brand="query",
        url="url",
        content_group="url",
        pages="url clicks",
        hhi="impressions",
        query_clicks="clicks",
        query_impressions="impressions",
        clicks="clicks",
        click_share="clicks",
        impressions="impressions",
        impression_share="impressions",
        position="sum_position impressions",
    ),
    CONTENT_DECAY: _by_group(
        **_SERIES,
        **_COMPARED,
        position_before="sum_position impressions",
        position="sum_position impressions",
    )
    | _named_by_group("url", {URL_IMPRESSION: "url"})
    | _of(URL_IMPRESSION, content_group="url")
    | _ANNOTATION,
    WINNERS_AND_LOSERS: {
        name: {**_both(source), CONTENT_GROUP_DAYS: source} for name, source in (_SERIES | _COMPARED).items()
    }
    | _named_by_group("item", {SITE_IMPRESSION: "query", URL_IMPRESSION: "url"})
    | {"kind": {**_both("clicks impressions"), CONTENT_GROUP_DAYS: "clicks impressions"}}
    | {
        name: {
            SITE_IMPRESSION: "sum_top_position impressions",
            URL_IMPRESSION: "sum_position impressions",
            CONTENT_GROUP_DAYS: "sum_position impressions",
        }
        for name in ("position_before", "position")
    }
    | _named_by_group("content_group", {URL_IMPRESSION: "url"})
    | _ANNOTATION,
    ANOMALIES: _of_days("value", "expected", "spread", "robust_z")
    | {name: {DAILY_PERFORMANCE: name, CONTENT_GROUP_DAYS: name} for name in ("search_type", "data_date")}
    | _of(CONTENT_GROUP_DAYS, content_group="content_group")
    | _ANNOTATION,
    INDEX_COVERAGE: {
        "site_url": {URL_INSPECTIONS: "site_url", SITEMAPS: "site_url"},
        "as_of": {URL_INSPECTIONS: "inspected_on", SITEMAPS: "observed_on"},
        "item": {URL_INSPECTIONS: "coverage_state", SITEMAPS: "path"},
        "is_problem": {
            URL_INSPECTIONS: "verdict page_fetch_state sitemaps",
            SITEMAPS: "errors",
        },
        "pages": {URL_INSPECTIONS: "url", SITEMAPS: "submitted"},
    }
    | _of(URL_INSPECTIONS, content_group="url", verdict="verdict", share="url", example_url="url")
    | _of(SITEMAPS, errors="errors", warnings="warnings"),
    CONTENT_GROUP_DAYS: _of(
        URL_IMPRESSION,
        **_SERIES,
        data_date="data_date",
        content_group="url",
        clicks="clicks",
        impressions="impressions",
        sum_position="sum_position",
        position="sum_position impressions",
    ),
    CHANGE_POINTS: _of_days("first_day", "level_before", "level_after", "change", "confidence")
    | _of(ANNOTATIONS, updates_and_notes="title first_day last_day"),
    FORECASTS: _of_days("expected", "low", "high", "actual", metrics="clicks impressions"),
    SEO_TESTS: _of(URL_IMPRESSION, **_SERIES, **dict.fromkeys(_OF_TESTS, "url clicks impressions")),
}


def sources(table: TableSpec) -> list[TableSpec]:
    """The tables that an insight is made of: those of its columns, and the ledger for the final days."""
    of_columns = list(dict.fromkeys(source for of in _COLUMNS[table].values() for source in of))
    return of_columns if table is INDEX_COVERAGE else [*of_columns, SYNC_LEDGER]


def column_lineage(table: TableSpec, keys: AssetKeys = PLAIN) -> dg.TableColumnLineage:
    """The columns of an insight, each with its source columns."""
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(keys.of(source.name), name)
                for source, names in of.items()
                for name in names.split()
            ]
            for column, of in _COLUMNS[table].items()
        }
    )
