"""A small world to sync in: a simulator behind a real socket, keys, workspaces, a lake, a clock to set."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, TABLES, URL_IMPRESSION, TableSpec
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.client import HttpSearchConsole
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.search_types import QueryType, SearchType
from gsc_pipeline.simulator import (
    Call,
    Property,
    Reply,
    Simulator,
    SyntheticProperty,
    serving,
)
from gsc_pipeline.sync.context import SyncOptions
from gsc_pipeline.sync.ledger import DayRecord, LedgerKey, read_rows, records_of
from gsc_pipeline.sync.report import SyncReport
from gsc_pipeline.sync.tables.appearance import sync_appearance
from gsc_pipeline.sync.tables.hourly import sync_hourly
from gsc_pipeline.sync.tables.inspections import sync_inspections
from gsc_pipeline.sync.tables.properties import sync_properties
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.sync.tables.sitemaps import sync_sitemaps
from gsc_pipeline.sync.workspace import sync_workspace
from gsc_pipeline.workspaces.registry import Folder, Workspace
from gsc_pipeline_tests.keys import write_key

NOON = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
"""Noon of 2026-11-21 in California."""


@dataclass
class World:
    """What a test sets: the time, the faults, the workspaces. Everything else is real."""

    folder: Path
    url: str
    simulator: Simulator
    lake: Lake
    now: datetime = NOON
    faults: list[Any] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @classmethod
    @contextmanager
    def serving(
        cls,
        folder: Path,
        properties: Sequence[Property] | None = None,
        *,
        now: datetime = NOON,
        **habits: Any,
    ) -> Iterator[World]:
        """A world whose simulator serves `properties`, by default two synthetic ones of 100 rows a day.

        `now` is the simulator's time. Commands run in processes of their own know the real time only.
        `habits` are the simulator's: how it pages, what it refuses.
        """
        properties = properties or [
            SyntheticProperty("sc-domain:acme.com", rows_a_day=100, plants=False),
            SyntheticProperty("https://shop.acme.com/", rows_a_day=100, plants=False),
        ]
        worlds: list[World] = []
        simulator = Simulator(
            properties, clock=lambda: worlds[0].now, faults=lambda call: worlds[0].fault(call), **habits
        )
        with serving(simulator) as url:
            worlds.append(cls(folder, url, simulator, Lake(str(folder / "lake")), now))
            yield worlds[0]

    def fault(self, call: Call) -> Reply | None:
        """The first answer that one of `faults` (functions of a call) gives instead of the truth."""
        return next((reply for one in list(self.faults) if (reply := one(call)) is not None), None)

    @property
    def today(self) -> date:
        return pacific_today(self.now)

    def workspace(
        self,
        id_: str = "acme",
        *,
        properties: Sequence[str] | None = ("sc-domain:acme.com",),
        search_types: Sequence[SearchType] = (QueryType.WEB,),
        folders: Sequence[Folder] = (),
    ) -> Workspace:
        """A workspace with a key of its own for this world's simulator."""
        key = self.folder / f"{id_}-key.json"
        if not key.exists():
            write_key(key, base_url=self.url, client_email=f"{id_}@example.com")
        return Workspace(
            id=id_,
            name=id_,
            credentials=ServiceAccountFile(key),
            properties=None if properties is None else tuple(properties),
            search_types=tuple(search_types),
            folders=tuple(folders),
        )

    def open_console(self, workspace: Workspace) -> HttpSearchConsole:
        """The live client without pauses: `waits` records how long it would have waited."""
        return HttpSearchConsole(
            workspace.credentials,
            base_url=self.url,
            retry=RetryPolicy(attempts=3, sleep=self.waits.append),
            clock=lambda: self.now,
        )

    def sync(
        self,
        workspace: Workspace,
        window: Window | None = None,
        options: SyncOptions | None = None,
        run_id: str | None = None,
    ) -> SyncReport:
        """One sync of one workspace over the last five days, or `window`."""
        with closing(self.open_console(workspace)) as console:
            return sync_workspace(
                workspace,
                window or self.last(5),
                console,
                self.lake,
                options=options,
                clock=lambda: self.now,
                run_id=run_id,
            )

    def synced(self, count: int, window: Window) -> list[Workspace]:
        """Workspaces w00, w01, … whose days are in the lake: those of the first are read, and then copied."""
        first, *others = [self.workspace(f"w{number:02d}") for number in range(count)]
        self.sync(first, window)
        for table in (SYNC_LEDGER, SITE_IMPRESSION, URL_IMPRESSION):
            rows = self.lake.read(table, workspace=first.id)
            index = table.schema.get_field_index("workspace")
            copies = [
                rows.set_column(index, table.schema.field(index), [[one.id] * rows.num_rows])
                for one in others
            ]
            self.lake.append(table, pa.concat_tables(copies))
        return [first, *others]

    def sync_table(
        self, sync: Callable[..., TableReport], workspace: Workspace, **options: Any
    ) -> TableReport:
        """One sync of one of the other tables, by its function in `sync.tables`."""
        with closing(self.open_console(workspace)) as console:
            return sync(workspace, console, self.lake, clock=lambda: self.now, **options)

    def sync_more(self, workspace: Workspace) -> list[TableReport]:
        """One sync of each of the other tables."""
        syncs = (sync_properties, sync_sitemaps, sync_hourly, sync_appearance, sync_inspections)
        return [self.sync_table(sync, workspace) for sync in syncs]

    def last(self, days: int) -> Window:
        return Window.last_complete(days, self.today)

    def queries(self) -> list[Call]:
        """The searchAnalytics calls the simulator has seen."""
        return [call for call in self.simulator.calls if call.kind == "query"]

    def environment(self, *workspaces: dict[str, Any]) -> dict[str, str]:
        """Variables that point the project's commands at this world; entries as in a workspaces file."""
        entries = list(workspaces) or [{"id": "acme", "properties": ["sc-domain:acme.com"]}]
        for entry in entries:
            key = self.folder / f"{entry['id']}-key.json"
            write_key(key, base_url=self.url, client_email=f"{entry['id']}@example.com")
            entry.setdefault("credentials", {"service_account_file": key.name})
        file = self.folder / "workspaces.yaml"
        file.write_text(yaml.safe_dump({"workspaces": entries}), encoding="utf-8")
        return {
            "GSC_WORKSPACES_FILE": str(file),
            "GSC_LAKE": self.lake.uri,
            "GSC_API_URL": self.url,
            "GSC_API_BACKOFF_SECONDS": "0",
            # The simulator has no quota to keep to, and tests no time to wait.
            "GSC_API_LIMIT_FACTOR": "100",
        }


def asks_token_for(workspace: str, call: Call) -> bool:
    """Whether the call asks for an access token with the key that a world gave to a workspace."""
    if call.kind != "token":
        return False
    claims = str(call.body.get("assertion", "..")).split(".")[1]
    return f"{workspace}@" in base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).decode()


def sorted_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as dictionaries, in an order of their own, so that two tables can be compared."""
    return sorted(table.to_pylist(), key=repr)


def contents(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """All rows of both tables, and the ledger without times, reasons and runs."""
    left_out = ("run_id", "first_read_at", "last_read_at", "reason")
    ledger = [c for c in SYNC_LEDGER.schema.names if c not in left_out]
    columns: dict[TableSpec, list[str] | None] = {SITE_IMPRESSION: None, URL_IMPRESSION: None}
    return {
        **{table.name: sorted_rows(lake.read(table, columns=names)) for table, names in columns.items()},
        SYNC_LEDGER.name: sorted_rows(lake.read(SYNC_LEDGER, columns=ledger)),
    }


def versions(lake: Lake) -> dict[str, int]:
    """The number of the newest commit of each table that exists."""
    known = {table.name: lake.version_of(table) for table in TABLES}
    return {name: version for name, version in known.items() if version is not None}


def commits(lake: Lake, since: Mapping[str, int]) -> dict[str, int]:
    """How many commits each table has had since `versions`; without tables that had none."""
    return {name: now - since.get(name, -1) for name, now in versions(lake).items() if now != since.get(name)}


def read_ledger(lake: Lake, workspace: str, window: Window) -> dict[LedgerKey, dict[date, DayRecord]]:
    """A workspace's records of the window's days, and of any other day that is UNSETTLED."""
    return records_of(read_rows(lake, workspace), window)
