"""The data-quality rules: a correct lake violates none, and each finds its violations."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gsc_pipeline.days import ONE_DAY, Window, pacific_today
from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.quality import RULES, RuleResult, dark_properties, evaluate, schema_differences
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.world import NOON, World

SITE, URL = SITE_IMPRESSION.name, URL_IMPRESSION.name


def results(world: World, *active: str) -> dict[tuple[str, str], RuleResult]:
    found = evaluate(
        RULES,
        world.lake,
        active or ["acme"],
        now=world.now,
        since=world.now - timedelta(hours=1),
    )
    return {(result.rule.name, result.rule.table): result for result in found}


def violated(world: World, *active: str) -> set[tuple[str, str]]:
    return {key for key, result in results(world, *active).items() if not result.passed}


@pytest.fixture
def synced(world: World) -> World:
    world.sync(world.workspace(), world.last(4))
    return world


def tamper(world: World, table: TableSpec, day: date, rows: pa.Table) -> None:
    """Replace a day's rows without the pipeline."""
    world.lake.replace(table, Target("acme", "sc-domain:acme.com", "WEB", (day,)), rows)


def rows_of(world: World, table: TableSpec, day: date) -> pa.Table:
    rows = world.lake.read(table)
    return rows.filter(pc.equal(rows["data_date"], pa.scalar(day)))


def test_a_correct_lake_violates_no_rule(synced: World) -> None:
    assert violated(synced) == set()
    assert schema_differences(synced.lake) == []


def test_an_empty_lake_violates_no_rule(world: World) -> None:
    assert violated(world) == set()


@pytest.mark.parametrize("table", [SITE_IMPRESSION, URL_IMPRESSION], ids=lambda table: table.name)
def test_a_lost_row_is_found(synced: World, table: TableSpec) -> None:
    day = synced.today - 2 * ONE_DAY
    tamper(synced, table, day, rows_of(synced, table, day).slice(1))
    result = results(synced)[("totals_reconcile", table.name)]
    assert [row[:4] for row in result.violations] == [("acme", "sc-domain:acme.com", "WEB", day)]
    assert violated(synced) == {("totals_reconcile", table.name)}


@pytest.mark.parametrize("table", [SITE_IMPRESSION, URL_IMPRESSION], ids=lambda table: table.name)
def test_a_doubled_row_is_found(synced: World, table: TableSpec) -> None:
    day = synced.today - 2 * ONE_DAY
    rows = rows_of(synced, table, day)
    tamper(synced, table, day, pa.concat_tables([rows, rows.slice(0, 1)]))
    (violation,) = results(synced)[("keys_unique", table.name)].violations
    assert violation[-1] == 2


def test_a_row_of_a_day_that_is_not_over_is_found(synced: World) -> None:
    rows = rows_of(synced, SITE_IMPRESSION, synced.today - ONE_DAY)
    index = rows.column_names.index("data_date")
    today = pa.repeat(pa.scalar(synced.today), rows.num_rows)
    tamper(synced, SITE_IMPRESSION, synced.today, rows.set_column(index, rows.schema.field(index), today))
    assert ("no_day_beyond_yesterday", SITE) in violated(synced)
    # A workspace that is not active concerns no rule.
    assert violated(synced, "globex") == set()


def test_a_truncated_day_is_found_with_the_shares_that_were_cut(synced: World) -> None:
    day = synced.today - 2 * ONE_DAY
    (row,) = rows_of(synced, SYNC_LEDGER, day).to_pylist()
    clicks, impressions = row["clicks"] // 2, row["impressions"] // 4
    row |= {"truncated": True, "cut_clicks": clicks, "cut_impressions": impressions}
    tamper(synced, SYNC_LEDGER, day, pa.Table.from_pylist([row], schema=SYNC_LEDGER.schema))
    (violation,) = results(synced)[("no_truncated_days", SITE)].violations
    assert violation[:4] == ("acme", "sc-domain:acme.com", "WEB", 1)
    shares = (100 * clicks / row["clicks"], 100 * impressions / row["impressions"])
    assert violation[-2:] == pytest.approx(shares, abs=0.06)


def test_an_unusual_share_of_anonymised_impressions_is_found(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=150, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        world.sync(world.workspace(), world.last(30))
        assert violated(world) == set()
        day = world.today - 5 * ONE_DAY
        rows = rows_of(world, SITE_IMPRESSION, day)
        index = rows.column_names.index("is_anonymized_query")
        hidden = rows.set_column(index, rows.schema.field(index), pa.repeat(True, rows.num_rows))
        tamper(world, SITE_IMPRESSION, day, hidden)
        (violation,) = results(world)[("anonymised_share_is_usual", SITE)].violations
        assert (violation[3], violation[4]) == (day, 100.0)


def test_a_share_that_a_known_change_of_counting_explains_is_no_violation(lake: Lake) -> None:
    today = pacific_today(NOON)
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=150, plants=False)
    fill(lake, "acme", prop, Window.last_complete(30, today))
    day = today - 5 * ONE_DAY
    rows = lake.read(SITE_IMPRESSION, where=pc.field("data_date") == day)
    index = rows.column_names.index("is_anonymized_query")
    hidden = rows.set_column(index, rows.schema.field(index), pa.repeat(True, rows.num_rows))
    lake.replace(SITE_IMPRESSION, Target("acme", prop.site_url, "WEB", (day,)), hidden)
    share = [rule for rule in RULES if rule.name == "anonymised_share_is_usual"]
    fault = Annotation(Kind.DATA_FAULT, "Queries hidden", day, day, source=Source.YOURS)
    for explains, one in (
        (True, fault),
        (True, replace(fault, last_day=None)),
        (True, replace(fault, first_day=day - 300 * ONE_DAY, last_day=day - ONE_DAY)),
        (True, replace(fault, search_types=("WEB",), metrics=("impressions",), workspace="acme")),
        (False, replace(fault, first_day=day + ONE_DAY, last_day=None)),
        (False, replace(fault, first_day=day - 300 * ONE_DAY, last_day=None)),
        (False, replace(fault, kind=Kind.NOTE)),
        (False, replace(fault, kind=Kind.RANKING_UPDATE)),
        (False, replace(fault, metrics=("clicks",))),
        (False, replace(fault, search_types=("IMAGE",))),
        (False, replace(fault, workspace="globex")),
        (False, replace(fault, site_url="https://acme.com/")),
    ):
        bring_up_to_date(lake, yours=[one])
        (result,) = evaluate(share, lake, ["acme"], now=NOON)
        assert result.passed is explains, one


def test_a_table_with_other_columns_is_found(synced: World) -> None:
    from deltalake import DeltaTable
    from deltalake.schema import Field, PrimitiveType

    uri = synced.lake.table_uri(SITE_IMPRESSION)
    DeltaTable(uri).alter.add_columns([Field("surprise", PrimitiveType("string"))])
    ((name, difference),) = schema_differences(synced.lake)
    assert name == SITE
    assert "surprise" in difference


@pytest.mark.parametrize(
    ("dark_days", "shown_days", "is_dark"),
    [(6, 40, True), (3, 40, False), (6, 20, False)],
)
@pytest.mark.soak
def test_a_property_whose_newest_final_days_are_empty_went_dark(
    tmp_path: Path, dark_days: int, shown_days: int, is_dark: bool
) -> None:
    """The simulator gives no row for the newest days, of which the last two are not final."""
    today = date(2026, 11, 21)
    shown = {today - n * ONE_DAY for n in range(dark_days + 1, dark_days + 1 + shown_days)}
    days = {today - n * ONE_DAY for n in range(0, 61)}
    dark = SyntheticProperty("sc-domain:dark.com", rows_a_day=20, days_without_data=days - shown)
    well = SyntheticProperty("sc-domain:well.com", rows_a_day=20)
    with World.serving(tmp_path, [dark, well]) as world:
        both = world.workspace(properties=[dark.site_url, well.site_url])
        world.sync(both, world.last(60))
        found = dark_properties(world.lake, ["acme"], now=world.now)
        assert [one.site_url for one in found] == [dark.site_url] * is_dark
        assert (("no_property_went_dark", SITE) in violated(world)) == is_dark
        assert dark_properties(world.lake, ["globex"], now=world.now) == []
        if is_dark:
            (one,) = found
            assert one.last_day_with_impressions == max(shown)
            assert one.final_days_without >= 2
            assert one.impressions_before > one.clicks_before > 0
            # Once it is no longer synced, it stays behind its workspace and is not known to be dark.
            world.now += 9 * ONE_DAY
            world.sync(world.workspace(properties=[well.site_url]), world.last(12))
            assert dark_properties(world.lake, ["acme"], now=world.now) == []
