"""The rules about the lake's rows: silent about a true lake, and each finds what it is for."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.lake import Target
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, TableSpec
from gsc_pipeline.quality import RULES, Verdict, judge, schema_differences
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.world import World

SITE, URL = SITE_IMPRESSION.name, URL_IMPRESSION.name


def verdicts(world: World, *active: str) -> dict[tuple[str, str], Verdict]:
    found = judge(
        RULES,
        world.lake,
        active or ["acme"],
        now=world.now,
        since=world.now - timedelta(hours=1),
    )
    return {(verdict.rule.name, verdict.rule.table): verdict for verdict in found}


def offended(world: World, *active: str) -> set[tuple[str, str]]:
    return {key for key, verdict in verdicts(world, *active).items() if not verdict.passed}


@pytest.fixture
def synced(world: World) -> World:
    world.sync(world.workspace(), world.last(4))
    return world


def tamper(world: World, table: TableSpec, day: date, rows: pa.Table) -> None:
    """Put `rows` in the place of a day's, behind the pipeline's back."""
    world.lake.replace(table, Target("acme", "sc-domain:acme.com", "WEB", (day,)), rows)


def rows_of(world: World, table: TableSpec, day: date) -> pa.Table:
    rows = world.lake.read(table)
    return rows.filter(pc.equal(rows["data_date"], pa.scalar(day)))


def test_a_true_lake_offends_no_rule(synced: World) -> None:
    assert offended(synced) == set()
    assert schema_differences(synced.lake) == []


def test_a_lake_that_is_not_there_yet_offends_no_rule(world: World) -> None:
    assert offended(world) == set()


@pytest.mark.parametrize("table", [SITE_IMPRESSION, URL_IMPRESSION], ids=lambda table: table.name)
def test_a_lost_row_is_found(synced: World, table: TableSpec) -> None:
    day = synced.today - 2 * ONE_DAY
    tamper(synced, table, day, rows_of(synced, table, day).slice(1))
    verdict = verdicts(synced)[("totals_reconcile", table.name)]
    assert [row[:4] for row in verdict.offences] == [("acme", "sc-domain:acme.com", "WEB", day)]
    assert offended(synced) == {("totals_reconcile", table.name)}


@pytest.mark.parametrize("table", [SITE_IMPRESSION, URL_IMPRESSION], ids=lambda table: table.name)
def test_a_doubled_row_is_found(synced: World, table: TableSpec) -> None:
    day = synced.today - 2 * ONE_DAY
    rows = rows_of(synced, table, day)
    tamper(synced, table, day, pa.concat_tables([rows, rows.slice(0, 1)]))
    (offence,) = verdicts(synced)[("keys_unique", table.name)].offences
    assert offence[-1] == 2


def test_a_row_of_a_day_that_is_not_over_is_found(synced: World) -> None:
    rows = rows_of(synced, SITE_IMPRESSION, synced.today - ONE_DAY)
    index = rows.column_names.index("data_date")
    today = pa.repeat(pa.scalar(synced.today), rows.num_rows)
    tamper(synced, SITE_IMPRESSION, synced.today, rows.set_column(index, rows.schema.field(index), today))
    assert ("no_day_beyond_yesterday", SITE) in offended(synced)


def test_a_truncated_day_is_found_with_the_share_of_clicks_that_have_no_query(synced: World) -> None:
    day = synced.today - 2 * ONE_DAY
    ledger = synced.lake.read(SYNC_LEDGER)
    rows = ledger.filter(pc.equal(ledger["data_date"], pa.scalar(day)))
    index = rows.column_names.index("truncated")
    rows = rows.set_column(index, rows.schema.field(index), pa.repeat(True, rows.num_rows))
    tamper(synced, SYNC_LEDGER, day, rows)
    (offence,) = verdicts(synced)[("no_truncated_days", SITE)].offences
    held = rows_of(synced, SITE_IMPRESSION, day)
    hidden = pc.sum(held.filter(held["is_anonymized_query"])["clicks"]).as_py()
    assert offence[:4] == ("acme", "sc-domain:acme.com", "WEB", 1)
    assert offence[-1] == pytest.approx(100 * hidden / pc.sum(held["clicks"]).as_py(), abs=0.06)


def test_an_unusual_share_of_anonymised_impressions_is_found(tmp_path: Path) -> None:
    prop = SyntheticProperty("sc-domain:acme.com", rows_a_day=150, plants=False)
    with World.serving(tmp_path, [prop]) as world:
        world.sync(world.workspace(), world.last(30))
        assert offended(world) == set()
        day = world.today - 5 * ONE_DAY
        rows = rows_of(world, SITE_IMPRESSION, day)
        index = rows.column_names.index("is_anonymized_query")
        hidden = rows.set_column(index, rows.schema.field(index), pa.repeat(True, rows.num_rows))
        tamper(world, SITE_IMPRESSION, day, hidden)
        (offence,) = verdicts(world)[("anonymised_share_is_usual", SITE)].offences
        assert (offence[3], offence[4]) == (day, 100.0)


def test_a_table_with_other_columns_is_found(synced: World) -> None:
    from deltalake import DeltaTable
    from deltalake.schema import Field, PrimitiveType

    uri = synced.lake.table_uri(SITE_IMPRESSION)
    DeltaTable(uri).alter.add_columns([Field("surprise", PrimitiveType("string"))])
    ((name, difference),) = schema_differences(synced.lake)
    assert name == SITE
    assert "surprise" in difference
