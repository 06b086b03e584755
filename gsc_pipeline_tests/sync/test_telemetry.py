"""Telemetry: every handler receives every event, a failing one stops no other, and the events' fields."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from gsc_pipeline.sync.telemetry import (
    AutoSyncComplete,
    AutoSyncFailure,
    AutoSyncStarted,
    Event,
    Telemetry,
    WorkspaceSyncComplete,
)
from gsc_pipeline_tests.doubles import RecordingTelemetry
from gsc_pipeline_tests.world import World

TICK = "2026-11-21T18:00:00+00:00"


def test_every_handler_receives_every_event_in_order() -> None:
    first, second = RecordingTelemetry(), RecordingTelemetry()
    telemetry = Telemetry(first.emit, second.emit)
    telemetry.emit_event(AutoSyncStarted(TICK, total_workspaces=3))
    telemetry.emit("anything.else", {"count": 1}, {})
    assert first.emitted == second.emitted
    assert first.emitted == [
        ("auto_sync.started", {"total_workspaces": 3}, {"tick": TICK}),
        ("anything.else", {"count": 1}, {}),
    ]


def test_a_failing_handler_is_logged_and_the_others_still_receive_the_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        raise OSError("no space left")

    good = RecordingTelemetry()
    with caplog.at_level(logging.ERROR):
        Telemetry(broken, good.emit).emit_event(AutoSyncStarted(TICK, 1))
    assert good.names == ["auto_sync.started"]
    assert "auto_sync.started" in caplog.text
    assert "no space left" in caplog.text


def test_a_workspaces_event_has_the_counts_of_its_sync(world: World) -> None:
    good = WorkspaceSyncComplete.of(world.sync(world.workspace()), TICK)
    lost = WorkspaceSyncComplete.of(
        world.sync(world.workspace("lost", properties=["sc-domain:lost.com"])), TICK
    )
    assert (good.workspace, good.outcome, good.days_read, good.days_failed) == ("acme", "complete", 5, 0)
    assert good.calls == 1 + 5 * 4
    assert good.site_rows > 0
    assert good.url_rows > 0
    assert good.urls_per_second == pytest.approx(good.url_rows / good.duration_ms * 1000, rel=0.05)
    assert good.reasons == ()
    assert (lost.outcome, lost.days_read, lost.urls_per_second) == ("failed", 0, 0.0)
    assert "403" in lost.reasons[0]
    tick = AutoSyncComplete.of(
        TICK, [good, lost], duration_ms=2000, missing={"gone": "its run was cancelled"}
    )
    assert type(tick) is AutoSyncComplete
    assert (tick.total_workspaces, tick.successes, tick.failures) == (3, 1, 2)
    assert tick.queries_per_second == pytest.approx(good.site_rows / 2, abs=0.1)
    assert set(tick.reasons) == {"lost", "gone"}
    assert "403" in tick.reasons["lost"]


def test_a_tick_in_which_nothing_was_synced_is_a_failure() -> None:
    event = AutoSyncComplete.of(TICK, [], duration_ms=0, missing={"acme": "the lake cannot be written"})
    assert isinstance(event, AutoSyncFailure)
    assert event.name == "auto_sync.failure"
    assert (event.total_workspaces, event.successes, event.failures) == (1, 0, 1)


def test_numbers_are_measurements_and_other_fields_are_metadata() -> None:
    event: Event = AutoSyncComplete.of(TICK, [], duration_ms=5, missing={"acme": "why"})
    assert set(event.measurements) == {
        "total_workspaces",
        "successes",
        "partial",
        "failures",
        "duration_ms",
        "urls_per_second",
        "queries_per_second",
    }
    assert event.metadata == {"tick": TICK, "reasons": {"acme": "why"}}
