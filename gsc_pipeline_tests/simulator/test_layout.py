"""The layout of the simulator: the server and the sources of numbers do not import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gsc_pipeline import simulator

ROOT = Path(simulator.__file__).parent
PARTS = ("replay", "synthetic", "wire")


def imported_parts(module: Path) -> set[str]:
    """The parts that a module imports, at its top or inside functions."""
    names = [
        node.module
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    ]
    ours = [name.split(".") for name in names if name.startswith(f"{simulator.__name__}.")]
    return {name[2] for name in ours} & set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_no_other_part(part: str) -> None:
    modules = list((ROOT / part).glob("*.py"))
    assert len(modules) > 3
    assert {found for module in modules for found in imported_parts(module)} <= {part}


def test_the_modules_that_all_parts_share_import_no_part() -> None:
    shared = [module for module in ROOT.glob("*.py") if module.name != "__init__.py"]
    assert shared
    assert not [module.name for module in shared if imported_parts(module)]
