"""The options of a sync, and what the syncs of a workspace's properties share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gsc_pipeline.days import Window
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.sync.cut_days import PastCapOptions
from gsc_pipeline.sync.lease import Leases
from gsc_pipeline.sync.read import OptionalDevice
from gsc_pipeline.sync.report import OnProgress
from gsc_pipeline.workspaces.registry import Workspace


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """`full` reads every day that has data; `commit_rows` bounds the rows held in memory.

    `leases` keep two syncs of a workspace apart; without them nothing does. `past_cap` limits the calls that
    complete a final day which the API cut off.
    """

    full: bool = False
    concurrency: int = 4
    commit_rows: int = 150_000
    leases: Leases | None = None
    past_cap: PastCapOptions = field(default_factory=PastCapOptions)


@dataclass(frozen=True, slots=True)
class SyncContext:
    """What the syncs of a workspace's properties share. `now` (aware) is when the sync started."""

    workspace: Workspace
    window: Window
    console: SearchConsole
    lake: Lake
    options: SyncOptions
    now: datetime
    run_id: str
    on_progress: OnProgress
    device: OptionalDevice = field(default_factory=OptionalDevice)
