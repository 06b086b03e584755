"""Settings of Arrow that hold for the whole process."""

from __future__ import annotations

import contextlib
import ctypes
import sys

import pyarrow as pa


class _WithoutPandas:
    """An import finder that reports pandas as not installed."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


_M_ARENA_MAX = -8
"""The parameter of glibc's mallopt for the number of its arenas."""


def _limit_arenas() -> None:
    """Let glibc keep freed memory in two arenas instead of eight for each core.

    Every thread of the client, of Arrow and of Delta keeps what it freed in an arena of its own. For a day of
    a million rows that is a quarter of a sync's memory. Does nothing where there is another C library.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def prepare_arrow() -> None:
    """Set Arrow up for a process that syncs. Call it before Arrow is first used; repeating it is harmless.

    Memory comes from the system's allocator: Arrow's own keeps freed pages, which for a sync's large,
    short-lived buffers costs a fifth more CPU time and a third more memory (`benchmarks/`).

    Arrow imports pandas at its first conversion of a Python value, only to recognise pandas' types. That is
    0.3 s of CPU, a quarter of an idle sync, which uses no pandas: so the first conversion finds none. What
    needs pandas later, such as `to_pandas`, still imports it.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    _limit_arenas()
    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _WithoutPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_WithoutPandas)


def release_memory() -> None:
    """Give freed memory back to the system, after rows that took much of it."""
    pa.default_memory_pool().release_unused()
