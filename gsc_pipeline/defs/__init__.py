"""Everything that imports Dagster, a module per Dagster concept, and two names for other Dagster projects."""

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsc_pipeline.defs.build import build_defs
    from gsc_pipeline.defs.component import SearchConsole

__all__ = ["SearchConsole", "build_defs"]

_PLACES = {"SearchConsole": "gsc_pipeline.defs.component", "build_defs": "gsc_pipeline.defs.build"}


def loaded(module: str, name: str) -> Any:
    """One of the names above, which is loaded if need be, for `module`: this one, or `gsc_pipeline`."""
    if name not in _PLACES:
        raise AttributeError(f"module {module} has no attribute {name}")
    return vars(import_module(_PLACES[name]))[name]


__getattr__ = partial(loaded, __name__)


def __dir__() -> list[str]:
    """The names above, also before they are loaded. `dg` lists components by `dir`, and gets each name."""
    return [*__all__]
