"""Leases in the shared state: one sync of a workspace at a time, over all processes and machines.

A lease saves calls. The lake does not need it: two syncs of a workspace at once leave the same rows as one.
While the shared state cannot be reached, a sync continues without a lease.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.state.store import StateError, Store
from gsc_pipeline.sync.problems import Problem

log = logging.getLogger(__name__)

RENEW_SECONDS = 30.0
RELEASE_SECONDS = 2.0
"""The pause between tries to release a lease while the state cannot be reached."""
LOST_AFTER = timedelta(minutes=3)
"""A lease that was not renewed for so long is free. One of a dead process of the same host is so at once."""

RETRY_AFTER = timedelta(minutes=3)
"""When a workspace that another sync holds is tried again."""

_TAKE = """
    INSERT INTO gsc_sync_leases (workspace, token, run_id, host, pid, process, since, renewed_at)
    VALUES (:workspace, :token, :run_id, :host, :pid, :process, :now, :now)
    ON CONFLICT (workspace) DO UPDATE SET
        token = excluded.token, run_id = excluded.run_id, host = excluded.host, pid = excluded.pid,
        process = excluded.process, since = excluded.since, renewed_at = excluded.renewed_at
    WHERE gsc_sync_leases.renewed_at <= :lost OR gsc_sync_leases.token = :dead
    RETURNING token
"""

_RELEASE = "DELETE FROM gsc_sync_leases WHERE workspace = :workspace AND token = :token"


@dataclass(frozen=True, slots=True)
class Holder:
    """The sync that holds a lease. `process` is the start time of its process, as the host writes it."""

    token: str
    run_id: str
    host: str
    pid: int
    process: str
    since: datetime

    @property
    def is_dead(self) -> bool:
        """Whether the process has ended, as far as this host can know."""
        return self.host == socket.gethostname() and self.process != _process_start(self.pid)

    def problem(self, now: datetime) -> Problem:
        """Why another sync of the workspace reads nothing."""
        return Problem(
            f"another sync holds it since {self.since:%Y-%m-%d %H:%M:%S} UTC: run {self.run_id}, process "
            f"{self.pid} on {self.host}",
            next_step="a scheduled run is repeated in a few minutes; by hand, wait until that sync has ended",
            transient=True,
            deferred=True,
            retry_at=now + RETRY_AFTER,
        )


class Leases:
    """The leases in a store."""

    def __init__(self, store: Store, clock: Clock = utc_now, renew_seconds: float = RENEW_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._renew_seconds = renew_seconds

    @contextmanager
    def held(self, workspace: str, run_id: str) -> Iterator[Holder | None]:
        """Hold a workspace's lease while the block runs. Yields its holder instead if there is one."""
        token = uuid.uuid4().hex
        other = None
        try:
            other = self._take(workspace, run_id, token)
        except StateError as error:
            log.warning("workspace %s: synced without a lease: %s", workspace, error)
        if other:
            yield other
            return
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(workspace, token, ended), daemon=True)
        renewing.start()
        try:
            yield None
        finally:
            ended.set()
            renewing.join()
            if not self._try(_RELEASE, workspace, token):
                # A process that lives on, as a Celery worker's does, would hold it until LOST_AFTER.
                threading.Thread(target=self._release_later, args=(workspace, token), daemon=True).start()

    def _take(self, workspace: str, run_id: str, token: str) -> Holder | None:
        now, dead = self._clock(), ""
        while not self._store.execute(
            _TAKE,
            workspace=workspace,
            token=token,
            run_id=run_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            process=_process_start(os.getpid()) or "",
            now=now.timestamp(),
            lost=(now - LOST_AFTER).timestamp(),
            dead=dead,
        ):
            holder = self._holder(workspace)
            if holder and holder.token == token:
                # The connection broke after the first try, which the store repeated.
                return None
            if holder and not holder.is_dead:
                return holder
            dead = holder.token if holder else ""
        return None

    def _holder(self, workspace: str) -> Holder | None:
        rows = self._store.execute(
            "SELECT token, run_id, host, pid, process, since FROM gsc_sync_leases "
            "WHERE workspace = :workspace",
            workspace=workspace,
        )
        for token, run_id, host, pid, process, since in rows:
            return Holder(token, run_id, host, pid, process, datetime.fromtimestamp(since, UTC))
        return None

    def _release_later(self, workspace: str, token: str) -> None:
        """Try to release a lease until the state is reachable, or the lease is free by itself."""
        limit = time.monotonic() + LOST_AFTER.total_seconds()
        while time.monotonic() < limit:
            time.sleep(RELEASE_SECONDS)
            with suppress(StateError):
                self._store.execute(_RELEASE, workspace=workspace, token=token)
                return

    def _renew(self, workspace: str, token: str, ended: threading.Event) -> None:
        while not ended.wait(self._renew_seconds):
            self._try(
                "UPDATE gsc_sync_leases SET renewed_at = :now "
                "WHERE workspace = :workspace AND token = :token",
                workspace,
                token,
                now=self._clock().timestamp(),
            )

    def _try(self, statement: str, workspace: str, token: str, **values: object) -> bool:
        """Execute a statement; a failure is only logged, because a lease that is not renewed expires."""
        try:
            self._store.execute(statement, workspace=workspace, token=token, **values)
        except StateError as error:
            log.warning("workspace %s: its lease was not updated: %s", workspace, error)
            return False
        return True


def _process_start(pid: int) -> str | None:
    """When a process of this host started, in a text to compare; None if it does not run."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return _start_unknown(pid)
    # Z and X are processes that have ended, and that their parents have not collected.
    return None if state in "ZX" else fields[18]


def _start_unknown(pid: int) -> str | None:
    """As above, on a host without /proc: an empty text for a process that runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
