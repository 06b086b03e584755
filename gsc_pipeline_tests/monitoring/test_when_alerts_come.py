"""When alerts come, tick by tick: real syncs into a lake, the record of ticks, messages over real HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from gsc_pipeline.lake.schemas import SITE_IMPRESSION
from gsc_pipeline.monitoring.alerts import Alerts, SentAlerts, apprise_channels
from gsc_pipeline.monitoring.health import Health
from gsc_pipeline.monitoring.monitor import HealthMonitor
from gsc_pipeline.monitoring.ticks import TickView
from gsc_pipeline.simulator import Call, Reply, SyntheticProperty, google_error
from gsc_pipeline.simulator.wire.replies import token_error
from gsc_pipeline.state.opening import open_store
from gsc_pipeline.state.store import Store
from gsc_pipeline.sync.telemetry import WorkspaceSyncComplete
from gsc_pipeline.sync.ticks import Tick, TickBook
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.monitoring.receiver import Receiver, receiving
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE, all_queries
from gsc_pipeline_tests.world import World

SHOP = "https://shop.acme.com/"


class Installation:
    """Three workspaces that are synced tick by tick, as the schedule and its runs do it."""

    def __init__(self, world: World, store: Store, receiver: Receiver) -> None:
        self.world, self.receiver = world, receiver
        world.simulator.put(SyntheticProperty(SHOP, rows_a_day=5, plants=False))
        self.acme = world.workspace(properties=["sc-domain:acme.com", SHOP])
        self.workspaces = [self.acme, world.workspace("globex"), world.workspace("initech")]
        self.book = TickBook(store)
        self.ended = 0
        self.monitor = HealthMonitor(
            world.lake,
            lambda: self.workspaces,
            stale_after=timedelta(hours=12),
            view_ticks=lambda ended: TickView.of(self.book, world.now, ended),
            clock=lambda: world.now,
        )
        urls = f"json://127.0.0.1:{receiver.port}/"
        self.alerts = Alerts(apprise_channels(urls), SentAlerts(store, lambda: world.now))

    def begin(self) -> Tick:
        self.world.now += timedelta(hours=6)
        tick = Tick(self.world.now.isoformat(), self.world.now, tuple(one.id for one in self.workspaces), 3)
        self.book.begin(tick)
        return tick

    def attempt(self, tick: Tick, workspace: Workspace, run: str = "") -> None:
        self.world.now += timedelta(minutes=1)
        report = self.world.sync(workspace, self.world.last(2), run_id=f"{tick.name}|{workspace.id}{run}")
        self.book.note(WorkspaceSyncComplete.of(report, tick.name))

    def evaluate(self, ended: str = "") -> Health:
        health = self.monitor.observe_now(ended).health
        self.alerts.evaluate(health)
        return health

    def tick(self, *, crashed: Sequence[str] = ()) -> set[str]:
        """One whole tick, observed all along. Returns the kinds of reasons when it has ended."""
        tick = self.begin()
        for workspace in self.workspaces:
            if workspace.id not in crashed:
                self.attempt(tick, workspace)
            self.evaluate()
        # The sensor alerts first, and then records the end.
        kinds = self.evaluate(tick.name).kinds
        sent = len(self.receiver.messages)
        assert self.evaluate().unknown > frozenset()
        self.book.end(tick, self.world.now)
        assert self.evaluate().kinds == kinds
        assert len(self.receiver.messages) == sent
        return set(kinds)

    @property
    def sent(self) -> list[str]:
        return [title.removeprefix("gsc_pipeline ") for title in self.receiver.titles]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture(scope="module")
def after_a_tick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """The folder with the lake and the state after a first tick, and when that was."""
    folder = tmp_path_factory.mktemp("tick")
    with (
        World.serving(folder) as world,
        receiving() as receiver,
        closing(open_store(str(folder / "state.db"))) as store,
    ):
        one = Installation(world, store, receiver)
        assert one.tick() == set()
        # There was no lake, and then there was.
        assert one.sent == ["needs attention", "has recovered"]
        return folder, world.now


@pytest.fixture
def installation(
    world: World, receiver: Receiver, after_a_tick: tuple[Path, datetime]
) -> Iterator[Installation]:
    before, world.now = after_a_tick
    shutil.copytree(before / "lake", world.folder / "lake")
    for file in before.glob("state.db*"):
        shutil.copy(file, world.folder)
    with closing(open_store(str(world.folder / "state.db"))) as store:
        yield Installation(world, store, receiver)


def refused(*ids: str) -> Callable[[Call], Reply | None]:
    """Refuses all queries of these workspaces, or of all, as for a credential that was revoked."""
    subjects = {f"{id_}@example.com" for id_ in ids}
    return lambda call: FORBIDDEN if call.kind == "query" and (not ids or call.subject in subjects) else None


def revoked(call: Call) -> Reply | None:
    """No credential works any more."""
    if call.kind == "token":
        return token_error("invalid_grant", "Token has been revoked.")
    return google_error(401, "authError", "Invalid Credentials")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refused(), id="no permission"),
        pytest.param(revoked, id="dead credentials", marks=pytest.mark.soak),
    ],
)
def test_when_every_workspace_fails_it_is_reported_after_the_first_tick_and_once(
    installation: Installation, fault: Callable[[Call], Reply | None]
) -> None:
    installation.world.faults.append(fault)
    for _ in range(3):
        assert installation.tick() == {"failed_all"}
    (message,) = installation.receiver.messages
    assert "the last sync of every active workspace" in message["message"]
    assert "failed (3 of 3): `gsc status` names the causes and what to do" in message["message"]
    installation.world.faults.clear()
    assert installation.tick() == set()
    assert installation.sent == ["needs attention", "has recovered"]


@pytest.mark.soak
def test_one_that_fails_is_reported_after_two_ticks_and_a_second_one_when_it_joins(
    installation: Installation,
) -> None:
    installation.world.faults.append(refused("globex"))
    assert installation.tick() == set()
    assert installation.tick() == {"failed"}
    assert installation.tick() == {"failed"}
    assert len(installation.sent) == 1
    installation.world.faults.append(refused("initech"))
    installation.tick()
    assert len(installation.sent) == 1
    installation.tick()
    installation.tick()
    first, second = (message["message"] for message in installation.receiver.messages)
    assert "the last 2 syncs of 1 of 3 active workspaces failed: `gsc status` names them" in first
    assert "the last 2 syncs of 2 of 3 active workspaces failed" in second
    assert not any(id_ in first + second for id_ in ("acme", "globex", "initech"))
    installation.world.faults.clear()
    assert installation.tick() == set()
    assert installation.sent == [*["needs attention"] * 2, "has recovered"]


def test_one_that_stays_partial_is_reported_after_three_ticks(installation: Installation) -> None:
    installation.world.faults.append(all_queries(UNAVAILABLE, SHOP))
    found = [installation.tick() for _ in range(4)]
    assert found == [set(), set(), {"partial"}, {"partial"}]
    (message,) = installation.receiver.messages
    assert "the last 3 syncs of 1 of 3 active workspaces could not read every day" in message["message"]
    installation.world.faults.clear()
    installation.tick()
    assert installation.sent == ["needs attention", "has recovered"]


@pytest.mark.soak
def test_a_workspace_that_is_never_complete_is_not_reported_before_its_third_tick(
    world: World, receiver: Receiver, tmp_path: Path
) -> None:
    """It is stale by the count, but it is being synced."""
    with closing(open_store(str(tmp_path / "state.db"))) as store:
        one = Installation(world, store, receiver)
        world.faults.append(all_queries(UNAVAILABLE, SHOP))
        assert [one.tick() for _ in range(3)] == [set(), set(), {"partial"}]
        assert one.evaluate().workspaces_stale == 1


def test_a_run_that_crashed_is_reported_until_its_workspace_is_synced(installation: Installation) -> None:
    assert installation.tick(crashed=["globex"]) == {"crashed"}
    (message,) = installation.receiver.messages
    assert "the runs of 1 of 3 active workspaces in the tick of 2026-11-22" in message["message"]
    assert installation.evaluate().workspaces_crashed == 1
    installation.world.now += timedelta(minutes=1)
    installation.world.sync(installation.workspaces[1], installation.world.last(2))
    assert installation.evaluate().workspaces_crashed == 0
    assert installation.sent == ["needs attention", "has recovered"]


@pytest.mark.soak
def test_when_every_run_crashed_that_is_a_failure_of_all(installation: Installation) -> None:
    assert installation.tick(crashed=[one.id for one in installation.workspaces]) == {"failed_all", "crashed"}
    assert len(installation.sent) == 1


def test_an_attempt_that_a_retry_mends_is_not_reported(installation: Installation) -> None:
    installation.world.faults.append(refused())
    tick = installation.begin()
    for workspace in installation.workspaces:
        installation.attempt(tick, workspace)
        assert installation.evaluate().ok
    installation.world.faults.clear()
    for workspace in installation.workspaces:
        installation.attempt(tick, workspace)
    installation.book.end(tick, installation.world.now)
    assert installation.evaluate().ok
    assert installation.sent == []


@pytest.mark.soak
def test_several_runs_of_one_tick_for_a_workspace_count_once(installation: Installation) -> None:
    """As when a deferred workspace is tried again, and stays partial."""
    installation.world.faults.append(all_queries(UNAVAILABLE, SHOP))
    tick = installation.begin()
    for run in ("", " again", " and again"):
        installation.attempt(tick, installation.acme, run)
    for workspace in installation.workspaces[1:]:
        installation.attempt(tick, workspace)
    installation.book.end(tick, installation.world.now)
    assert installation.evaluate().ok
    assert [installation.tick() for _ in range(2)] == [set(), {"partial"}]


def test_a_lake_that_disagrees_with_its_ledger_is_reported_at_once(installation: Installation) -> None:
    held = DeltaTable(installation.world.lake.table_uri(SITE_IMPRESSION))
    day = installation.world.last(2).start
    held.delete(f"workspace = 'globex' AND data_date = '{day}'")
    assert installation.evaluate().kinds == {"damage"}
    assert "the lake's data of 1 of 3 active workspaces is damaged: `gsc verify`" in str(
        installation.receiver.messages
    )
    installation.world.sync(installation.workspaces[1], installation.world.last(2))
    installation.evaluate()
    assert installation.sent == ["needs attention", "has recovered"]


def test_without_any_tick_syncs_by_hand_count_as_well(installation: Installation) -> None:
    """As with `gsc sync` from a crontab."""
    installation.world.faults.append(refused("globex"))
    installation.book.forget(before=installation.world.now)
    for expected in (True, False):
        installation.world.now += timedelta(minutes=1)
        installation.world.sync(installation.workspaces[1], installation.world.last(2))
        assert installation.evaluate().ok is expected
