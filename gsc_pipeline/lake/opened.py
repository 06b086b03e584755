"""Tables kept open between one read or commit and the next, each followed to its newest version when used.

Belongs here: that a table is opened once and stays the table that it was. Does not: what is read or written
(`lake`). Opening reads a line for every file of the table: a quarter of a second of CPU at a thousand
workspaces and 16 months, several times a sync. Following it reads the commits since.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pa_fs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

_Mark = tuple[int, int, int | None]
"""A commit: its version, and its file's size and time. That file never changes while the table lives."""


@dataclass(frozen=True, slots=True)
class _Kept:
    table: DeltaTable
    mark: _Mark | None


class OpenedTables:
    """Tables by address, in each thread its own: Delta's objects are not for several at once."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def newest(self, uri: str) -> DeltaTable:
        """The table as it is now. Raises TableNotFoundError, also where a known table has gone since.

        A table that was made anew under the same address is opened anew.
        """
        tables: dict[str, _Kept] = self._threads.__dict__
        storage = DeltaStorageHandler(uri)
        kept = tables.pop(uri, None)
        table = _followed(kept, storage) or DeltaTable(uri)
        if kept is None or kept.table is not table or kept.mark is None or kept.mark[0] != table.version():
            kept = _Kept(table, _mark(storage, table.version()))
        if kept.mark is not None and kept.mark[1] == 0:
            # What a power cut leaves. Delta reads it as a commit that changes nothing.
            raise DeltaError(f"the commit of version {kept.mark[0]} is an empty file")
        tables[uri] = kept
        return table


def _followed(kept: _Kept | None, storage: Any) -> DeltaTable | None:
    """The kept table brought up to date; None where it cannot be told to be the same table still."""
    if kept is None or kept.mark is None or _mark(storage, kept.mark[0]) != kept.mark:
        return None
    try:
        kept.table.update_incremental()
    except DeltaError:
        # Its log may have been shortened meanwhile. Opening anew tells whether anything is wrong.
        return None
    return kept.table


def _mark(storage: Any, version: int) -> _Mark | None:
    (info,) = storage.get_file_info([f"_delta_log/{version:020d}.json"])
    if info.type is not pa_fs.FileType.File:
        return None
    return version, info.size, info.mtime_ns
