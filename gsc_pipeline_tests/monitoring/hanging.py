"""A lake whose storage hangs, as on a mount whose server is gone: opening a file of it blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SYNC_RUNS


@contextmanager
def hanging(lake: Lake) -> Iterator[None]:
    """Whoever opens the newest data file of `sync_runs` waits until the block ends: it is a pipe."""
    files = Path(lake.table_uri(SYNC_RUNS)).rglob("*.parquet")
    file = max(files, key=lambda one: one.stat().st_mtime_ns)
    away = file.with_name("away")
    file.rename(away)
    os.mkfifo(file)
    try:
        yield
    finally:
        # Those who wait may open it once it is open for writing.
        pipe = os.open(file, os.O_RDWR | os.O_NONBLOCK)
        away.rename(file)
        os.close(pipe)
