"""Opens a store by its address."""

from __future__ import annotations

import time
from collections.abc import Callable

from gsc_pipeline.state.store import Store


def open_store(
    address: str, sleep: Callable[[float], None] = time.sleep, *, reads_only: bool = False
) -> Store:
    """The store at `address`: the path of a SQLite file, or a `postgresql://` URL. Does not connect yet.

    With `reads_only`, nothing is created and nothing can be written; what is missing reads as empty.
    """
    # Import only the database library that is needed.
    if address.startswith(("postgresql://", "postgres://")):
        from gsc_pipeline.state.postgres import PostgresStore

        return PostgresStore(address, sleep, reads_only=reads_only)
    from gsc_pipeline.state.sqlite import SqliteStore

    return SqliteStore(address, sleep, reads_only=reads_only)
