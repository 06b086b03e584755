"""The layout of the package: its rooms, who imports whom, and that every module says what it is for."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import gsc_pipeline
import gsc_pipeline.defs

ROOT = Path(gsc_pipeline.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# What each room may import of the project, besides itself and `errors`. A room stands below all that
# import it, so a room may name only rooms that stand above it in this list.
MAY_IMPORT: dict[str, set[str]] = {
    "text": set(),
    "errors": set(),
    "days": set(),
    "settings": {"text"},
    "state": {"text"},
    "lake": {"days", "text"},
    "simulator": {"days"},
    "demo": {"days", "simulator"},
    "search_console": {"days", "state", "text"},
    "workspaces": {"lake", "search_console", "settings", "text"},
    "sync": {"days", "lake", "search_console", "state", "workspaces"},
    "insights": {"days", "lake", "workspaces"},
    "monitoring": {"days", "lake", "search_console", "settings", "state", "sync", "text", "workspaces"},
    "report": {"days", "insights", "lake", "monitoring", "sync", "text", "workspaces"},
    "assistants": {
        "days", "insights", "lake", "monitoring", "report", "settings", "sync", "text", "workspaces",
    },
    "bootstrap": {
        "days", "lake", "monitoring", "search_console", "settings", "state", "sync", "text", "workspaces",
    },
    "defs": {
        "bootstrap", "days", "insights", "lake", "monitoring", "report", "search_console", "settings",
        "state", "sync", "workspaces",
    },
    "cli": {
        "assistants", "bootstrap", "days", "defs", "demo", "insights", "lake", "monitoring", "report",
        "search_console", "settings", "simulator", "state", "sync", "text", "workspaces",
    },
    "definitions": {"defs"},
    # Hands on two names of `defs`, which are loaded when they are first used.
    "__init__": {"defs"},
}  # fmt: skip
LOOSE = {"__init__", "bootstrap", "days", "definitions", "errors", "settings"}
DAGSTER = {"defs", "definitions"}


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


@cache
def imports(module: Path) -> frozenset[str]:
    """Every module that the file imports, at its top and inside functions, by its whole name."""
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & NAMES) or {node.module}
    return frozenset(found)


def dotted(module: Path) -> str:
    parts = [ROOT.name, *module.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: Path) -> str:
    return module.relative_to(ROOT).parts[0].removesuffix(".py")


def name(module: Path) -> str:
    return str(module.relative_to(ROOT))


NAMES = {dotted(module) for module in MODULES}


def test_every_module_stands_in_a_room() -> None:
    assert {room(module) for module in MODULES} == set(MAY_IMPORT)
    assert {module.stem for module in ROOT.glob("*.py")} == LOOSE


def test_no_room_imports_one_that_stands_above_it() -> None:
    rooms = list(MAY_IMPORT)
    for position, allowed in enumerate(MAY_IMPORT.values()):
        assert allowed <= set(rooms[:position])


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_imports_only_the_rooms_that_its_room_may(module: Path) -> None:
    ours = {found.split(".")[1] for found in imports(module) if found.startswith("gsc_pipeline.")}
    assert ours - {room(module), "errors"} <= MAY_IMPORT[room(module)]


@pytest.mark.parametrize("module", [m for m in MODULES if room(m) not in DAGSTER], ids=name)
def test_dagster_is_imported_in_its_room_alone(module: Path) -> None:
    assert not [found for found in imports(module) if found.split(".")[0].startswith("dagster")]


def importers(prefix: str) -> set[str]:
    return {name(m) for m in MODULES for found in imports(m) if found.startswith(prefix)}


def test_what_dagster_does_not_promise_is_imported_in_one_place() -> None:
    assert importers("dagster._") == {"defs/dagster_private.py"}


def test_dagsters_extras_are_imported_where_they_are_needed_alone() -> None:
    assert importers("dagster_celery") == {"defs/celery_launcher.py"}
    assert importers("dagster_") <= {"defs/dagster_private.py", "defs/celery_launcher.py"}


def test_no_module_imports_itself_through_others() -> None:
    rest = {dotted(module): imports(module) & NAMES - {dotted(module)} for module in MODULES}
    while free := {module for module, needed in rest.items() if not needed & rest.keys()}:
        rest = {module: needed for module, needed in rest.items() if module not in free}
    assert not rest


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_module_says_what_it_is_for(module: Path) -> None:
    docstring = ast.get_docstring(parsed(module))
    assert docstring
    assert len(docstring.splitlines()[0]) > 20


def test_importing_the_package_loads_no_dagster_and_its_names_load_what_they_name() -> None:
    code = """
import sys, gsc_pipeline
assert {"SearchConsole", "build_defs"} <= set(dir(gsc_pipeline))
assert not [name for name in sys.modules if name.split(".")[0].startswith("dagster")]
from gsc_pipeline import SearchConsole, build_defs
print(SearchConsole.__module__, build_defs.__module__)
try:
    gsc_pipeline.anything
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "gsc_pipeline.defs.component gsc_pipeline.defs.build",
        "module gsc_pipeline has no attribute anything",
    ]


@pytest.mark.parametrize("module", [gsc_pipeline, gsc_pipeline.defs])
def test_every_name_that_a_module_lists_can_be_had(module: ModuleType) -> None:
    assert [name for name in dir(module) if not hasattr(module, name)] == []
