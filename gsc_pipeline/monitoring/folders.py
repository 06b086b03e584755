"""What the properties of folders added to days that the API cut off, and which folders are worth adding."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.incremental import FILE
from gsc_pipeline.lake.lake import Lake, days_between
from gsc_pipeline.lake.schemas import SYNC_LEDGER, URL_IMPRESSION
from gsc_pipeline.sync.failures import is_configured
from gsc_pipeline.workspaces.registry import Workspace

CUT_DAYS = 7
"""The last final days that were cut, over which the figures are summed."""

MOST_FOLDERS = 5
"""The most folders that are named for a property and search type."""

LEAST_SHARE = 0.02
"""The least share of a property's cut impressions of a folder that is named."""

_ORIGIN = "[A-Za-z]+://[^/?#]+/"

FOLDERS = f"""
    SELECT {FILE}, workspace, site_url, search_type, folder, count(*) AS days, sum("rows")::BIGINT AS "rows",
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
           sum(differences)::BIGINT AS differences,
           max(data_date) FILTER (differences > 0) AS differs_on,
           arg_max(largest_difference, data_date) FILTER (differences > 0) AS difference
    FROM rows GROUP BY {FILE}, workspace, site_url, search_type, folder
"""
"""What folders added, for each file of `folder_days`."""


@dataclass(frozen=True, slots=True)
class FolderState:
    """What a folder's property added to the cut days of its parent, as in the table `folder_days`.

    `differences` counts pages, in a country and on a device, that contradict the parent; `difference` is one
    of the newest day that has any, `differs_on`.
    """

    site_url: str
    search_type: str
    folder: str
    days: int
    rows: int
    clicks: int
    impressions: int
    differences: int
    differs_on: date | None
    difference: str | None


@dataclass(frozen=True, slots=True)
class WorthAdding:
    """A folder whose own property may bring much of what the API cut off.

    Over the last `days` final days that were cut, `pages` of the folder have these clicks and impressions
    without a query where queries were cut off: `share` of the property's impressions of that kind.
    """

    site_url: str
    search_type: str
    folder: str
    days: int
    pages: int
    clicks: int
    impressions: int
    share: float


def folders_of(parts: pa.Table, workspaces: Sequence[Workspace]) -> list[tuple[str, FolderState]]:
    """What the configured folders added, each with its workspace.

    `parts` are the results of FOLDERS for each file.
    """
    keys = ["workspace", "site_url", "search_type", "folder"]
    sums = ("days", "rows", "clicks", "impressions", "differences")
    how = {**dict.fromkeys(sums, "sum"), "differs_on": "max", "difference": "first"}
    # Nulls are last: days without a difference must not hide one.
    parts = parts.sort_by([("differs_on", "descending")])
    found = parts.group_by(keys, use_threads=False).aggregate(list(how.items()))
    found = found.select([*keys, *(f"{name}_{one}" for name, one in how.items())])
    rows = found.rename_columns([*keys, *how]).sort_by([(name, "ascending") for name in keys]).to_pylist()
    known = {one.id: one for one in workspaces}
    return [
        (workspace, FolderState(**row))
        for row in rows
        if (workspace := row.pop("workspace")) in known
        and is_configured(known[workspace], row["site_url"], row["search_type"])
        and row["folder"] in known[workspace].folders_of(row["site_url"])
    ]


def folders_worth_adding(workspace: Workspace, lake: Lake) -> tuple[WorthAdding, ...]:
    """The folders of the workspace's cut properties that are worth adding. Raises LakeError.

    Reads the cut rows of a week of each property. Nothing is named if a file is damaged.
    """
    try:
        return tuple(
            one
            for (site_url, search_type), days in _cut_days(workspace, lake).items()
            for one in _of_property(workspace, site_url, search_type, days, lake)
        )
    except DamagedError:
        # The state of the workspace names damaged files.
        return ()


FOLDER_COLUMNS = (
    "workspace",
    "property",
    "search type",
    "folder",
    "days",
    "rows",
    "clicks",
    "impressions",
    "differences",
    "newest difference",
)
"""The headers of the table of what folders added."""


def folder_cells(workspace: str, one: FolderState) -> tuple[object, ...]:
    """A row under FOLDER_COLUMNS."""
    newest = f"{one.differs_on}: {one.difference}" if one.differs_on else ""
    numbers = (one.days, one.rows, one.clicks, one.impressions, one.differences)
    return (workspace, one.site_url, one.search_type, one.folder, *numbers, newest)


WORTH_ADDING_COLUMNS = (
    "workspace",
    "property",
    "search type",
    "folder",
    "days",
    "pages",
    "clicks",
    "impressions",
    "share",
)
"""The headers of the table of folders worth adding."""


def worth_adding_cells(workspace: str, one: WorthAdding) -> tuple[object, ...]:
    """A row under WORTH_ADDING_COLUMNS."""
    numbers = (one.days, one.pages, one.clicks, one.impressions)
    return (workspace, one.site_url, one.search_type, one.folder, *numbers, f"{one.share:.0%}")


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
