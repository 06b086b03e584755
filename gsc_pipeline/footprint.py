"""What a process does once so that its syncs start fast and stay small: two choices about Arrow.

Belongs here: process-wide settings of libraries. Does not: anything about one sync.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


def reduce_footprint() -> None:
    """For a process that exists to sync, before it first uses Arrow. Doing it again changes nothing.

    Memory comes from the system's allocator: Arrow's own keeps freed pages, which for a sync's large,
    short-lived buffers costs a fifth more CPU time and a third more memory (`benchmarks/`).

    Arrow imports pandas, in 0.3 s, when it first converts a Python value, so as to know pandas' types when
    it meets them. A sync never does, so Arrow is made to look while there is none to be found. What needs
    pandas later, such as `to_pandas`, imports it then; only lists that hold pandas' own NA are refused.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    if "pandas" not in sys.modules:
        with _hidden("pandas"):
            pa.array([0])


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    finder = _NotFound(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _NotFound(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        if name == self._package:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)
