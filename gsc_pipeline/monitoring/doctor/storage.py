"""Checks of what is stored: the lake, its ledger, the shared state, and how the workspaces' syncs went."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deltalake.exceptions import TableNotFoundError

from gsc_pipeline.lake.errors import DamagedError, LakeError, NewerLakeError
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.object_store import probe_store, unsafe_settings
from gsc_pipeline.lake.schemas import TABLES
from gsc_pipeline.lake.storage import folder_of
from gsc_pipeline.lake.version import LAKE_VERSION, version_of
from gsc_pipeline.monitoring.doctor.checks import Result, State
from gsc_pipeline.monitoring.doctor.machine import nearest
from gsc_pipeline.monitoring.health import OF_SYNCS, HealthReason, ReasonKind
from gsc_pipeline.monitoring.monitor import Observation
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.ticks import TickBook

_REPAIR = "gsc verify lists what is wrong, gsc verify --repair repairs it; otherwise restore a backup"
_SHOWN = 3

SYNC_KINDS = OF_SYNCS | {ReasonKind.NO_LAKE, ReasonKind.STALE, ReasonKind.DARK}
"""The reasons of the health that this shows as the state of the syncs."""
_WARNINGS = {ReasonKind.NO_LAKE, ReasonKind.DARK}
"""Of these, the reasons that are warnings: the installation may work all the same."""


def lake_tables(lake: Lake) -> Result:
    """Whether every table can be opened, and the versions of the lake's format."""
    versions, damaged = [], []
    for table in TABLES:
        try:
            versions.append(version_of(lake.open(table)))
        except TableNotFoundError:
            continue
        except NewerLakeError as error:
            step = "pip install --upgrade gsc_pipeline on this machine too"
            return Result("lake", State.FAIL, str(error), step)
        except DamagedError as error:
            damaged.append(str(error))
        except LakeError as error:
            return Result("lake", State.FAIL, str(error), "check GSC_LAKE and that its storage is mounted")
    if damaged:
        return Result("lake", State.FAIL, "; ".join(damaged[:_SHOWN]), _REPAIR)
    if not versions:
        text = f"there is no lake at {lake.uri} yet"
        step = "run gsc sync; if the lake is not new, check GSC_LAKE and that its storage is mounted"
        return Result("lake", State.WARN, text, step)
    text = f"{len(versions)} tables at {lake.uri}, lake version {min(versions)}"
    older = min(versions) < LAKE_VERSION
    return Result.ok("lake", text + (f"; the next write makes it {LAKE_VERSION}" if older else ""))


def lake_writes(lake: Lake, variables: Mapping[str, str]) -> Result:
    """Whether the lake can be written, and one of two commits at once is refused. Leaves nothing behind."""
    name = "lake writes"
    if problems := unsafe_settings(lake.uri, variables):
        return Result(name, State.FAIL, problems[0], "remove the variable")
    folder = folder_of(lake.uri)
    if folder is not None and not folder.exists():
        if problem := _uncreatable(folder):
            return Result(name, State.FAIL, problem, "check GSC_LAKE, and the owner and mode of that folder")
        return Result.ok(name, f"{nearest(folder)} can be written to; the first sync creates the lake")
    try:
        is_safe = probe_store(lake.uri)
    except LakeError as error:
        step = "check GSC_LAKE, the permissions of this user or key, and the free space"
        return Result(name, State.FAIL, str(error), step)
    if not is_safe:
        return Result(
            name,
            State.FAIL,
            f"the store of {lake.uri} ignores put-if-absent: of two commits at once one would be lost",
            "use a store that honours If-None-Match: *, such as Amazon S3, Google Cloud Storage, Azure Blob "
            "Storage, Cloudflare R2 or MinIO, or a folder",
        )
    return Result.ok(name, "written, read and removed; of two commits at once one is refused")


def shared_state(store: Store, address: str) -> Result:
    """Whether the shared state can be read and, where it is a file, written."""
    name = "shared state"
    TickBook(store).last_ended()
    if "://" in address:
        return Result.ok(name, "PostgreSQL answers")
    path = Path(address).absolute()
    if not path.exists():
        if problem := _uncreatable(path):
            return Result(name, State.FAIL, problem, "check GSC_STATE (by default a file beside the lake)")
        return Result.ok(name, f"{path} is created by the first sync")
    if not os.access(path, os.W_OK):
        text = f"this user cannot write to {path}"
        return Result(name, State.FAIL, text, f"correct the owner and mode of {path}")
    return Result.ok(name, f"{path} answers")


def _uncreatable(path: Path) -> str:
    """Why a file or folder cannot be created; empty if it can."""
    above = nearest(path)
    if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
        return ""
    return f"{path} cannot be created: {above} is not a folder that can be written to"


def syncs(observe: Callable[[], Observation]) -> list[Result]:
    """Whether lake and ledger agree, and what the health says of the workspaces' syncs."""
    observation = observe()
    reasons = observation.health.reasons
    if unread := [one for one in reasons if one.kind in (ReasonKind.LAKE, ReasonKind.WORKSPACES_FILE)]:
        return [
            Result.unknown(name, f"{unread[0].text.partition(' cannot be read')[0]} cannot be read")
            for name in ("lake and ledger", "syncs")
        ]
    return [_agreement(observation), _syncs(observation, reasons)]


def _agreement(observation: Observation) -> Result:
    name = "lake and ledger"
    damaged = list(dict.fromkeys(text for state in observation.states for text in state.damaged))
    if not damaged:
        return Result.ok(name, f"agree for {len(observation.states)} workspaces")
    more = f"; and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
    return Result(name, State.FAIL, "; ".join(damaged[:_SHOWN]) + more, _REPAIR)


def _syncs(observation: Observation, reasons: Sequence[HealthReason]) -> Result:
    found = [one for one in reasons if one.kind in SYNC_KINDS]
    health = observation.health
    if not found:
        text = f"{health.workspaces_complete} of {health.workspaces_total} workspaces are complete"
        last = health.last_good_sync_at
        return Result.ok("syncs", f"{text}, the last at {last:%Y-%m-%d %H:%M} UTC" if last else text)
    state = State.WARN if all(one.kind in _WARNINGS for one in found) else State.FAIL
    step = "gsc status names the workspaces, the causes and what to do"
    if all(one.kind is ReasonKind.NO_LAKE for one in found):
        step = "run gsc sync"
    return Result("syncs", state, "; ".join(one.text for one in found), step)
