"""Reading a table file by file, each file once: for watchers that look at a table again and again.

Belongs here: which files a table has now, and which were not read yet. Does not: what is made of their
rows (`figures`). Delta's files never change, they only come and go; what was made of one stays true.
Reading a thousand workspaces' files takes many seconds of CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError, TableNotFoundError

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.storage import storage_of, stored_path

T = TypeVar("T")

FILE = "__filename"
"""The column that tells which file a row is from."""


class FileByFile(Generic[T]):
    """What `make` makes of each file of `table`: a row of `columns` and FILE for each of its rows.

    `make` is given the rows of several files at once and answers by file; a file it leaves out holds
    nothing of interest. Not for use by several threads at once.
    """

    def __init__(
        self,
        lake: Lake,
        table: TableSpec,
        columns: Sequence[str],
        make: Callable[[pa.Table], dict[str, T]],
    ) -> None:
        self._lake, self._table = lake, table
        self._uri = lake.table_uri(table)
        self._columns = columns
        self._make = make
        self._made: dict[str, T | None] = {}

    def look(self) -> list[T]:
        """What was made of each of the table's files. Raises LakeError."""
        try:
            return self._look()
        except TableNotFoundError:
            return []
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise self._lake.error_of("read", self._table, error) from error

    def _look(self) -> list[T]:
        files = pa.table(self._lake.open(self._table).get_add_actions(flatten=True))
        paths = [stored_path(path) for path in files["path"].to_pylist()]
        unread = [path for path in paths if path not in self._made]
        if unread:
            made = self._read(unread)
            self._made.update({path: made.get(path) for path in unread})
        self._made = {path: self._made[path] for path in paths}
        return [made for made in self._made.values() if made is not None]

    def _read(self, paths: Sequence[str]) -> dict[str, T]:
        # Older files may lack declared columns, which then read as null.
        schema = pa.schema([self._table.schema.field(name) for name in self._columns])
        storage = storage_of(self._uri)
        dataset = ds.dataset(list(paths), schema, format="parquet", filesystem=storage)
        return self._make(dataset.to_table(columns=[*self._columns, FILE]))
