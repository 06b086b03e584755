"""gsc_pipeline: an exact, growing, SQL-ready copy of Google Search Console data, kept by Dagster.

Layers, each importing only what stands to its right:
Dagster modules and the `gsc` command → sync → search_console, lake → days.

For other Dagster projects, `SearchConsole` is a component and `build_defs` returns all definitions. Both are
loaded when they are first used, so that importing the package does not load Dagster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsc_pipeline.defs.build import build_defs
    from gsc_pipeline.defs.component import SearchConsole

__all__ = ["SearchConsole", "build_defs"]

_PLACES = {"SearchConsole": "gsc_pipeline.defs.component", "build_defs": "gsc_pipeline.defs.build"}


def __getattr__(name: str) -> Any:
    """Load one of the names above."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """The module's names, also those that are not loaded yet: `dg` lists components by them."""
    return sorted({*globals(), *__all__})
