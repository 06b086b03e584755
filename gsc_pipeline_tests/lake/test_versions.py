"""The lake's version, new columns, and the Delta features that every table may use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from gsc_pipeline.lake.duckdb_file import write_duckdb_file
from gsc_pipeline.lake.errors import LakeError, NewerLakeError
from gsc_pipeline.lake.incremental import FileByFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_RUNS, TABLES, TableSpec
from gsc_pipeline.lake.schemas.spec import TEXT, column
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.lake.version import LAKE_VERSION, VERSION_PROPERTY, version_of
from gsc_pipeline_tests.lake.test_lake import DAYS, filled, rows, target
from gsc_pipeline_tests.lake.test_maintenance import run_row, tend


def with_column(table: TableSpec, name: str = "later", *, nullable: bool = True) -> TableSpec:
    """The table as a later release declares it, with a new column before the last one."""
    new = column(name, TEXT, "Came later", nullable=nullable)
    return replace(table, schema=table.schema.insert(len(table.schema) - 1, new))


LATER_RUNS = with_column(SYNC_RUNS)


def later_row(number: int, text: str | None) -> pa.Table:
    columns = {name: run_row(number).column(name) for name in SYNC_RUNS.schema.names}
    return (
        pa.table({**columns, "later": pa.array([text], pa.string())})
        .select(LATER_RUNS.schema.names)
        .cast(LATER_RUNS.schema)
    )


def later_by_run(found: pa.Table) -> dict[str, str | None]:
    return dict(zip(found["run_id"].to_pylist(), found["later"].to_pylist(), strict=True))


def version_in(lake: Lake, table: TableSpec) -> int:
    return version_of(DeltaTable(lake.table_uri(table)))


def of_release_one(lake: Lake, table: TableSpec, rows: pa.Table) -> None:
    """A table as release 0.1.0 created it, without a version."""
    uri = lake.table_uri(table)
    DeltaTable.create(uri, table.schema, partition_by=list(table.partition_by), name=table.name)
    write_deltalake(uri, rows, mode="append")
    assert version_in(lake, table) == 1


def test_new_tables_have_the_version_and_older_ones_get_it_with_their_first_write(lake: Lake) -> None:
    lake.append(SITE_IMPRESSION, SITE_IMPRESSION.schema.empty_table())
    assert version_in(lake, SITE_IMPRESSION) == LAKE_VERSION
    of_release_one(lake, SYNC_RUNS, run_row(1))
    assert lake.read(SYNC_RUNS).num_rows == 1
    assert version_in(lake, SYNC_RUNS) == 1
    lake.append(SYNC_RUNS, run_row(2))
    assert version_in(lake, SYNC_RUNS) == LAKE_VERSION
    version = DeltaTable(lake.table_uri(SYNC_RUNS)).version()
    lake.append(SYNC_RUNS, run_row(3))
    assert DeltaTable(lake.table_uri(SYNC_RUNS)).version() == version + 1
    assert lake.read(SYNC_RUNS).num_rows == 3


def test_two_lakes_can_upgrade_a_table_at_once(lake: Lake) -> None:
    of_release_one(lake, SYNC_RUNS, run_row(1))
    first, second = Lake(lake.uri), Lake(lake.uri)
    first.open(SYNC_RUNS)
    second.open(SYNC_RUNS)
    first.append(LATER_RUNS, later_row(2, "first"))
    second.append(LATER_RUNS, later_row(3, "second"))
    assert later_by_run(lake.read(LATER_RUNS)) == {"1": None, "2": "first", "3": "second"}


def test_a_lake_of_a_newer_release_is_refused_before_anything_is_written(lake: Lake) -> None:
    lake.append(SYNC_RUNS, run_row(1))
    other = Lake(lake.uri)
    other.read(SYNC_RUNS)
    delta = DeltaTable(lake.table_uri(SYNC_RUNS))
    delta.alter.set_table_properties({VERSION_PROPERTY: "3"}, raise_if_not_exists=False)
    version = delta.version()
    expected = (
        rf"^the lake at {lake.uri} was written by a newer gsc_pipeline \(lake version 3, this one knows 2\): "
        "upgrade gsc_pipeline$"
    )
    for one in (other, Lake(lake.uri)):
        for attempt in (one.read, one.dataset, one.local_files):
            with pytest.raises(NewerLakeError, match=expected):
                attempt(SYNC_RUNS)
        with pytest.raises(NewerLakeError, match=expected):
            one.append(SYNC_RUNS, run_row(2))
    with pytest.raises(NewerLakeError, match=expected):
        tend(lake)
    with pytest.raises(NewerLakeError, match=expected):
        connect(lake)
    assert DeltaTable(lake.table_uri(SYNC_RUNS)).version() == version


def test_a_new_column_reads_as_null_and_is_added_by_the_first_write(lake: Lake, tmp_path: Path) -> None:
    for number in (1, 2):
        lake.append(SYNC_RUNS, run_row(number))
    found = lake.read(LATER_RUNS)
    assert found.schema.equals(LATER_RUNS.schema)
    assert later_by_run(found) == {"1": None, "2": None}
    assert "later" not in DeltaTable(lake.table_uri(SYNC_RUNS)).to_pyarrow_table().column_names
    as_seen_by_all_readers(lake, tmp_path, {"1": None, "2": None})
    lake.append(LATER_RUNS, later_row(3, "it's there"))
    expected = {"1": None, "2": None, "3": "it's there"}
    assert later_by_run(lake.read(LATER_RUNS)) == expected
    assert later_by_run(DeltaTable(lake.table_uri(SYNC_RUNS)).to_pyarrow_table()) == expected
    as_seen_by_all_readers(lake, tmp_path, expected)
    lake.append(LATER_RUNS, later_row(4, None))
    tend(lake)
    assert later_by_run(lake.read(LATER_RUNS)) == {**expected, "4": None}


def as_seen_by_all_readers(lake: Lake, folder: Path, expected: dict[str, str | None]) -> None:
    import duckdb

    sql = "SELECT run_id, later, month FROM sync_runs ORDER BY run_id"
    rows = [(run_id, later, "2026-11") for run_id, later in expected.items()]
    with connect(lake, [LATER_RUNS]) as views, connect(lake, (), whole=[LATER_RUNS]) as whole:
        assert views.execute(sql).fetchall() == rows
        assert whole.execute(sql).fetchall() == rows
    write_duckdb_file(lake, folder / "lake.duckdb", [LATER_RUNS])
    with duckdb.connect(folder / "lake.duckdb", read_only=True) as file:
        assert file.execute(sql).fetchall() == rows

    by_file = FileByFile(lake, LATER_RUNS, ["run_id", "later"], "SELECT file, run_id, later FROM rows").read()
    assert later_by_run(by_file) == expected


def test_days_can_be_replaced_in_a_table_that_gets_a_column(lake: Lake) -> None:
    filled(lake)
    later = with_column(SITE_IMPRESSION)
    new = rows(DAYS[1], 5).append_column(later.schema.field("later"), pa.array(["new"] * 3))
    lake.replace(later, target(DAYS[1]), new.select(later.schema.names).cast(later.schema))
    found = lake.read(later).group_by(["data_date", "later"]).aggregate([("clicks", "sum")]).to_pylist()
    assert {(row["data_date"], row["later"], row["clicks_sum"]) for row in found} == {
        (DAYS[0], None, 3),
        (DAYS[1], "new", 15),
        (DAYS[2], None, 3),
    }


def test_a_column_that_is_not_declared_is_kept_and_filled_with_null(lake: Lake) -> None:
    lake.append(LATER_RUNS, later_row(1, "kept"))
    found = lake.read(SYNC_RUNS)
    assert found.schema.equals(SYNC_RUNS.schema)
    lake.append(SYNC_RUNS, run_row(2))
    for number in range(3, 9):
        lake.append(SYNC_RUNS, run_row(number))
    assert tend(lake)[SYNC_RUNS.name].partitions_compacted == 1
    expected = {"1": "kept", **{str(number): None for number in range(2, 9)}}
    assert later_by_run(lake.read(LATER_RUNS)) == expected


def test_an_error_names_an_undeclared_column_that_is_not_nullable(lake: Lake) -> None:
    strict = with_column(SYNC_RUNS, nullable=False)
    lake.append(strict, later_row(1, "kept").cast(strict.schema))
    with pytest.raises(LakeError, match="column later of sync_runs is not declared and is not nullable"):
        lake.append(SYNC_RUNS, run_row(2))
    assert lake.read(SYNC_RUNS).num_rows == 1


def test_an_error_names_columns_of_another_type_and_missing_ones_that_are_not_nullable(lake: Lake) -> None:
    lake.append(SYNC_RUNS, run_row(1))
    strict = with_column(SYNC_RUNS, nullable=False)
    index = SYNC_RUNS.schema.get_field_index("calls")
    as_text = replace(SYNC_RUNS, schema=SYNC_RUNS.schema.set(index, column("calls", TEXT, "As text")))
    for table, expected in (
        (strict, "column later of sync_runs is missing: .*restore the table from a backup"),
        (as_text, "column calls of sync_runs is of type int64 instead of string: .*restore the table"),
    ):
        for attempt in (lake.read, lake.dataset, lake.local_files):
            with pytest.raises(LakeError, match=expected):
                attempt(table)
        with pytest.raises(LakeError, match=expected):
            lake.append(table, table.schema.empty_table())


def assert_readable_by_others(lake: Lake, table: TableSpec) -> None:
    delta = DeltaTable(lake.table_uri(table))
    protocol = delta.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2), table.name
    for field in pa.schema(delta.schema().to_arrow()):
        assert not pa.types.is_timestamp(field.type) or field.type.tz, f"{table.name}: {field.name}"


def test_every_table_stays_at_reader_1_and_writer_2_without_timestamps_that_have_no_zone(lake: Lake) -> None:
    for table in TABLES:
        lake.append(table, table.schema.empty_table())
        assert_readable_by_others(lake, table)
        later = with_column(table)
        lake.append(later, later.schema.empty_table())
        assert_readable_by_others(lake, later)
        delta = DeltaTable(lake.table_uri(table))
        delta.alter.set_table_properties({"delta.logRetentionDuration": "interval 3 days"})
        assert_readable_by_others(lake, table)
    assert len(tend(lake, hours=0)) == len(TABLES)
    for table in TABLES:
        assert_readable_by_others(lake, table)
        assert version_in(lake, table) == LAKE_VERSION


def test_a_column_added_by_another_program_does_not_matter(lake: Lake) -> None:
    lake.append(SYNC_RUNS, run_row(1))
    DeltaTable(lake.table_uri(SYNC_RUNS)).alter.add_columns([Field("surprise", PrimitiveType("long"))])
    lake.append(SYNC_RUNS, run_row(2))
    assert lake.read(SYNC_RUNS).num_rows == 2
