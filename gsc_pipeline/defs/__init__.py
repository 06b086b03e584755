"""Everything that imports Dagster, a module per Dagster concept, and two names for other Dagster projects."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsc_pipeline.defs.build import build_defs
    from gsc_pipeline.defs.component import SearchConsole

__all__ = ["SearchConsole", "build_defs"]

_PLACES = {"SearchConsole": "gsc_pipeline.defs.component", "build_defs": "gsc_pipeline.defs.build"}


def __getattr__(name: str) -> Any:
    """Load one of the names above; `gsc_pipeline` hands them on."""
    if name not in _PLACES:
        raise AttributeError(f"{__name__} has no attribute {name}")
    return vars(import_module(_PLACES[name]))[name]


def __dir__() -> list[str]:
    """The module's names, also those that are not loaded yet: `dg` lists components by them."""
    return sorted({*globals(), *__all__})
