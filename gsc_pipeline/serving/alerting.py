"""Evaluating alerts again and again beside the pages, so that somebody notices a daemon that died.

Belongs here: the pace. Does not: what is told, and to whom (`alerts`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from gsc_pipeline.alerts import Alerts
from gsc_pipeline.health import HealthMonitor

EVERY_SECONDS = 60.0


@contextmanager
def evaluating(
    alerts: Alerts, monitor: HealthMonitor, every_seconds: float = EVERY_SECONDS
) -> Iterator[None]:
    """Evaluates at once and then at this pace, in a thread, until the block ends."""
    ended = Event()

    def evaluate() -> None:
        while not ended.is_set():
            alerts.evaluate(monitor.look().health)
            ended.wait(every_seconds)

    # A delivery under way must not keep the process from ending.
    thread = Thread(target=evaluate, name="gsc-alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
