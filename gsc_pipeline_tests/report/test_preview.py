"""The charts of insights in the Dagster UI."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from datetime import date, timedelta

import pandas as pd
import pytest

from gsc_pipeline.lake.schemas import (
    CHANGE_POINTS,
    CONTENT_GROUP_DAYS,
    CTR_GAP,
    DAILY_PERFORMANCE,
    FORECASTS,
    INSIGHTS,
    SEO_TESTS,
    TableSpec,
)
from gsc_pipeline.report.preview import RowsOf, chart
from gsc_pipeline_tests.report.insight_rows import (
    AS_OF,
    SITE,
    Row,
    change,
    every,
    forecast,
    group_days,
    refused,
    seo_test,
)
from gsc_pipeline_tests.report.test_charts import texts

DAYS = [AS_OF - timedelta(age) for age in range(119, -1, -1)]
DAILY = [
    {"site_url": site, "search_type": "WEB", "data_date": day, "is_final": True, "clicks": clicks}
    | {"impressions": 10 * clicks}
    for site, clicks in ((SITE, 410), ("https://shop.acme.com/", 30))
    for day in DAYS
]
MADE: dict[TableSpec, list[Row]] = {
    DAILY_PERFORMANCE: DAILY,
    CHANGE_POINTS: [
        change(date(2026, 10, 20)),
        change(date(2026, 10, 20), group="/blog/"),
        change(date(2026, 10, 25), 9, 4, site_url="https://shop.acme.com/"),
        change(date(2026, 2, 1)),
    ],
    FORECASTS: every(
        forecast(), forecast("impressions", 4400), forecast(made_on=AS_OF - timedelta(28), actual=410)
    ),
    CONTENT_GROUP_DAYS: group_days(
        {"/blog/": 200, "/guide/": 100, "/shop/": 50, "/b/": 9, "other": 1}, days=120
    ),
    SEO_TESTS: [
        seo_test("titles", "effect", "Clicks rose `by` 12%.", effect=0.12, low=0.05, high=0.19),
        seo_test("faq", "too_early", "9 of 28 days are final."),
    ],
}


def rows_of(made: dict[TableSpec, list[Row]]) -> RowsOf:
    def rows(table: TableSpec) -> pd.DataFrame:
        found = pd.DataFrame([{"as_of": AS_OF, **row} for row in made.get(table, [])])
        found = found.reindex(columns=[*table.schema.names])
        days = [name for name in found if name.endswith(("_day", "_date", "_on")) or name == "as_of"]
        return found.assign(**{day: pd.to_datetime(found[day]) for day in days})

    return rows


def drawn(table: TableSpec, made: dict[TableSpec, list[Row]] = MADE) -> tuple[str, list[str], str]:
    """The title of the chart, its texts, and its legend."""
    found = chart(table, rows_of(made))
    assert found is not None
    before, _, after = found.markdown.partition("(data:image/svg+xml;base64,")
    image, _, legend = after.partition(")\n\n")
    svg = base64.b64decode(image).decode()
    assert "var(--" not in svg
    assert len(found.markdown) < 60_000
    return before.partition("\n")[0], texts(ET.fromstring(svg)), legend


def test_changes_are_drawn_in_the_days_of_the_largest_property_with_their_sentences() -> None:
    title, labels, legend = drawn(CHANGE_POINTS)
    assert title == "sc-domain:acme.com, WEB"
    assert labels.count("A") == 1
    assert "B" not in labels
    assert legend == (
        "1. `A: Clicks fell by 32% (from 410 to 280 a day). It began on 20 October 2026, between 18 and 22 "
        "October; chance alone does this in 3 of 100 series.`"
    )


def test_a_forecast_has_its_fan_and_its_sums() -> None:
    title, labels, legend = drawn(FORECASTS)
    assert (title, labels[-1][-3:] in ("Nov", "Dec")) == ("sc-domain:acme.com, WEB", True)
    assert "1. `From 19 November to 16 December 2026 we expect 11,264 clicks.`" in legend
    assert "it came to 11,480" in legend


def test_the_largest_groups_are_drawn_one_below_the_other() -> None:
    _, labels, legend = drawn(CONTENT_GROUP_DAYS)
    assert [label for label in labels if label.startswith("/")] == ["/blog/", "/guide/", "/shop/", "/b/"]
    assert legend == ""


def test_tests_are_drawn_as_effects_with_intervals_and_those_without_one_are_listed() -> None:
    title, labels, legend = drawn(SEO_TESTS)
    assert title == "Changed pages against unchanged ones"
    assert labels == ["−15%", "0%", "+15%", "titles, clicks"]
    assert legend == "1. `titles, clicks: Clicks rose by 12%.`\n2. `faq, clicks: 9 of 28 days are final.`"


@pytest.mark.parametrize(
    "rows",
    [
        {},
        {DAILY_PERFORMANCE: DAILY},
        {
            DAILY_PERFORMANCE: DAILY,
            FORECASTS: [refused("too short")],
            CHANGE_POINTS: [change(date(2026, 1, 1))],
        },
        {SEO_TESTS: [seo_test("faq", "too_early", "9 of 28 days are final.")]},
    ],
    ids=["nothing", "days", "old and refused", "too early"],
)
def test_without_anything_to_draw_there_is_no_chart(rows: dict[TableSpec, list[Row]]) -> None:
    for table in (CHANGE_POINTS, FORECASTS, CONTENT_GROUP_DAYS, SEO_TESTS):
        assert chart(table, rows_of(rows)) is None


def test_other_insights_have_no_chart_and_read_nothing_for_one() -> None:
    def refuse(table: TableSpec) -> pd.DataFrame:
        raise AssertionError(table.name)

    assert chart(CTR_GAP, refuse) is None
    assert {table for table in INSIGHTS if table in MADE} == set(MADE)
