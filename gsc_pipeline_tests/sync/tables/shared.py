"""What the tests of the smaller tables share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pyarrow.compute as pc

from gsc_pipeline.days import PACIFIC
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.grains import search_type_in_tables
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline_tests.world import World

TODAY = date(2026, 11, 21)
NOON = datetime.combine(TODAY, datetime.min.time(), PACIFIC).replace(hour=12)
SITE = "sc-domain:acme.com"
PAGE = "https://acme.com/"


def is_stopped(report: TableReport) -> bool:
    """Whether a failure of the whole workspace, such as its credential, ended the sync."""
    return any(not problem.site_url for problem in report.problems)


def rows_of_type(
    world: World, table: TableSpec, search_type: SearchType, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows that the lake has of one search type."""
    of_type = pc.field("search_type") == search_type_in_tables(search_type)
    rows: list[dict[str, Any]] = world.lake.read(table).filter(of_type).select(columns).to_pylist()
    return rows


def in_order(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The rows in an order of their own, so that two lists can be compared."""
    return sorted((tuple(sorted(row.items())) for row in rows), key=repr)
