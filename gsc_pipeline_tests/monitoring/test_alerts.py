"""Alerts over real HTTP: sent on a change of state only, once, whichever process evaluates; the heartbeat."""

from __future__ import annotations

import logging
import multiprocessing
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import Clock, utc_now
from gsc_pipeline.monitoring.alerts import (
    CLAIM_SECONDS,
    Alerts,
    Channel,
    Sent,
    SentAlerts,
    apprise_channels,
    check_addresses,
    evaluate_in_time,
    evaluating,
    send_heartbeat,
)
from gsc_pipeline.monitoring.health import Health, HealthReason, ReasonKind
from gsc_pipeline.monitoring.monitor import HealthMonitor
from gsc_pipeline.settings import ConfigurationError
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline_tests.monitoring.hanging import hanging
from gsc_pipeline_tests.monitoring.receiver import Receiver, receiving
from gsc_pipeline_tests.soak import rest_in_soak
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import NOON, World

STALE = HealthReason(ReasonKind.STALE, "3 of 10 active workspaces had no good sync for 12 hours")
MORE_STALE = HealthReason(ReasonKind.STALE, "4 of 10 active workspaces had no good sync for 12 hours")
BREAKER = HealthReason(ReasonKind.BREAKER, "the API does not answer")


def state(*reasons: HealthReason, minutes: int = 0, unknown: Collection[ReasonKind] = ()) -> Health:
    return Health(
        ok=not reasons,
        reasons=reasons,
        observed_at=NOON + timedelta(minutes=minutes),
        last_good_sync_at=datetime(2026, 11, 21, 18, 0, tzinfo=UTC),
        last_tick_at=None,
        daemon_heartbeat_at=None,
        workspaces_total=10,
        workspaces_complete=7,
        workspaces_partial=0,
        workspaces_failed=3,
        workspaces_crashed=0,
        workspaces_stale=3,
        workspaces_failing=3,
        workspaces_damaged=0,
        workspaces_held_back=0,
        breaker="closed",
        lake_ok=True,
        database_ok=True,
        unknown=frozenset(unknown),
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def make_alerts(state_address: str) -> Iterator[Callable[..., Alerts]]:
    """Makes what a process makes at its start: `make_alerts(*receivers)`."""
    with ExitStack() as stack:

        def make(*receivers: Receiver) -> Alerts:
            return alerts(stack.enter_context(closing(open_store(state_address))), *receivers)

        yield make


def alerts(store: Store, *receivers: Receiver, clock: Clock = utc_now) -> Alerts:
    urls = " ".join(f"json://127.0.0.1:{one.port}/s3cret" for one in receivers)
    return Alerts(apprise_channels(urls), SentAlerts(store, clock))


def test_only_a_change_of_state_is_sent_and_so_is_recovery(
    make_alerts: Callable[..., Alerts], receiver: Receiver
) -> None:
    sender = make_alerts(receiver)
    for health in (
        state(),
        state(STALE),
        state(STALE),
        state(MORE_STALE),
        state(MORE_STALE, BREAKER),
        state(),
        state(),
    ):
        sender.evaluate(health)
    assert receiver.titles == [
        "gsc_pipeline needs attention",
        "gsc_pipeline needs attention",
        "gsc_pipeline has recovered",
    ]
    first, second, recovery = receiver.messages
    assert first["message"].splitlines() == [f"- {STALE.text}.", "Last complete sync: 2026-11-21 18:00 UTC."]
    assert BREAKER.text in second["message"]
    assert (first["type"], recovery["type"]) == ("failure", "success")


FAILED = HealthReason(ReasonKind.FAILED, "1 of 10 failed", ("acme",))
BOTH_FAILED = HealthReason(ReasonKind.FAILED, "2 of 10 failed", ("acme", "globex"))


def test_another_workspace_that_fails_is_reported_and_one_of_several_that_recovers_is_not(
    make_alerts: Callable[..., Alerts], receiver: Receiver
) -> None:
    sender, counts = make_alerts(receiver), []
    for health in (
        state(FAILED),
        state(FAILED),
        state(BOTH_FAILED),
        state(FAILED),
        state(BOTH_FAILED),
        state(BOTH_FAILED),
        state(),
    ):
        sender.evaluate(health)
        counts.append(len(receiver.messages))
    assert counts == [1, 1, 2, 2, 3, 3, 4]
    assert "acme" not in str(receiver.messages)


def test_a_kind_that_has_ended_is_named_while_others_go_on(
    make_alerts: Callable[..., Alerts], receiver: Receiver
) -> None:
    sender = make_alerts(receiver)
    sender.evaluate(state(FAILED, BREAKER))
    sender.evaluate(state(FAILED))
    assert receiver.titles == ["gsc_pipeline needs attention"] * 2
    assert "No longer: breaker." in receiver.messages[1]["message"]


def test_what_was_not_evaluated_has_not_ended(make_alerts: Callable[..., Alerts], receiver: Receiver) -> None:
    """As while a tick is in progress, while the lake cannot be read, or by a process without an instance."""
    sender = make_alerts(receiver)
    lake = HealthReason(ReasonKind.LAKE, "the lake cannot be read")
    sender.evaluate(state(FAILED))
    sender.evaluate(state(unknown=[ReasonKind.FAILED]))
    assert len(receiver.messages) == 1
    sender.evaluate(state(lake, unknown=[ReasonKind.FAILED]))
    sender.evaluate(state(FAILED))
    assert "No longer: lake." in receiver.messages[2]["message"]
    sender.evaluate(state(BREAKER, FAILED))
    sender.evaluate(state(FAILED, unknown=[ReasonKind.BREAKER, ReasonKind.FAILED]))
    sender.evaluate(state(unknown=[ReasonKind.BREAKER]))
    assert receiver.titles[-1] == "gsc_pipeline needs attention"
    assert receiver.messages[-1]["message"].splitlines()[:2] == [
        "Still as reported before: breaker.",
        "No longer: failed.",
    ]
    sender.evaluate(state())
    assert receiver.titles[-1] == "gsc_pipeline has recovered"


def test_an_observation_older_than_what_another_process_has_sent_is_not_sent(
    make_alerts: Callable[..., Alerts], receiver: Receiver
) -> None:
    make_alerts(receiver).evaluate(state(FAILED, minutes=1))
    make_alerts(receiver).evaluate(state(minutes=0))
    assert len(receiver.messages) == 1
    make_alerts(receiver).evaluate(state(minutes=2))
    assert receiver.titles[-1] == "gsc_pipeline has recovered"


def test_whatever_a_channel_raises_stops_neither_the_others_nor_the_next_evaluation(
    tmp_path: Path, receiver: Receiver
) -> None:
    sent: list[str] = []

    def fails_once(title: str, body: str, recovered: bool) -> bool:
        sent.append(title)
        if len(sent) == 1:
            raise RuntimeError("a service that breaks its promise")
        return True

    channels = [Channel("odd", fails_once), *apprise_channels(f"json://127.0.0.1:{receiver.port}/")]
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        sender = Alerts(channels, SentAlerts(store))
        sender.evaluate(state(STALE))
        sender.evaluate(state(STALE))
    assert (len(sent), len(receiver.messages)) == (2, 1)


def test_the_evaluating_thread_survives_whatever_it_meets(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []

    class OddMonitor(HealthMonitor):
        def observe(self, within: float = 0.0) -> Any:
            asked.append(len(asked))
            if len(asked) == 1:
                raise MemoryError("once")
            return super().observe(HANG_SECONDS)

    monitor = OddMonitor(world.lake, list, stale_after=timedelta(hours=12))
    with (
        closing(open_store(str(world.folder / "state.db"))) as store,
        evaluating(alerts(store, receiver), monitor, pause_seconds=0.01),
    ):
        wait_until(lambda: bool(receiver.titles), "an alert")
    assert "MemoryError: once" in caplog.text


def test_the_summary_of_a_tick_does_not_wait_for_a_lake_that_hangs(
    world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    workspaces = [world.workspace()]
    world.sync(workspaces[0])
    # By now the workspace is stale: whenever the lake answers, there is an alert.
    monitor = HealthMonitor(world.lake, lambda: workspaces, stale_after=timedelta(seconds=1))
    with closing(open_store(str(world.folder / "state.db"))) as store:
        with hanging(world.lake):
            evaluate_in_time(alerts(store, receiver), monitor.observe_now, seconds=0.1)
            assert "alerts have not been evaluated for 0.1 s" in caplog.text
            assert receiver.messages == []
        wait_until(lambda: bool(receiver.messages), "the alert of an evaluation that takes longer")


def test_a_restart_repeats_nothing(make_alerts: Callable[..., Alerts], receiver: Receiver) -> None:
    for health in (state(STALE), state(STALE), state(), state()):
        make_alerts(receiver).evaluate(health)
    assert len(receiver.messages) == 2


def test_an_address_that_cannot_be_reached_is_retried_and_the_others_are_sent_nothing_twice(
    make_alerts: Callable[..., Alerts],
    receiver: Receiver,
    other: Receiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender = make_alerts(receiver, other)
    other.status = 500
    with caplog.at_level(logging.DEBUG, logger="gsc_pipeline"):
        sender.evaluate(state(STALE))
        sender.evaluate(state(STALE))
        other.status = 200
        sender.evaluate(state(STALE))
        sender.evaluate(state(STALE))
    assert (len(receiver.messages), len(other.messages)) == (1, 1)
    assert caplog.text.count("address 2 of GSC_ALERT_URLS could not be delivered") == 2
    assert "s3cret" not in caplog.text


def test_a_problem_that_ends_before_an_address_could_be_reached_is_not_sent_late(
    make_alerts: Callable[..., Alerts], receiver: Receiver
) -> None:
    sender = make_alerts(receiver)
    receiver.status = 500
    sender.evaluate(state(STALE))
    receiver.status = 200
    sender.evaluate(state())
    assert receiver.messages == []


def test_without_an_address_nothing_is_done(tmp_path: Path) -> None:
    alerts(open_store(str(tmp_path / "state.db"))).evaluate(state(STALE))
    assert list(tmp_path.iterdir()) == []


def test_unsupported_addresses_are_named_by_number_and_not_quoted() -> None:
    check_addresses("")
    check_addresses("json://127.0.0.1/ json://127.0.0.1:1/s3cret")
    with pytest.raises(ConfigurationError) as caught:
        check_addresses("nonsense-s3cret json://127.0.0.1/ slak://s3cret")
    assert [problem.split(" is not")[0] for problem in caught.value.problems] == [
        "address 1 of 3",
        "address 3 of 3",
    ]
    assert "s3cret" not in str(caught.value)


def test_an_unsupported_address_does_not_stop_the_others(
    state_address: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    channels = apprise_channels(f"nonsense-s3cret json://127.0.0.1:{receiver.port}/")
    with closing(open_store(state_address)) as store:
        Alerts(channels, SentAlerts(store)).evaluate(state(STALE))
    assert len(receiver.messages) == 1
    assert "address 1 of GSC_ALERT_URLS could not be delivered" in caplog.text
    assert "s3cret" not in caplog.text


def test_the_shared_state_holds_no_address(
    make_alerts: Callable[..., Alerts], receiver: Receiver, state_address: str
) -> None:
    make_alerts(receiver).evaluate(state(STALE))
    with closing(open_store(state_address)) as store:
        ((key, kinds, _),) = store.execute("SELECT * FROM gsc_alerts")
    assert kinds == '["stale"]'
    assert "s3cret" not in key
    assert "127.0.0.1" not in key


def test_a_state_that_cannot_be_written_is_logged_and_stops_nothing(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder belongs")
    alerts(open_store(str(tmp_path / "state" / "state.db")), receiver).evaluate(state(STALE))
    assert "alerts could not be evaluated" in caplog.text
    assert receiver.messages == []


def _evaluate(address: str, port: int) -> None:
    with closing(open_store(address)) as store:
        alerts(store, Receiver(port)).evaluate(state(STALE))


@pytest.mark.parametrize("state_address", rest_in_soak(["sqlite", "postgresql"]), indirect=True)
def test_processes_that_evaluate_at_once_send_one_alert(state_address: str, receiver: Receiver) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_evaluate, args=(state_address, receiver.port)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG_SECONDS)
    assert [process.exitcode for process in processes] == [0] * 2
    assert len(receiver.messages) == 1


def test_threads_that_evaluate_at_once_send_each_change_once(state_address: str, receiver: Receiver) -> None:
    changes = [state(STALE), state(), state(BREAKER), state()]
    together = threading.Barrier(4)

    def work(_: int) -> None:
        with closing(open_store(state_address)) as store:
            sender = alerts(store, receiver)
            for health in changes:
                together.wait()
                sender.evaluate(health)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(receiver.messages) == len(changes)


def test_while_one_process_sends_another_sends_nothing_and_its_claim_expires(
    state_address: str, receiver: Receiver
) -> None:
    now = [datetime(2026, 11, 21, 18, 0, tzinfo=UTC)]
    with closing(open_store(state_address)) as store:
        (channel,) = apprise_channels(f"json://127.0.0.1:{receiver.port}/s3cret")
        died = SentAlerts(store, lambda: now[0]).claim(channel.key, Sent())
        assert died
        sender = alerts(store, receiver, clock=lambda: now[0])
        now[0] += timedelta(seconds=CLAIM_SECONDS - 1)
        sender.evaluate(state(STALE))
        assert receiver.messages == []
        now[0] += timedelta(seconds=1)
        sender.evaluate(state(STALE))
        assert len(receiver.messages) == 1


def test_a_heartbeat_calls_its_address(receiver: Receiver) -> None:
    assert send_heartbeat(f"http://127.0.0.1:{receiver.port}/ping/s3cret")
    assert receiver.paths == ["/ping/s3cret"]
    assert not send_heartbeat("")


def test_a_failed_heartbeat_is_logged_without_its_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 404
    with socket.socket() as silent, caplog.at_level(logging.DEBUG, logger="gsc_pipeline"):
        assert not send_heartbeat(f"http://127.0.0.1:{receiver.port}/s3cret")
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not send_heartbeat(f"http://127.0.0.1:{silent.getsockname()[1]}/s3cret", timeout_seconds=0.2)
        assert not send_heartbeat("http://127.0.0.1:1/s3cret")
        assert not send_heartbeat("nonsense://s3cret")
    assert "HTTP 404" in caplog.text
    assert "ReadTimeoutError" in caplog.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("gsc_pipeline")]
    assert len(ours) == 4
    assert not any("s3cret" in line for line in ours)
