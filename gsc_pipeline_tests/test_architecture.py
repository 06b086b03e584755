"""The house as the docs draw it: who imports whom, and that every module says what it is for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gsc_pipeline

ROOT = Path(gsc_pipeline.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# What each part of the core may import of the project, besides itself.
MAY_IMPORT = {
    "days": set(),
    "settings": set(),
    "footprint": set(),
    "rollout": set(),
    "state": set(),
    "search_console": {"days", "state"},
    "lake": {"days"},
    "thresholds": set(),
    "workspaces": {"settings", "search_console", "thresholds"},
    "sync": {"days", "lake", "search_console", "state", "telemetry", "workspaces"},
    "insights": {"days", "lake", "thresholds", "workspaces"},
    "report": {"days", "insights", "lake", "thresholds", "workspaces"},
    "telemetry": set(),
    "audit": {"days"},
    "structured_logs": set(),
    "figures": {"lake", "sync", "workspaces"},
    "health": {"days", "figures", "lake", "workspaces"},
    "alerts": {"health"},
    "heartbeat": set(),
    "serving": {"alerts", "health"},
    "simulator": {"days"},
    "status": {"lake", "sync", "workspaces"},
    "last_true": {"days", "lake", "status"},
    "printing": set(),
    "quality": {"days", "lake"},
    "terminal": {"lake", "printing", "status", "sync"},
}


def imports(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def part(module: Path) -> str:
    return module.relative_to(ROOT).parts[0].removesuffix(".py")


def name(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) in MAY_IMPORT], ids=name)
def test_the_core_imports_only_what_lies_below_it_and_no_dagster(module: Path) -> None:
    ours = {found.split(".")[1] for found in imports(module) if found.startswith("gsc_pipeline.")}
    assert ours <= MAY_IMPORT[part(module)] | {part(module), "errors"}
    assert not any(found.split(".")[0].startswith("dagster") for found in imports(module))


def test_what_dagster_does_not_promise_is_imported_in_one_place() -> None:
    private = {
        name(m) for m in MODULES for found in imports(m) if found.startswith(("dagster._", "dagster_"))
    }
    assert private == {"dagster_private.py"}


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_module_says_what_it_is_for(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring.splitlines()[0]) > 20
