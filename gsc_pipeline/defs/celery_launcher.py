"""The run launcher of deploy/celery: Dagster's own for Celery, which also sees that a worker is lost.

Needs the extra `celery`. The workers do not load this module before they fork.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
from celery.exceptions import CeleryError
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from gsc_pipeline.defs.dagster_private import CheckRunHealthResult, WorkerStatus

LOST_AFTER_SECONDS = 180
"""Longer than a worker takes to connect to its broker again."""
REPLY_SECONDS = 5.0
"""How long a worker has for its reply to one check. It replies at once, whatever its processes do."""


class MonitoredCeleryRunLauncher(CeleryRunLauncher):
    """Asks the worker of a run in progress whether it still executes the run.

    Celery records that a run has begun, and learns no more when the machine of the worker is lost. Dagster's
    launcher then reports the run as healthy until its time limit, which for a run of many workspaces is hours
    away. Here a run fails when its worker has not confirmed it for `lost_after_seconds`, and is retried.
    """

    def __init__(self, lost_after_seconds: int = LOST_AFTER_SECONDS, **others: Any) -> None:
        super().__init__(**others)
        self._lost_after_seconds = lost_after_seconds
        self._unconfirmed_since: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration of Dagster's launcher, and `lost_after_seconds`."""
        lost_after = dg.Field(
            int,
            default_value=LOST_AFTER_SECONDS,
            description="How long a worker may fail to confirm that it executes a run before the run fails.",
        )
        known: Mapping[str, Any] = super().config_type()  # type: ignore[assignment]
        return {**known, "lost_after_seconds": lost_after}

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """The state of the Celery task; FAILED also if no worker has executed it for a while."""
        health = super().check_run_worker_health(run)
        worker = self._worker(run)
        in_progress = health.status in (WorkerStatus.RUNNING, WorkerStatus.SUCCESS)
        if not in_progress or (worker and self._confirms(worker, run)):
            self._unconfirmed_since.pop(run.run_id, None)
            return health
        since = self._unconfirmed_since.setdefault(run.run_id, time.monotonic())
        seconds = time.monotonic() - since
        if seconds < self._lost_after_seconds:
            return health
        del self._unconfirmed_since[run.run_id]
        if worker:
            cause = (
                f"The worker {worker} has not confirmed for {seconds:.0f} seconds that it executes the run"
            )
        else:
            cause = f"The Celery task has ended, and for {seconds:.0f} seconds the run has recorded no end"
        return CheckRunHealthResult(WorkerStatus.FAILED, cause)

    def _worker(self, run: dg.DagsterRun) -> str:
        """The worker that began the run; empty when the task has ended."""
        found = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG]).info
        return str(found.get("hostname", "")) if isinstance(found, dict) else ""

    def _confirms(self, worker: str, run: dg.DagsterRun) -> bool:
        """Whether the worker executes the run. True also while the broker cannot be asked."""
        task = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        inspect = self.celery.control.inspect(destination=[worker], timeout=REPLY_SECONDS)
        try:
            replies = inspect.query_task(task) or {}
        except (CeleryError, KombuError, RedisError, OSError):
            return True
        return task in replies.get(worker, {})
