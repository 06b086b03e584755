"""Alerts over real HTTP: on a change of state only, once, whoever evaluates; and the heartbeat."""

from __future__ import annotations

import logging
import multiprocessing
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gsc_pipeline.alerts import Alerts, FileAlertMemory, apprise_channels
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.health import Health, Kind, Reason
from gsc_pipeline.heartbeat import beat
from gsc_pipeline_tests.watching.receiver import Receiver, receiving

STALE = Reason(Kind.STALE, "3 of 10 active workspaces had no good sync for 12 hours")
MORE_STALE = Reason(Kind.STALE, "4 of 10 active workspaces had no good sync for 12 hours")
BREAKER = Reason(Kind.BREAKER, "the API does not answer")


def state(*reasons: Reason) -> Health:
    return Health(
        ok=not reasons,
        reasons=reasons,
        last_good_sync_at=datetime(2026, 11, 21, 18, 0, tzinfo=UTC),
        workspaces_total=10,
        workspaces_stale=3,
        workspaces_failing=3,
        workspaces_held_back=0,
        breaker="closed",
        lake_ok=True,
        database_ok=True,
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def alerts(folder: Path, *receivers: Receiver) -> Alerts:
    """As a process makes them at its start."""
    urls = " ".join(f"json://127.0.0.1:{one.port}/s3cret" for one in receivers)
    return Alerts(apprise_channels(urls), FileAlertMemory(folder / "state" / "alerts.json"))


def test_only_a_change_of_state_is_told_and_so_is_recovery(tmp_path: Path, receiver: Receiver) -> None:
    told = alerts(tmp_path, receiver)
    for health in (
        state(),
        state(STALE),
        state(STALE),
        state(MORE_STALE),
        state(MORE_STALE, BREAKER),
        state(),
        state(),
    ):
        told.evaluate(health)
    assert receiver.titles == [
        "gsc_pipeline needs you",
        "gsc_pipeline needs you",
        "gsc_pipeline: all is well again",
    ]
    first, second, recovery = receiver.messages
    assert first["message"].splitlines() == [f"- {STALE.text}", "Last good sync: 2026-11-21 18:00 UTC."]
    assert BREAKER.text in second["message"]
    assert (first["type"], recovery["type"]) == ("failure", "success")


def test_a_restart_repeats_nothing(tmp_path: Path, receiver: Receiver) -> None:
    alerts(tmp_path, receiver).evaluate(state(STALE))
    alerts(tmp_path, receiver).evaluate(state(STALE))
    alerts(tmp_path, receiver).evaluate(state())
    alerts(tmp_path, receiver).evaluate(state())
    assert len(receiver.messages) == 2


def test_an_address_that_cannot_be_reached_is_tried_again_and_the_others_are_not_told_twice(
    tmp_path: Path, receiver: Receiver, other: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    told = alerts(tmp_path, receiver, other)
    other.status = 500
    with caplog.at_level(logging.DEBUG, logger="gsc_pipeline"):
        told.evaluate(state(STALE))
        told.evaluate(state(STALE))
        other.status = 200
        told.evaluate(state(STALE))
        told.evaluate(state(STALE))
    assert (len(receiver.messages), len(other.messages)) == (1, 1)
    assert caplog.text.count("address 2 of GSC_ALERT_URLS could not be delivered") == 2
    assert "s3cret" not in caplog.text


def test_what_passes_before_an_address_could_be_reached_is_not_told_late(
    tmp_path: Path, receiver: Receiver
) -> None:
    told = alerts(tmp_path, receiver)
    receiver.status = 500
    told.evaluate(state(STALE))
    receiver.status = 200
    told.evaluate(state())
    assert receiver.messages == []


def test_without_an_address_nothing_is_done(tmp_path: Path) -> None:
    alerts(tmp_path).evaluate(state(STALE))
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(PipelineError, match="address 2 of 2") as caught:
        apprise_channels("json://127.0.0.1/ nonsense-s3cret")
    assert "s3cret" not in str(caught.value)


def test_the_memory_holds_no_address(tmp_path: Path, receiver: Receiver) -> None:
    alerts(tmp_path, receiver).evaluate(state(STALE))
    text = (tmp_path / "state" / "alerts.json").read_text()
    assert "stale" in text
    assert "s3cret" not in text
    assert "127.0.0.1" not in text


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"a": 1}'])
def test_a_memory_that_is_damaged_begins_anew_with_a_warning(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    told = alerts(tmp_path, receiver)
    told.evaluate(state(STALE))
    (tmp_path / "state" / "alerts.json").write_text(text)
    told.evaluate(state(STALE))
    told.evaluate(state(STALE))
    assert len(receiver.messages) == 2
    assert "alerts begin anew" in caplog.text


def test_a_memory_that_cannot_be_written_stops_nothing(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder belongs")
    alerts(tmp_path, receiver).evaluate(state(STALE))
    assert "alerts could not be evaluated" in caplog.text


def _evaluate(folder: str, port: int) -> None:
    alerts(Path(folder), Receiver(port)).evaluate(state(STALE))


def test_processes_that_evaluate_at_once_tell_it_once(tmp_path: Path, receiver: Receiver) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_evaluate, args=(str(tmp_path), receiver.port)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 2
    assert len(receiver.messages) == 1


def test_a_heartbeat_calls_its_address(receiver: Receiver) -> None:
    assert beat(f"http://127.0.0.1:{receiver.port}/ping/s3cret")
    assert receiver.paths == ["/ping/s3cret"]
    assert not beat("")


def test_a_heartbeat_that_fails_is_logged_without_its_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 404
    with socket.socket() as silent, caplog.at_level(logging.DEBUG, logger="gsc_pipeline"):
        assert not beat(f"http://127.0.0.1:{receiver.port}/s3cret")
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not beat(f"http://127.0.0.1:{silent.getsockname()[1]}/s3cret", timeout_seconds=0.2)
        assert not beat("http://127.0.0.1:1/s3cret")
        assert not beat("nonsense://s3cret")
    assert "HTTP 404" in caplog.text
    assert "ReadTimeoutError" in caplog.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("gsc_pipeline")]
    assert len(ours) == 4
    assert not any("s3cret" in line for line in ours)
