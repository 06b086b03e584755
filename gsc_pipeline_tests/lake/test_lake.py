"""The lake: replacement, schemas, other readers, other processes."""

from __future__ import annotations

import multiprocessing
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.lake.encoding import BATCH_ROWS
from gsc_pipeline.lake.lake import Lake, LakeError, days_between
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, TABLES, URL_IMPRESSION
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.lake.targets import Target
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.sync.grains import DayOf, site_rows
from gsc_pipeline_tests.doubles import answer
from gsc_pipeline_tests.waiting import HANG_SECONDS

DAYS = (date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2))
KEYS = ("query", "country", "device")


def rows(
    day: date, clicks: int, *, workspace: str = "acme", site_url: str = "sc-domain:acme.com"
) -> pa.Table:
    of = DayOf(workspace, site_url, QueryType.WEB, day)
    queries = [(f"query {i}", "usa", "MOBILE", clicks, 10, 2.0) for i in range(3)]
    totals = answer(("country", "device"), [("usa", "MOBILE", clicks * 3, 30, 2.0)])
    return site_rows(of, totals.rows, answer(KEYS, queries).rows)


def target(*days: date, workspace: str = "acme", site_url: str = "sc-domain:acme.com") -> Target:
    return Target(workspace, site_url, "WEB", days)


def clicks_by_day(lake: Lake) -> dict[tuple[str, str, date], int]:
    table = lake.read(SITE_IMPRESSION)
    sums = table.group_by(["workspace", "site_url", "data_date"]).aggregate([("clicks", "sum")])
    return {(r["workspace"], r["site_url"], r["data_date"]): r["clicks_sum"] for r in sums.to_pylist()}


def filled(lake: Lake) -> Lake:
    for day in DAYS:
        lake.replace(SITE_IMPRESSION, target(day), rows(day, 1))
    return lake


def test_a_replacement_replaces_only_its_days(lake: Lake) -> None:
    filled(lake)
    day = DAYS[0]
    lake.replace(SITE_IMPRESSION, target(day, site_url="https://a/"), rows(day, 5, site_url="https://a/"))
    lake.replace(SITE_IMPRESSION, target(day, workspace="globex"), rows(day, 7, workspace="globex"))
    new = pa.concat_tables([rows(DAYS[0], 2), rows(DAYS[1], 3)])
    lake.replace(SITE_IMPRESSION, target(*DAYS[:2]), new)
    assert clicks_by_day(lake) == {
        ("acme", "sc-domain:acme.com", DAYS[0]): 6,
        ("acme", "sc-domain:acme.com", DAYS[1]): 9,
        ("acme", "sc-domain:acme.com", DAYS[2]): 3,
        ("acme", "https://a/", DAYS[0]): 15,
        ("globex", "sc-domain:acme.com", DAYS[0]): 21,
    }


def test_encoded_columns_are_written_as_text_in_batches_of_any_number(lake: Lake) -> None:
    encoded = rows(DAYS[0], 1)
    assert pa.types.is_dictionary(encoded.schema.field("country").type)
    each = pa.array([0, 1, 2] * BATCH_ROWS)
    many = pa.concat_tables([encoded.take(each), rows(DAYS[1], 2).take(each)])
    lake.replace(SITE_IMPRESSION, target(*DAYS[:2]), many)
    held = lake.read(SITE_IMPRESSION)
    assert held.schema.equals(SITE_IMPRESSION.schema)
    assert held.group_by(["data_date", "query", "country"]).aggregate([]).num_rows == 2 * 3
    assert held.num_rows == many.num_rows
    assert {row["country"] for row in held.slice(0, 9).to_pylist()} == {"usa"}


def test_replacing_is_idempotent(lake: Lake) -> None:
    filled(lake)
    before = clicks_by_day(lake)
    filled(lake)
    assert clicks_by_day(lake) == before


def test_replacing_with_no_rows_deletes(lake: Lake) -> None:
    filled(lake).replace(SITE_IMPRESSION, target(DAYS[1]), SITE_IMPRESSION.schema.empty_table())
    assert {day for _, _, day in clicks_by_day(lake)} == {DAYS[0], DAYS[2]}


def test_rows_outside_the_target_are_refused_and_nothing_is_written(lake: Lake) -> None:
    before = clicks_by_day(filled(lake))
    with pytest.raises(LakeError, match="searchdata_site_impression"):
        lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[1], 9))
    with pytest.raises(LakeError, match="searchdata_site_impression"):
        lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 9, workspace="globex"))
    assert clicks_by_day(lake) == before


def test_rows_of_another_schema_are_refused_and_nothing_is_written(lake: Lake) -> None:
    before = clicks_by_day(filled(lake))
    with pytest.raises(LakeError, match="another schema"):
        lake.replace(SITE_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 9).drop_columns("device"))
    with pytest.raises(LakeError, match="another schema"):
        lake.replace(URL_IMPRESSION, target(DAYS[0]), rows(DAYS[0], 9))
    assert clicks_by_day(lake) == before


@settings(max_examples=15, deadline=None)
@given(site_url=st.text(alphabet="'\"\\;%_-/:. aé😀\n", min_size=1, max_size=12))
def test_any_property_name_is_escaped_in_sql(tmp_path_factory: pytest.TempPathFactory, site_url: str) -> None:
    lake = filled(Lake(str(tmp_path_factory.mktemp("lake"))))
    for clicks in (4, 5):
        new = rows(DAYS[0], clicks, site_url=site_url)
        lake.replace(SITE_IMPRESSION, target(DAYS[0], site_url=site_url), new)
    held = clicks_by_day(lake)
    assert held[("acme", site_url, DAYS[0])] == 15
    assert len(held) == len(DAYS) + 1


def test_a_table_that_does_not_exist_yet_reads_as_empty(lake: Lake) -> None:
    for table in TABLES:
        found = lake.read(table)
        assert found.num_rows == 0
        assert found.schema.equals(table.schema)


def test_a_span_of_days_is_read_across_months_and_years(lake: Lake) -> None:
    for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2)):
        lake.replace(SITE_IMPRESSION, target(day), rows(day, 1))
    where = days_between(date(2025, 12, 31), date(2026, 1, 1))
    found = lake.read(SITE_IMPRESSION, where=where, columns=["data_date"])
    assert set(found["data_date"].to_pylist()) == {date(2025, 12, 31), date(2026, 1, 1)}


def test_duckdb_pandas_and_any_delta_reader_see_the_same_rows(lake: Lake) -> None:
    filled(lake)
    with connect(lake) as connection:
        by_sql = connection.execute("SELECT sum(clicks), count(*) FROM searchdata_site_impression").fetchone()
        nothing = connection.execute("SELECT count(*) FROM sync_ledger").fetchone()
    frame: pd.DataFrame = lake.read(SITE_IMPRESSION).to_pandas()
    direct = DeltaTable(lake.table_uri(SITE_IMPRESSION)).to_pyarrow_table()
    assert by_sql == (9, 9)
    assert nothing == (0,)
    assert (frame["clicks"].sum(), len(frame)) == (9, 9)
    assert direct.schema.equals(SITE_IMPRESSION.schema)
    assert DeltaTable(lake.table_uri(SITE_IMPRESSION)).metadata().partition_columns == ["workspace", "month"]


def test_sql_cannot_change_the_lake(lake: Lake) -> None:
    filled(lake)
    with connect(lake) as connection, pytest.raises(duckdb.Error):
        connection.execute("DELETE FROM searchdata_site_impression")
    assert len(clicks_by_day(lake)) == len(DAYS)


def test_a_path_that_is_not_a_table_raises_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "lake" / SITE_IMPRESSION.name / "_delta_log").mkdir(parents=True)
    log = tmp_path / "lake" / SITE_IMPRESSION.name / "_delta_log" / "00000000000000000000.json"
    log.write_text("not a commit", encoding="utf-8")
    with pytest.raises(
        LakeError, match=r"searchdata_site_impression is damaged: _delta_log/0+\.json is not JSON"
    ):
        Lake(str(tmp_path / "lake")).read(SITE_IMPRESSION)


def _write_days(uri: str, workspace: str, repeats: int) -> None:
    lake = Lake(uri)
    for clicks in range(1, repeats + 1):
        table = pa.concat_tables([rows(day, clicks, workspace=workspace) for day in DAYS])
        lake.replace(SITE_IMPRESSION, target(*DAYS, workspace=workspace), table)


def _run_at_once(uri: str, workspaces: list[str]) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_write_days, args=(uri, workspace, 4)) for workspace in workspaces]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG_SECONDS)
    assert [process.exitcode for process in processes] == [0] * len(processes)


@pytest.mark.soak
def test_many_processes_write_at_once_from_the_first_commit(lake: Lake) -> None:
    workspaces = [f"w{i}" for i in range(4)]
    _run_at_once(lake.uri, workspaces)
    held = clicks_by_day(lake)
    assert held == {(w, "sc-domain:acme.com", day): 12 for w in workspaces for day in DAYS}


def test_two_processes_that_replace_the_same_rows_leave_those_of_one(lake: Lake) -> None:
    _run_at_once(lake.uri, ["acme", "acme"])
    assert clicks_by_day(lake) == {("acme", "sc-domain:acme.com", day): 12 for day in DAYS}
