"""Reads and atomically replaces rows of the lake's Delta tables, safely beside other processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from gsc_pipeline.lake import damage
from gsc_pipeline.lake.columns import has_incomplete_files, in_actual_columns, schema_of, upgrade
from gsc_pipeline.lake.conflicts import ATTEMPTS, RETRIES_AT_ONCE, on_conflict
from gsc_pipeline.lake.damage import DamagedFile
from gsc_pipeline.lake.dataset import BOUNDED, OpenTables, data_files, dataset_of, filtered, with_row_counts
from gsc_pipeline.lake.encoding import decoded_schema
from gsc_pipeline.lake.errors import DamagedError, cannot, crowded_out
from gsc_pipeline.lake.errors import LakeError as LakeError
from gsc_pipeline.lake.errors import unreadable as unreadable
from gsc_pipeline.lake.object_store import StoreCheck
from gsc_pipeline.lake.parquet_source import LocalFiles, has_special_characters
from gsc_pipeline.lake.parquet_source import sql_text as sql_text
from gsc_pipeline.lake.schemas import LEDGER_COUNTS, SYNC_LEDGER, TableSpec
from gsc_pipeline.lake.storage import absolute, folder_of
from gsc_pipeline.lake.targets import RowSelection
from gsc_pipeline.lake.version import LAKE_VERSION, VERSION_PROPERTY, refuse_newer

if TYPE_CHECKING:
    # Importing it takes a tenth of a second, and only readers of the lake need it.
    import pyarrow.dataset as ds

PROPERTY_COLUMNS = ("site_url", "search_type")
"""Their bounds are kept, so that replacing one property's days does not rewrite other properties' files."""
FENCE_VERSION = 1
"""The version of every transaction id. Delta compares only the ids when it checks for conflicts."""
LOG_RETENTION = "interval 7 days"
"""How long a table's log keeps old commits. Opening a table lists them: 120,000 a month of a thousand
workspaces. The same as the retention of replaced files, so that an old version is complete or gone."""
RUN_ID = "gsc_run_id"
"""The key of the run's id in the metadata of a commit."""
WRITER = WriterProperties(max_row_group_size=131_072)
"""A row group is in memory until it is full; by default that is a million rows."""


@dataclass(frozen=True, slots=True)
class CommitGuard:
    """A condition on a commit.

    `check` is called with the snapshot before each attempt to commit on it, and can raise to stop the
    commit. Of two commits with the same `name` on one snapshot, the second conflicts and is retried.
    """

    name: str
    check: Callable[[DeltaTable], None]


class Lake:
    """The tables under one URI: a folder, or `s3://`, `gs://`, `az://` (with keys from the environment).

    Every method raises LakeError, naming the table and the cause, if the storage fails. The first write of a
    process to an object store checks that commits at once are safe there.
    """

    def __init__(self, uri: str) -> None:
        self.uri = absolute(uri)
        self._open_tables = OpenTables()
        self._row_counts: dict[str, tuple[tuple[object, int], Mapping[str, Mapping[str, int]]]] = {}
        self._store = StoreCheck(self.uri)
        self._run_id = ""

    def for_run(self, run_id: str) -> Lake:
        """The same lake, whose commits carry the run's id in their metadata, as `gsc_run_id`."""
        lake = copy(self)
        lake._run_id = run_id
        return lake

    def refuse_unsafe_store(self) -> None:
        """Raise LakeError if commits at once could lose rows in the lake's store."""
        self._store.refuse_unsafe()

    @property
    def commit_metadata(self) -> dict[str, str] | None:
        """What each commit carries: the id of its run, if there is one."""
        return {RUN_ID: self._run_id} if self._run_id else None

    def table_uri(self, table: TableSpec) -> str:
        """The URI of the table, for any Delta reader."""
        return f"{self.uri}/{table.name}"

    def open(self, table: TableSpec) -> DeltaTable:
        """The newest version of the table, for use by this thread.

        Raises TableNotFoundError if it does not exist yet, DamagedError if its log is damaged or lost,
        NewerLakeError if a newer release wrote it.
        """
        uri = self.table_uri(table)
        try:
            delta = self._open_tables.newest(uri)
        except TableNotFoundError:
            delta = self._open_or_find_loss(table)
        except (DeltaError, OSError) as error:
            raise self._log_error(table, error) from error
        refuse_newer(delta, self.uri)
        return delta

    def version_of(self, table: TableSpec) -> int | None:
        """The number of the table's newest commit; None where it does not exist yet. Raises LakeError."""
        try:
            return self.open(table).version()
        except TableNotFoundError:
            return None

    def create(self, table: TableSpec) -> DeltaTable:
        """The table, created without rows if it does not exist. Does not check whether it was lost."""
        self.refuse_unsafe_store()
        return DeltaTable.create(
            self.table_uri(table),
            table.schema,
            mode="ignore",
            partition_by=list(table.partition_by),
            name=table.name,
            description=table.description,
            configuration=table_properties(table),
            # Delta refuses unknown properties otherwise, such as the project's own.
            raise_if_key_not_exists=False,
            commit_properties=CommitProperties(self.commit_metadata),
        )

    def schema_of(self, table: TableSpec) -> pa.Schema | None:
        """The actual schema of the table; None if it does not exist yet."""
        try:
            return schema_of(self.open(table))
        except TableNotFoundError:
            return None

    def replace(
        self, table: TableSpec, target: RowSelection, rows: pa.Table, guard: CommitGuard | None = None
    ) -> int:
        """Replace the rows in `target` by `rows`, in one commit. Returns the table's new version.

        The replacement is atomic and idempotent. Rows outside the target and other schemas are refused.
        Columns of `rows` may be encoded by a dictionary. With `guard`, the commit is made only on a snapshot
        that passed its check, and only if no other commit guarded by the same name was made since.
        """
        how = {"mode": "overwrite", "predicate": target.predicate()}
        try:
            return self._write(table, rows, guard, how)
        except (DeltaError, OSError, pa.ArrowException) as error:
            of = getattr(target, "workspace", None), getattr(target, "months", None)
            raise self.error_of("write", table, error, *of) from error

    def append(self, table: TableSpec, rows: pa.Table, guard: CommitGuard | None = None) -> int:
        """Add rows in one commit, guarded as in `replace`. Returns the table's new version."""
        try:
            return self._write(table, rows, guard, {"mode": "append"})
        except (DeltaError, OSError) as error:
            # Appending reads no data file, so the cause cannot be a damaged one.
            raise cannot("write", self.table_uri(table), error) from error

    def read(
        self,
        table: TableSpec,
        *,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        workspace: str | None = None,
        months: Sequence[str] | None = None,
    ) -> pa.Table:
        """The rows that match `where`. Empty if the table does not exist yet.

        With `workspace` or `months`, only their rows; files without any are not read.
        """
        dataset = self.dataset(table, workspace=workspace, months=months)
        if dataset is None:
            schema = table.schema if columns is None else pa.schema([table.schema.field(c) for c in columns])
            return schema.empty_table()
        try:
            return filtered(dataset, columns, where)
        except (OSError, pa.ArrowException) as error:
            raise self.error_of("read", table, error, workspace, months) from error

    def read_batches(
        self, table: TableSpec, *, columns: Sequence[str], workspace: str, months: Sequence[str]
    ) -> Iterator[pa.Table]:
        """The same, a part of the rows at a time."""
        dataset = self.dataset(table, workspace=workspace, months=months)
        try:
            for batch in dataset.to_batches(columns=list(columns)) if dataset is not None else ():
                yield pa.Table.from_batches([batch])
        except (OSError, pa.ArrowException) as error:
            raise self.error_of("read", table, error, workspace, months) from error

    def read_snapshot(
        self, table: TableSpec, delta: DeltaTable, *, workspace: str, where: pc.Expression
    ) -> pa.Table:
        """The rows of one workspace in the snapshot `delta`, which a guard's check receives."""
        try:
            return filtered(dataset_of(delta, table, workspace=workspace), None, where)
        except (OSError, pa.ArrowException) as error:
            raise self.error_of("read", table, error, workspace) from error

    def dataset(
        self,
        table: TableSpec,
        *,
        workspace: str | Collection[str] | None = None,
        months: Sequence[str] | None = None,
        without: Collection[str] = (),
    ) -> ds.Dataset | None:
        """The table as an Arrow dataset, for DuckDB, pandas and others. None if it does not exist yet.

        With `workspace` (one or several) or `months`, only their rows; files without any are left out.
        `without`: paths of further files to leave out, such as damaged ones.
        """
        try:
            return dataset_of(self.open(table), table, workspace=workspace, months=months, without=without)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise unreadable(self.table_uri(table), error) from error

    def local_files(self, table: TableSpec, *, workspace: str | None = None) -> LocalFiles:
        """The table's Parquet files, if they are in a folder and need no Delta reader; otherwise none.

        With `workspace`, without the files of other workspaces' partitions. The remaining files may still
        contain other workspaces' rows.
        """
        folder = folder_of(self.table_uri(table))
        if folder is None or has_special_characters(str(folder)):
            return LocalFiles(table)
        try:
            delta = self.open(table)
            if delta.protocol().min_reader_version > 1:
                return LocalFiles(table)
            has_incomplete = has_incomplete_files(table, delta)
            files = data_files(delta, workspace=workspace)
        except TableNotFoundError:
            return LocalFiles(table)
        except (DeltaError, OSError) as error:
            raise unreadable(self.table_uri(table), error) from error
        paths = tuple(f"{folder}/{path}" for path in files["path"].to_pylist())
        return LocalFiles(table, paths, has_incomplete)

    def row_counts(self, table: TableSpec) -> Mapping[str, Mapping[str, int]]:
        """The numbers of rows in the log by workspace and month, of a table that is partitioned by both.

        Cached for each version of the table. Empty if it does not exist yet.
        """
        try:
            delta = self.open(table)
        except TableNotFoundError:
            return {}
        version = delta.metadata().id, delta.version()
        known = self._row_counts.get(table.name)
        if known is not None and known[0] == version:
            return known[1]
        try:
            files = with_row_counts(delta, data_files(delta))
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise self.error_of("read", table, error) from error
        names = ["partition.workspace", "partition.month"]
        if not {*names} <= {*files.column_names}:
            raise LakeError(
                f"{table.name} is partitioned by {delta.metadata().partition_columns} instead of "
                f"{list(table.partition_by)}: another program changed it. Restore it from a backup"
            )
        sums = files.group_by(names).aggregate([("num_records", "sum")])
        columns = (sums[name].to_pylist() for name in (*names, "num_records_sum"))
        counts: dict[str, dict[str, int]] = {}
        for workspace, month, rows in zip(*columns, strict=True):
            if rows:
                counts.setdefault(workspace, {})[month] = rows
        self._row_counts[table.name] = version, counts
        return counts

    def damaged_files(
        self, table: TableSpec, workspace: str | None = None, *, deep: bool = False
    ) -> list[DamagedFile]:
        """The table's damaged data files, as found by `damage.damaged_files`.

        Empty if the table does not exist yet. Raises DamagedError if the log is damaged.
        """
        try:
            return damage.damaged_files(table, self.open(table), workspace, deep=deep)
        except TableNotFoundError:
            return []
        except (DeltaError, OSError) as error:
            raise unreadable(self.table_uri(table), error) from error

    def error_of(
        self,
        action: str,
        table: TableSpec,
        error: Exception,
        workspace: str | None = None,
        months: Sequence[str] | None = None,
    ) -> LakeError:
        """The error to raise after these rows could not be read or written because of `error`.

        A DamagedError if one of the files concerned is damaged.
        """
        try:
            found = damage.first_damage(table, self.open(table), workspace, months)
        except LakeError as worse:
            return worse
        except (DeltaError, OSError):
            found = None
        return found or cannot(action, self.table_uri(table), error)

    def _log_error(self, table: TableSpec, error: Exception) -> LakeError:
        uri = self.table_uri(table)
        try:
            found = damage.log_damage(table, uri)
        except (DeltaError, OSError):
            found = None
        return found or unreadable(uri, error)

    def _open_or_find_loss(self, table: TableSpec) -> DeltaTable:
        """Open a table that was not found, in case another process has created it since.

        Raises DamagedError if the table has files but no log.
        """
        uri, has_files = self.table_uri(table), False
        try:
            has_files = damage.has_files(uri)
            return self._open_tables.newest(uri)
        except TableNotFoundError as error:
            if has_files:
                raise damage.missing_log(table, uri) from error
            raise
        except (DeltaError, OSError) as error:
            raise self._log_error(table, error) from error

    def _write(self, table: TableSpec, rows: pa.Table, guard: CommitGuard | None, how: dict[str, Any]) -> int:
        if not decoded_schema(rows.schema).equals(table.schema):
            raise LakeError(f"rows for {table.name} have another schema than the table: {rows.schema}")
        self.refuse_unsafe_store()
        # Delta refuses a commit if one with the same id was made since the snapshot.
        fences = [] if guard is None else [Transaction(guard.name, FENCE_VERSION)]
        properties = CommitProperties(
            self.commit_metadata, max_commit_retries=RETRIES_AT_ONCE, app_transactions=fences
        )
        version = 0
        try:
            for attempt in on_conflict():
                with attempt:
                    delta = self._open_or_create(table)
                    columns = upgrade(table, delta)
                    if guard is not None:
                        guard.check(delta)
                    data = in_actual_columns(table, rows, columns)
                    write_deltalake(
                        delta, data, writer_properties=WRITER, commit_properties=properties, **how
                    )
                    version = delta.version()
        except CommitFailedError as error:
            raise crowded_out(self.table_uri(table), ATTEMPTS, error) from error
        return version

    def refuse_if_lost(self, table: TableSpec) -> None:
        """Raise DamagedError if the table is missing although the rows of other tables show that it existed.

        A write raises it too. Ask before what the write needs is read from the API.
        """
        self._existing(table)

    def _open_or_create(self, table: TableSpec) -> DeltaTable:
        delta = self._existing(table)
        return self.create(table) if delta is None else delta

    def _existing(self, table: TableSpec) -> DeltaTable | None:
        """The table, None if it never existed. Raises DamagedError if it was lost."""
        try:
            return self.open(table)
        except TableNotFoundError:
            loss = self._loss(table)
        if loss is None:
            return None
        try:
            # Another process may have created it since: it creates the table before it counts its rows.
            return self.open(table)
        except TableNotFoundError:
            raise loss from None

    def _loss(self, table: TableSpec) -> DamagedError | None:
        """The error to raise instead of creating a table that was lost; None if it never existed.

        A table was lost if the ledger counts rows in it. The ledger was lost if the tables have rows.
        """
        for column, counted in LEDGER_COUNTS.items():
            if table.name == counted.name:
                rows = self.read(SYNC_LEDGER, columns=[column], where=pc.field(column) > 0)
                if rows.num_rows:
                    return _lost(table, f"although {SYNC_LEDGER.name} counts rows in it")
            if table.name == SYNC_LEDGER.name and self.row_counts(counted):
                return _lost(table, f"although {counted.name} has rows")
        return None


def _lost(table: TableSpec, although: str) -> DamagedError:
    return DamagedError(
        f"{table.name} is missing {although}: restore its folder from a backup, or run gsc verify --repair",
        table=table.name,
    )


def table_properties(table: TableSpec) -> dict[str, str]:
    """The properties of a new table."""
    bounded = [name for name in table.schema.names if name in (*PROPERTY_COLUMNS, *BOUNDED)]
    return {
        VERSION_PROPERTY: str(LAKE_VERSION),
        "delta.logRetentionDuration": LOG_RETENTION,
        # The default is all columns: opening a table with many files would take four times as long.
        "delta.dataSkippingStatsColumns": ",".join(bounded),
    }


def days_between(first: date, last: date) -> pc.Expression:
    """The condition for data_date from `first` to `last`, both included. Skips other months' files."""
    months = _months(first, last)
    return pc.field("month").isin(months) & (pc.field("data_date") >= first) & (pc.field("data_date") <= last)


def _months(first: date, last: date) -> list[str]:
    span = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [f"{index // 12:04d}-{index % 12 + 1:02d}" for index in span]
