"""The parts of the docs that the code knows best: `python -m gsc_pipeline_tests.docs` writes them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from gsc_pipeline.assistants.docs import column_rows, markdown_table
from gsc_pipeline.lake.schemas import TABLES, TableSpec
from gsc_pipeline.settings import Settings
from gsc_pipeline.workspaces.thresholds import Thresholds

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def up_to_date(text: str) -> str:
    """The page with its tables of settings and columns as the code has them now."""
    text = _between("settings", _settings(), text)
    text = _between("thresholds", _thresholds(), text)
    for table in TABLES:
        text = _between(f"columns: {table.name}", _columns(table), text)
    return text


def _between(marker: str, body: str, text: str) -> str:
    pattern = re.compile(rf"(<!-- {re.escape(marker)} -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda match: match[1] + body + match[2], text)


def _settings() -> str:
    rows = [
        (f"`{field.validation_alias}`", _default(field.default), str(field.description))
        for field in Settings.model_fields.values()
    ]
    return markdown_table(("variable", "default", "meaning"), rows)


def _default(value: object) -> str:
    if value is None:
        return "unset"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else ""


def _thresholds() -> str:
    rows = [(f"`{one.name}`", f"`{one.default}`", one.metadata["description"]) for one in fields(Thresholds)]
    return markdown_table(("threshold", "default", "meaning"), rows)


def _columns(table: TableSpec) -> str:
    return markdown_table(("column", "type", "meaning"), column_rows(table))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(up_to_date(page.read_text(encoding="utf-8")), encoding="utf-8")
