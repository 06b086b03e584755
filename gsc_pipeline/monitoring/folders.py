"""Names the folders whose own properties may bring the most of what the API cut off of a property."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake, days_between
from gsc_pipeline.lake.schemas import SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.monitoring.status import WorkspaceState, WorthAdding
from gsc_pipeline.sync.failures import is_configured
from gsc_pipeline.workspaces.registry import Workspace

CUT_DAYS = 7
"""The last final days that were cut, over which the figures are summed."""

MOST_FOLDERS = 5
"""The most folders that are named for a property and search type."""

LEAST_SHARE = 0.02
"""The least share of a property's cut impressions of a folder that is named."""

_ORIGIN = "[A-Za-z]+://[^/?#]+/"


def with_folders_worth_adding(
    states: Sequence[WorkspaceState], workspaces: Sequence[Workspace], lake: Lake
) -> list[WorkspaceState]:
    """The states of these workspaces, with the folders worth adding. Raises LakeError.

    Reads the cut rows of a week of each property that was cut. Damaged files are left out.
    """
    known = {one.id: one for one in workspaces if one.active}
    return [
        replace(state, worth_adding=tuple(_of_workspace(known[state.workspace], lake)))
        if state.truncated and state.workspace in known
        else state
        for state in states
    ]


def _of_workspace(workspace: Workspace, lake: Lake) -> list[WorthAdding]:
    try:
        return [
            one
            for (site_url, search_type), days in _cut_days(workspace, lake).items()
            for one in _of_property(workspace, site_url, search_type, days, lake)
        ]
    except DamagedError:
        # The states name damaged files.
        return []


def _cut_days(workspace: Workspace, lake: Lake) -> dict[tuple[str, str], list[date]]:
    """The last days to sum, by property and search type."""
    names = ["site_url", "search_type", "data_date"]
    where = (pc.field("status") == "final") & pc.field("truncated")
    rows = lake.read(SYNC_LEDGER, columns=names, where=where, workspace=workspace.id)
    days: defaultdict[tuple[str, str], list[date]] = defaultdict(list)
    for row in rows.sort_by([(name, "ascending") for name in names]).to_pylist():
        if is_configured(workspace, row["site_url"], row["search_type"]):
            days[row["site_url"], row["search_type"]].append(row["data_date"])
    return {key: of_key[-CUT_DAYS:] for key, of_key in days.items()}


def _of_property(
    workspace: Workspace, site_url: str, search_type: str, days: Sequence[date], lake: Lake
) -> list[WorthAdding]:
    """The first segments of paths below the property with the most cut impressions, without its folders."""
    where = (
        days_between(days[0], days[-1])
        & pc.field("data_date").isin(list(days))
        & (pc.field("site_url") == site_url)
        & (pc.field("search_type") == search_type)
        & pc.field("is_truncated")
    )
    columns = ["url", "clicks", "impressions"]
    rows = lake.read(URL_IMPRESSION, columns=columns, where=where, workspace=workspace.id)
    total = pc.sum(rows["impressions"]).as_py() or 0
    for folder in workspace.folders_of(site_url):
        rows = rows.filter(pc.invert(pc.starts_with(rows["url"], folder)))
    start = _ORIGIN if site_url.startswith("sc-domain:") else re.escape(site_url)
    found = pc.extract_regex(rows["url"], rf"^(?P<folder>{start}[^/?#]+/)")
    table = pa.table({**{name: rows[name] for name in columns}, "folder": pc.struct_field(found, "folder")})
    sums = (
        table.filter(pc.is_valid(table["folder"]))
        .group_by("folder", use_threads=False)
        .aggregate([("url", "count_distinct"), ("clicks", "sum"), ("impressions", "sum")])
        .sort_by([("impressions_sum", "descending"), ("folder", "ascending")])
    )
    return [
        WorthAdding(
            site_url,
            search_type,
            row["folder"],
            len(days),
            row["url_count_distinct"],
            row["clicks_sum"],
            row["impressions_sum"],
            row["impressions_sum"] / total,
        )
        for row in sums.slice(0, MOST_FOLDERS).to_pylist()
        if row["impressions_sum"] >= LEAST_SHARE * total
    ]
