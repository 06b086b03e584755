"""When something periodic, such as a crawl, last happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gsc_pipeline.simulator.hashing import uniform

_ORIGIN = datetime(2020, 1, 1, tzinfo=UTC)


def last_time(seed: int, every: timedelta, now: datetime) -> datetime:
    """The latest moment up to `now` of something that happens at intervals of `every`, in whole seconds."""
    phase = timedelta(seconds=int(uniform(seed)[0] * every.total_seconds()))
    return _ORIGIN + phase + (now - _ORIGIN - phase) // every * every


def wire_time(moment: datetime) -> str:
    """A moment as Google writes it: `2026-11-20T07:12:33Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
