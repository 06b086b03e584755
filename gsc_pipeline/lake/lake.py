"""Reading and replacing rows of the lake's Delta tables, safely beside other processes.

Belongs here: creation on first write, atomic replacement by predicate, schema checks, conflicts. Does not:
what the rows mean (`schemas`, `sync`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import tenacity
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from gsc_pipeline.days import month_of
from gsc_pipeline.lake import damage
from gsc_pipeline.lake.columns import as_held, is_uneven, schema_of, upgrade
from gsc_pipeline.lake.damage import DamagedFile
from gsc_pipeline.lake.dataset import BOUNDED, dataset_of
from gsc_pipeline.lake.errors import DamagedError, cannot
from gsc_pipeline.lake.errors import LakeError as LakeError
from gsc_pipeline.lake.errors import unreadable as unreadable
from gsc_pipeline.lake.opened import OpenedTables
from gsc_pipeline.lake.parquet_source import LocalFiles, has_marks, sql_list
from gsc_pipeline.lake.parquet_source import sql_text as sql_text
from gsc_pipeline.lake.schemas import CLAIMS, SYNC_LEDGER, TableSpec
from gsc_pipeline.lake.storage import folder_of, stored_path
from gsc_pipeline.lake.version import LAKE_VERSION, VERSION_PROPERTY, refuse_newer

if TYPE_CHECKING:
    # Importing it takes a tenth of a second, which only readers of the lake have to spend.
    import pyarrow.dataset as ds

PROPERTY_COLUMNS = ("site_url", "search_type")
"""With their bounds known, a replacement of one property's days leaves the files of others alone."""
FENCE_VERSION = 1
"""The number of every transaction id. Delta compares ids alone when it looks for conflicts."""
LOG_RETENTION = "interval 7 days"
"""How long a table's log keeps old commits: every open of a table lists them, and a month of a thousand
workspaces makes 120,000. As long as housekeeping leaves replaced files, so that no version goes by half."""


@dataclass(frozen=True, slots=True)
class Target:
    """The rows of some days of one property and search type: what a replacement replaces."""

    workspace: str
    site_url: str
    search_type: str
    days: tuple[date, ...]

    @property
    def months(self) -> list[str]:
        """The months that the days belong to."""
        return sorted({month_of(day) for day in self.days})

    def predicate(self) -> str:
        """The SQL that names these rows, partition columns first so that only their files are touched."""
        days = ", ".join(f"DATE '{day}'" for day in sorted(self.days))
        return (
            f"workspace = {sql_text(self.workspace)} AND month IN ({sql_list(self.months)}) "
            f"AND site_url = {sql_text(self.site_url)} AND search_type = {sql_text(self.search_type)} "
            f"AND data_date IN ({days})"
        )


@dataclass(frozen=True, slots=True)
class OfWorkspace:
    """All rows of a workspace: what a replacement replaces in a table that is made anew as a whole."""

    workspace: str

    def predicate(self) -> str:
        """The SQL that names them."""
        return f"workspace = {sql_text(self.workspace)}"


@dataclass(frozen=True, slots=True)
class Guard:
    """What must hold when a replacement is committed.

    `check` is called with each snapshot before the commit made on it, again after every conflict, and stops
    the replacement by raising. Of two commits with the same `name` on one snapshot, the second conflicts.
    """

    name: str
    check: Callable[[DeltaTable], None]


class Rows(Protocol):
    """Names rows of a table."""

    def predicate(self) -> str:
        """The SQL that is true of these rows, and of no others."""


class Lake:
    """The tables under one address: a folder, or `s3://`, `gs://`, `az://` (keys from the environment).

    Every method raises LakeError, naming the table and the cause, where the storage does not do its part.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") if "://" in uri else str(Path(uri).absolute())
        self._opened = OpenedTables()
        self._row_counts: dict[str, tuple[tuple[object, int], Mapping[str, Mapping[str, int]]]] = {}

    def table_uri(self, table: TableSpec) -> str:
        """Where the table is, for any reader of Delta."""
        return f"{self.uri}/{table.name}"

    def open(self, table: TableSpec) -> DeltaTable:
        """The table as it is now, to be read by this thread.

        Raises TableNotFoundError where it does not exist yet, DamagedError where its log is damaged or
        missing beside its files, NewerLakeError where a newer release has written it.
        """
        uri = self.table_uri(table)
        try:
            delta = self._opened.newest(uri)
        except TableNotFoundError:
            delta = self._opened_between(table)
        except (DeltaError, OSError) as error:
            raise self._log_error(table, error) from error
        refuse_newer(delta, self.uri)
        return delta

    def create(self, table: TableSpec) -> DeltaTable:
        """The table, made without rows where it does not exist, whatever lies there and the ledger claims."""
        return DeltaTable.create(
            self.table_uri(table),
            table.schema,
            mode="ignore",
            partition_by=list(table.partition_by),
            name=table.name,
            description=table.description,
            configuration=table_properties(table),
            # Delta does not know the project's own properties.
            raise_if_key_not_exists=False,
        )

    def schema_of(self, table: TableSpec) -> pa.Schema | None:
        """The columns that the table has, whatever is declared; None where it does not exist yet."""
        try:
            return schema_of(self.open(table))
        except TableNotFoundError:
            return None

    def replace(self, table: TableSpec, target: Rows, rows: pa.Table, guard: Guard | None = None) -> int:
        """Put `rows` in the place of whatever `target` names, in one commit: all of it or nothing.

        Doing it twice is doing it once. Rows outside the target are refused, as is another schema. With a
        `guard`, the commit is made only on a snapshot that passed its check, and only if no other guarded
        commit of the same name came in between. Returns the table's version after the commit.
        """
        how = {"mode": "overwrite", "predicate": target.predicate()}
        try:
            return self._write(table, rows, guard, how)
        except CommitFailedError as error:
            raise cannot("write", self.table_uri(table), error) from error
        except (DeltaError, OSError, pa.ArrowException) as error:
            of = getattr(target, "workspace", None), getattr(target, "months", None)
            raise self.error_of("write", table, error, *of) from error

    def append(self, table: TableSpec, rows: pa.Table, guard: Guard | None = None) -> int:
        """Add rows in one commit, guarded as a replacement is. Returns the table's version after it."""
        try:
            return self._write(table, rows, guard, {"mode": "append"})
        except (DeltaError, OSError) as error:
            # It reads no data file, so that none can be the cause.
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
        """The rows that `where` selects; none where the table does not exist yet.

        With `workspace` or `months`, their rows only, without looking at files that can hold none.
        """
        dataset = self.dataset(table, workspace=workspace, months=months)
        if dataset is None:
            schema = table.schema if columns is None else pa.schema([table.schema.field(c) for c in columns])
            return schema.empty_table()
        try:
            return dataset.to_table(columns=columns, filter=where)
        except (OSError, pa.ArrowException) as error:
            raise self.error_of("read", table, error, workspace, months) from error

    def read_snapshot(
        self, table: TableSpec, delta: DeltaTable, *, workspace: str, where: pc.Expression
    ) -> pa.Table:
        """The rows of one workspace in the snapshot that `delta` is, which a guard's check is given."""
        try:
            return dataset_of(delta, table, workspace=workspace).to_table(filter=where)
        except (OSError, pa.ArrowException) as error:
            raise self.error_of("read", table, error, workspace) from error

    def dataset(
        self, table: TableSpec, *, workspace: str | None = None, months: Sequence[str] | None = None
    ) -> ds.Dataset | None:
        """The table as it is now, for DuckDB, pandas and the like; None where it does not exist yet.

        With `workspace` or `months`, their rows only, made of files that may hold some.
        """
        try:
            return dataset_of(self.open(table), table, workspace=workspace, months=months)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise unreadable(self.table_uri(table), error) from error

    def local_files(self, table: TableSpec, *, workspace: str | None = None) -> LocalFiles:
        """The table's files, where they are in a folder and any reader of Parquet can tell their rows.

        With `workspace`, without files that a partition keeps for others; those left may hold others' rows.
        """
        folder = folder_of(self.table_uri(table))
        if folder is None or has_marks(str(folder)):
            return LocalFiles(table)
        try:
            delta = self.open(table)
            if delta.protocol().min_reader_version > 1:
                return LocalFiles(table)
            uneven = is_uneven(table, delta)
            files = pa.table(delta.get_add_actions(flatten=True))
        except TableNotFoundError:
            return LocalFiles(table)
        except (DeltaError, OSError) as error:
            raise unreadable(self.table_uri(table), error) from error
        if workspace is not None and "partition.workspace" in files.column_names:
            files = files.filter(pc.equal(files["partition.workspace"], workspace))
        paths = tuple(f"{folder}/{stored_path(path)}" for path in files["path"].to_pylist())
        return LocalFiles(table, paths, uneven)

    def row_counts(self, table: TableSpec) -> Mapping[str, Mapping[str, int]]:
        """Rows by workspace, then by month, as the log counts them, of a table that is partitioned by both.

        Counted once for each version of the table. Empty where it does not exist yet.
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
            files = pa.table(delta.get_add_actions(flatten=True))
        except (DeltaError, OSError) as error:
            raise unreadable(self.table_uri(table), error) from error
        names = ["partition.workspace", "partition.month"]
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
        """The table's data files that cannot be used, as `damage.damaged_files` finds them.

        None where the table does not exist yet. Raises DamagedError for a damaged log.
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
        """The error to raise where these rows could not be read or written because of `error`.

        A DamagedError where a look at the files concerned finds one that cannot be used.
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
        except OSError:
            found = None
        return found or unreadable(uri, error)

    def _opened_between(self, table: TableSpec) -> DeltaTable:
        """A table that was not found: opened where another process has made it since."""
        uri, lost = self.table_uri(table), False
        try:
            lost = damage.has_files(uri)
            return self._opened.newest(uri)
        except TableNotFoundError as error:
            if lost:
                raise damage.without_log(table, uri) from error
            raise
        except (DeltaError, OSError) as error:
            raise self._log_error(table, error) from error

    def _write(self, table: TableSpec, rows: pa.Table, guard: Guard | None, how: dict[str, Any]) -> int:
        if not rows.schema.equals(table.schema):
            raise LakeError(f"rows for {table.name} have another schema than the table: {rows.schema}")
        if guard is not None:
            # Delta refuses a commit with the id of one made since the snapshot, whatever either wrote.
            fence = CommitProperties(app_transactions=[Transaction(guard.name, FENCE_VERSION)])
            how = {**how, "commit_properties": fence}
        version = 0
        for attempt in _on_conflict():
            with attempt:
                delta = self._opened_or_created(table)
                columns = upgrade(table, delta)
                if guard is not None:
                    guard.check(delta)
                write_deltalake(delta, as_held(table, rows, columns), **how)
                version = delta.version()
        return version

    def _opened_or_created(self, table: TableSpec) -> DeltaTable:
        try:
            return self.open(table)
        except TableNotFoundError:
            claimed = self._loss(table)
        if claimed is None:
            return self.create(table)
        try:
            # Whoever made the claim made the table before it.
            return self.open(table)
        except TableNotFoundError:
            raise claimed from None

    def _loss(self, table: TableSpec) -> DamagedError | None:
        """The error to raise instead of creating a table that was lost; None where there was none before.

        It was lost where the ledger counts rows in it. The ledger was, where the tables hold rows.
        """
        for column, counted in CLAIMS.items():
            if table.name == counted.name:
                rows = self.read(SYNC_LEDGER, columns=[column], where=pc.field(column) > 0)
                if rows.num_rows:
                    return _lost(table, f"although {SYNC_LEDGER.name} counts rows in it")
            if table.name == SYNC_LEDGER.name and self.row_counts(counted):
                return _lost(table, f"although {counted.name} holds rows")
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
        # Of all columns by default: opening a table of many files would take four times as long.
        "delta.dataSkippingStatsColumns": ",".join(bounded),
    }


def days_between(first: date, last: date) -> pc.Expression:
    """Rows whose data_date is from `first` to `last`, both included, without opening other months' files."""
    months = _months(first, last)
    return pc.field("month").isin(months) & (pc.field("data_date") >= first) & (pc.field("data_date") <= last)


def _months(first: date, last: date) -> list[str]:
    span = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [f"{index // 12:04d}-{index % 12 + 1:02d}" for index in span]


def _on_conflict() -> tenacity.Retrying:
    """Repeat a commit that met another process's commit to the same rows, or to a table just being made."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CommitFailedError),
        stop=tenacity.stop_after_attempt(10),
        wait=tenacity.wait_random_exponential(0.05, 2.0),
        reraise=True,
    )
