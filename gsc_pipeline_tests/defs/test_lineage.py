"""The column lineage of the insights is correct: a column changes when the columns in its lineage do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.defs.assets.lineage import column_lineage
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    CONTENT_GROUP_DAYS,
    CTR_CURVE,
    DAILY_PERFORMANCE,
    INDEX_COVERAGE,
    INSIGHT_REFRESHES,
    INSIGHTS,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TABLES,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.lake.targets import WorkspaceRows
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest
from gsc_pipeline.workspaces.thresholds import Thresholds
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.insights.test_planted import NOW, WINDOW, YEAR_BEFORE

# As long as an SEO test needs.
LONG = Window(date(2026, 6, 10), WINDOW.end)
# So much less that the level changes in every metric.
LOW = Window(LONG.start, date(2026, 8, 10))
# So low that nearly every row is there, before a number moves and after.
EVERYTHING = Thresholds(
    significance=0, change_share=0, change_impressions=1, ctr_gap_share=1, ctr_gap_significance=0,
    ctr_gap_impressions=1, striking_impressions=1, striking_position_from=1, striking_position_to=200,
    cannibalisation_clicks=1, cannibalisation_share=0, decay_clicks=1, decay_share=0, anomaly_z=0,
    anomaly_share=0, curve_impressions=1, change_point_confidence=0, change_point_share=0,
)  # fmt: skip
ACME = Workspace(
    "acme",
    "Acme",
    ServiceAccountFile(Path("nowhere.json")),
    None,
    (QueryType.WEB,),
    brand_terms=("acme",),
    thresholds=EVERYTHING,
    seo_tests=(
        SeoTest(
            "titles",
            "sc-domain:acme.com",
            "WEB",
            date(2026, 11, 3),
            variant=PageSet(group="/"),
            control=PageSet(regex="/(blog|guides|products)/"),
        ),
    ),
)
NUMBERS = {
    SITE_IMPRESSION: ("clicks", "impressions", "sum_top_position"),
    URL_IMPRESSION: ("clicks", "impressions", "sum_position"),
}
# Columns of insights that others are made of, by what they are made of themselves.
MADE_OF = {
    (DAILY_PERFORMANCE.name, "clicks"): "clicks",
    (DAILY_PERFORMANCE.name, "impressions"): "impressions",
    (DAILY_PERFORMANCE.name, "position"): "sum_top_position",
    (CTR_CURVE.name, "expected_ctr"): "clicks",
}
# Decided by order: which page is shown most often moves only where the first two change places.
# No day of this lake reaches the API's cap, so nothing is cut.
SELDOM = {"url", "pages", "kind", "cut_clicks", "cut_impressions"}
# Texts that are made, not copied from the column they are made of.
NOT_COPIED = {"kind", "content_group", "canonical_query"}

MINE = WorkspaceRows("acme")
Insights = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("lineage")))
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=60, dips=LOW)
    for window in (YEAR_BEFORE, LONG):
        fill(lake, "acme", prop, window, provisional=2)
    bring_up_to_date(lake)
    return lake


@pytest.fixture(scope="module")
def usual(lake: Lake) -> Insights:
    return made(lake)


def made(lake: Lake) -> Insights:
    # Forgotten, for it is the ledger that tells whether rows have changed.
    for table in (INSIGHT_REFRESHES, CONTENT_GROUP_DAYS):
        lake.replace(table, MINE, table.schema.empty_table())
    refresh_insights(lake, ACME, now=NOW)
    return {table.name: lake.read(table).to_pandas() for table in INSIGHTS}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((table, name), marks=pytest.mark.soak if number else ())
        for number, (table, name) in enumerate((table, name) for table in NUMBERS for name in NUMBERS[table])
    ],
    ids=lambda one: f"{one[0].name}.{one[1]}",
)
def moved(
    request: pytest.FixtureRequest, lake: Lake, usual: Insights
) -> tuple[TableSpec, str, set[tuple[str, str]]]:
    """A column of the lake, and the columns of insights that change when every second value doubles."""
    table, name = request.param
    rows, ledger = lake.read(table), lake.read(SYNC_LEDGER)
    factor = 1 + np.arange(len(rows)) % 2
    place = rows.schema.get_field_index(name)
    other = rows.set_column(place, rows.schema.field(name), pa.array(rows[name].to_numpy() * factor))
    lake.replace(table, MINE, other)
    if table is SITE_IMPRESSION:
        lake.replace(SYNC_LEDGER, MINE, with_totals(ledger, other))
    after = made(lake)
    lake.replace(table, MINE, rows)
    lake.replace(SYNC_LEDGER, MINE, ledger)
    return table, name, {pair for one in INSIGHTS for pair in differences(one, usual, after)}


def with_totals(ledger: pa.Table, rows: pa.Table) -> pa.Table:
    """The ledger as the sync that read these rows would leave it."""
    sums = rows.to_pandas().groupby("data_date")[list(NUMBERS[SITE_IMPRESSION])].sum()
    days = ledger.to_pandas()
    found = sums.loc[days["data_date"]].reset_index(drop=True)
    position = found["sum_top_position"] / found["impressions"] + 1
    totals = days.assign(clicks=found["clicks"], impressions=found["impressions"], position=position)
    return pa.Table.from_pandas(totals, schema=SYNC_LEDGER.schema, preserve_index=False)


def differences(table: TableSpec, usual: Insights, after: Insights) -> Iterator[tuple[str, str]]:
    """The columns that differ in rows that exist both times."""
    keys = list(table.keys)
    both = usual[table.name].merge(after[table.name], on=keys, suffixes=("", " after"))
    for column in table.schema.names:
        if f"{column} after" in both:
            one, other = both[column], both[f"{column} after"]
            if ((one != other) & ~(one.isna() & other.isna())).any():
                yield table.name, column


def test_a_column_changes_with_each_number_in_its_lineage(
    moved: tuple[TableSpec, str, set[tuple[str, str]]],
) -> None:
    table, name, others = moved
    said = {
        (insight.name, column)
        for insight in INSIGHTS
        for column, sources in column_lineage(insight).deps_by_column.items()
        # A key does not move: another value is another row.
        if column not in insight.keys and column not in SELDOM
        for source in sources
        if (source.asset_key.to_user_string(), source.column_name) == (table.name, name)
        or (
            table is SITE_IMPRESSION
            and MADE_OF.get((source.asset_key.to_user_string(), source.column_name)) == name
        )
    }
    assert said
    assert said <= others


@pytest.mark.parametrize(
    "insight", [one for one in INSIGHTS if one is not INDEX_COVERAGE], ids=lambda o: o.name
)
def test_texts_are_those_of_the_columns_in_their_lineage(
    lake: Lake, usual: Insights, insight: TableSpec
) -> None:
    by_name = {table.name: table for table in TABLES}
    rows = usual[insight.name]
    assert len(rows)
    for column, sources in column_lineage(insight).deps_by_column.items():
        if not pa.types.is_string(insight.schema.field(column).type) or column in NOT_COPIED:
            continue
        known = set()
        for source in sources:
            table = by_name[source.asset_key.to_user_string()]
            if pa.types.is_string(table.schema.field(source.column_name).type):
                known |= set(lake.read(table, columns=[source.column_name])[source.column_name].to_pylist())
        # One text has the titles of several annotations; for a change it has a sentence for each.
        of_annotations = column in ("annotation", "updates_and_notes")
        texts = rows[column].dropna().str.split("; ").explode() if of_annotations else rows[column].dropna()
        if column == "updates_and_notes":
            texts = texts.str.replace("^(may begin|begins) within the roll-out of ", "", regex=True)
        assert set(texts) <= known, column
