"""gsc_pipeline: an exact, growing, SQL-ready copy of Google Search Console data, kept by Dagster.

For other Dagster projects, `SearchConsole` is a component and `build_defs` returns all definitions. Both are
loaded when they are first used, so that importing the package does not load Dagster. docs/development.md
lists the folders, and which of them may import which.
"""

from functools import partial
from typing import TYPE_CHECKING

from gsc_pipeline.defs import __dir__ as __dir__
from gsc_pipeline.defs import loaded

if TYPE_CHECKING:
    from gsc_pipeline.defs import SearchConsole, build_defs

__all__ = ["SearchConsole", "build_defs"]

__getattr__ = partial(loaded, __name__)
