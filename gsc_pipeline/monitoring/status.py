"""The state of each workspace: the days in the lake, its syncs, and its failures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.agreement import COMPARED_COLUMNS, compare, confirmed
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.incremental import FILE, FileByFile
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    FOLDER_DAYS,
    LEDGER_COUNTS,
    MORE_LEDGER,
    PAST_CAP,
    STANDING_FAILURES,
    SYNC_LEDGER,
    SYNC_RUNS,
    WRITING,
)
from gsc_pipeline.monitoring.folders import (
    FOLDERS,
    FolderState,
    WorthAdding,
    folders_of,
    folders_worth_adding,
)
from gsc_pipeline.monitoring.sync_runs import COMBINED_RUNS, RUN_COLUMNS, RUNS, SyncTotals, in_a_row
from gsc_pipeline.sync.cut_days import Tried
from gsc_pipeline.sync.failures import StandingFailure, failures_of, is_configured, of_configured
from gsc_pipeline.workspaces.registry import Workspace

T = TypeVar("T")

_DAYS = f"""
    SELECT {FILE}, workspace, site_url, month,
           coalesce(max(status) FILTER (status = '{WRITING}'), '') AS status,
           count(*) FILTER (status = 'final') AS final,
           count(*) FILTER (status IN ('provisional', '{WRITING}')) AS provisional,
           count(*) FILTER (status = 'empty') AS empty,
           count(*) FILTER (status NOT IN ('final', 'provisional', '{WRITING}', 'empty')) AS failed,
           count(*) FILTER (truncated) AS truncated,
           min(data_date) FILTER (last_read_at IS NOT NULL) AS first_day,
           max(data_date) FILTER (last_read_at IS NOT NULL) AS last_day,
           max(data_date) FILTER (status = 'final') AS final_up_to,
           coalesce(sum(clicks), 0)::BIGINT AS clicks,
           coalesce(sum(impressions), 0)::BIGINT AS impressions,
           coalesce(sum(cut_clicks), 0)::BIGINT AS cut_clicks,
           coalesce(sum(cut_impressions), 0)::BIGINT AS cut_impressions,
           {", ".join(f"sum({name})::BIGINT AS {name}" for name in LEDGER_COUNTS)}
    FROM rows GROUP BY {FILE}, workspace, site_url, month
"""
_MEASURES = ("clicks", "impressions", "cut_clicks", "cut_impressions")
_COMBINED_DAYS = {
    **dict.fromkeys(("final", "provisional", "empty", "failed", "truncated"), "sum"),
    **dict.fromkeys(_MEASURES, "sum"),
    **{"first_day": "min", "last_day": "max", "final_up_to": "max"},
}
"""How the rows of several files are combined into the fields of WorkspaceState."""


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """An address whose circuit breaker is not closed, and how many active workspaces need that address.

    From `retry_at` on, one call tests whether the address answers again.
    """

    what: str
    workspaces: int
    since: datetime
    retry_at: datetime
    cause: str

    def as_json(self) -> dict[str, Any]:
        """As JSON types, dates in ISO form."""
        return _json_types(asdict(self))


@dataclass(frozen=True, slots=True)
class TruncatedDays:
    """The days of which a table of `more_ledger` lacks pages that the API cut off."""

    table: str
    site_url: str
    search_type: str
    days: int
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class WorkspaceState:
    """The state of one workspace. Days are counted by property and search type, and by status in the ledger.

    `final_up_to` is the newest final day. `last_good_sync` is the start of the last complete sync, `moved_at`
    the start of the last sync that read a day; times are UTC. `damaged` names the files that cannot be read,
    whose rows are not counted, and months in which the tables do not hold the rows that the ledger counts.
    `cut_clicks` and `cut_impressions` are of countries and devices whose queries the API cut off;
    `past_cap` is what requests for their parts brought, `folders` what folders did, and `worth_adding` names
    more, if the caller has asked for them. The pages of folders are counted once, in the properties that they
    complete. `truncated_more` are the days that were cut off in other tables. `failed_in_a_row` counts the
    last syncs that failed, `incomplete_in_a_row` those that were not complete.
    """

    workspace: str
    active: bool
    final: int = 0
    provisional: int = 0
    empty: int = 0
    failed: int = 0
    truncated: int = 0
    first_day: date | None = None
    last_day: date | None = None
    final_up_to: date | None = None
    clicks: int = 0
    impressions: int = 0
    cut_clicks: int = 0
    cut_impressions: int = 0
    last_sync: datetime | None = None
    last_sync_seconds: float = 0.0
    last_good_sync: datetime | None = None
    moved_at: datetime | None = None
    failed_in_a_row: int = 0
    incomplete_in_a_row: int = 0
    failures: tuple[StandingFailure, ...] = ()
    damaged: tuple[str, ...] = ()
    past_cap: tuple[Tried, ...] = ()
    folders: tuple[FolderState, ...] = ()
    worth_adding: tuple[WorthAdding, ...] = ()
    truncated_more: tuple[TruncatedDays, ...] = ()

    @property
    def failing_days(self) -> int:
        """The failed days of the standing failures, which are still to be read."""
        return sum(failure.days for failure in self.failures)

    def as_json(self) -> dict[str, Any]:
        """The state as JSON types, dates in ISO form."""
        lists = ("failures", "past_cap", "folders", "worth_adding", "truncated_more")
        return {
            **_json_types(asdict(self)),
            **{name: [_json_types(asdict(one)) for one in getattr(self, name)] for name in lists},
        }


class StateReader:
    """Reads the states of workspaces. It opens each data file once, so a second read opens only new files.

    With `workspace`, it reads the files of that workspace only. After a read, `totals` are the sums over all
    syncs, and `unreadable` are the errors that concern every workspace. Not thread-safe.
    """

    def __init__(self, lake: Lake, workspace: str | None = None) -> None:
        self.totals = SyncTotals()
        self.unreadable: tuple[DamagedError, ...] = ()
        self._lake, self._workspace = lake, workspace
        more = ("site_url", "data_date", "truncated", "last_read_at", *_MEASURES)
        self._days = FileByFile(lake, SYNC_LEDGER, [*COMPARED_COLUMNS, *more], _DAYS, workspace)
        self._runs = FileByFile(lake, SYNC_RUNS, RUN_COLUMNS, RUNS, workspace)
        names = STANDING_FAILURES.schema.names
        self._failures = FileByFile(lake, STANDING_FAILURES, names, "FROM rows", workspace)
        self._past_cap = FileByFile(lake, PAST_CAP, PAST_CAP.schema.names, "FROM rows", workspace)
        names = [*MORE_LEDGER.keys, "truncated"]
        self._more = FileByFile(lake, MORE_LEDGER, names, "FROM rows WHERE truncated", workspace)
        self._folders = FileByFile(lake, FOLDER_DAYS, FOLDER_DAYS.schema.names, FOLDERS, workspace)

    def read(
        self,
        workspaces: Sequence[Workspace],
        unfinished: Collection[str] = (),
        ticks: Sequence[datetime] = (),
    ) -> list[WorkspaceState]:
        """The state of each of `workspaces`, in their order. Raises LakeError.

        Syncs in a row are counted by run, and those between two `ticks` (when these began, oldest first) as
        one: the last attempt decides. The runs in `unfinished`, which may be retried, do not count yet.

        Failures of inactive workspaces, and of properties and search types that are no longer configured,
        do not count. A damaged file is named in `damaged`. The rows of the other files are counted.
        """
        days, runs = self._days.read(), self._runs.read()
        failures = of_configured(failures_of(self._failures.read()), workspaces)
        differences, errors = self._differences(days)
        tried = self._past_cap.read().select(PAST_CAP.schema.names)
        tried = tried.sort_by([(name, "ascending") for name in PAST_CAP.keys])
        cut = _truncated(self._more.read())
        folders_by = _grouped(folders_of(self._folders.read(), workspaces))
        damaged = (self._days, self._runs, self._failures, self._past_cap, self._folders, self._more)
        errors = [*(error for files in damaged for error in files.damaged), *errors]
        self.unreadable = tuple(error for error in errors if not error.workspace)
        self.totals = SyncTotals.of(runs)
        days_of = _by_workspace(_counted_once(days, workspaces), _COMBINED_DAYS)
        runs_of = _by_workspace(runs.sort_by("last_sync"), COMBINED_RUNS)
        syncs_in_a_row = in_a_row(runs, runs_of, unfinished, ticks)
        past_cap_by = _grouped((row.pop("workspace"), Tried(**row)) for row in tried.to_pylist())
        failures_by = _grouped((one.workspace, one) for one in failures)
        damage_by = _grouped([(error.workspace, str(error)) for error in errors] + differences)
        return [
            WorkspaceState(
                workspace=workspace.id,
                active=workspace.active,
                **days_of.get(workspace.id, {}),
                **runs_of.get(workspace.id, {}),
                **syncs_in_a_row.get(workspace.id, {}),
                failures=tuple(failures_by[workspace.id]),
                damaged=tuple(dict.fromkeys([*damage_by[""], *damage_by[workspace.id]])),
                past_cap=tuple(
                    one
                    for one in past_cap_by[workspace.id]
                    if is_configured(workspace, one.site_url, one.search_type)
                ),
                folders=tuple(folders_by[workspace.id]),
                truncated_more=tuple(
                    one
                    for one in cut[workspace.id]
                    if is_configured(workspace, one.site_url, one.search_type)
                ),
            )
            for workspace in workspaces
        ]

    def _differences(self, days: pa.Table) -> tuple[list[tuple[str, str]], list[DamagedError]]:
        """The disagreements of tables and ledger, each as workspace and text, and the errors of files."""
        unknown = {error.workspace for error in self._days.damaged}
        if "" in unknown:
            return [], []
        try:
            # A sync that commits during the comparison makes them differ briefly, so compare twice.
            found = confirmed(
                compare(self._lake, days, self._workspace),
                lambda: compare(self._lake, self._days.read(), self._workspace),
            )
        except DamagedError as error:
            return [], [error]
        known = [one for one in found if one.workspace not in unknown]
        return [(one.workspace, f"{one}: run gsc verify {one.workspace}") for one in known], []


def workspace_states(workspaces: Sequence[Workspace], lake: Lake) -> list[WorkspaceState]:
    """The state of each of `workspaces`, in their order. Raises LakeError."""
    return StateReader(lake).read(workspaces)


def with_folders_worth_adding(
    states: Sequence[WorkspaceState], workspaces: Sequence[Workspace], lake: Lake
) -> list[WorkspaceState]:
    """The states of these workspaces, with the folders worth adding to those of which days were cut.

    Raises LakeError.
    """
    known = {one.id: one for one in workspaces if one.active}
    return [
        replace(state, worth_adding=folders_worth_adding(known[state.workspace], lake))
        if state.truncated and state.workspace in known
        else state
        for state in states
    ]


def workspace_state(workspace: Workspace, lake: Lake) -> WorkspaceState:
    """The state of one workspace, read from its own files. Raises LakeError."""
    return StateReader(lake, workspace.id).read([workspace])[0]


def _truncated(days: pa.Table) -> defaultdict[str, list[TruncatedDays]]:
    """The days by workspace, those of each table, property and search type together."""
    keys = ["workspace", "table_name", "site_url", "search_type"]
    how: list[tuple[str, str]] = [("data_date", one) for one in ("count", "min", "max")]
    found = days.group_by(keys, use_threads=False).aggregate(how)
    rows = found.sort_by([(key, "ascending") for key in keys]).select(
        [*keys, "data_date_count", "data_date_min", "data_date_max"]
    )
    return _grouped(
        (workspace, TruncatedDays(*row)) for workspace, *row in (one.values() for one in rows.to_pylist())
    )


def _by_workspace(parts: pa.Table, how: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The parts of each workspace combined, as fields of its state."""
    combined = parts.group_by("workspace", use_threads=False).aggregate(list(how.items()))
    combined = combined.select(["workspace", *(f"{name}_{one}" for name, one in how.items())])
    rows = combined.rename_columns(["workspace", *how]).to_pylist()
    return {row.pop("workspace"): row for row in rows}


def _counted_once(days: pa.Table, workspaces: Sequence[Workspace]) -> pa.Table:
    """The results without the clicks and impressions of folders, which their parents have too."""
    folders = [f"{one.id} {site_url}" for one in workspaces for site_url in one.folder_urls]
    if not folders:
        return days
    keys = pc.binary_join_element_wise(days["workspace"], days["site_url"], " ")
    is_folder = pc.is_in(keys, pa.array(folders))
    for name in _MEASURES:
        place = days.schema.get_field_index(name)
        days = days.set_column(place, name, pc.if_else(is_folder, 0, days[name]))
    return days


def _grouped(pairs: Iterable[tuple[str, T]]) -> defaultdict[str, list[T]]:
    groups: defaultdict[str, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def _json_types(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, date | datetime) else v for k, v in values.items()}
