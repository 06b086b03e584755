"""Permission levels over time: which changes there are, and which are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.lake.lake import Lake, LakeError
from gsc_pipeline.lake.schemas import PROPERTIES
from gsc_pipeline.search_console.answers import Site
from gsc_pipeline.simulator import SyntheticProperty, google_error, token_error
from gsc_pipeline.sync.tables.properties import (
    ChangeKind,
    PropertyChange,
    changes_between,
    known_properties,
    levels_now,
    record_properties,
    sync_properties,
)
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline_tests.replies import UNAVAILABLE
from gsc_pipeline_tests.sync.tables.shared import is_stopped
from gsc_pipeline_tests.world import World, sorted_rows

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
LEVELS = ("siteOwner", "siteFullUser", "siteRestrictedUser", "siteUnverifiedUser", "siteSomethingNew")
LISTS = st.dictionaries(st.sampled_from(["sc-domain:a.com", "https://b/", "c"]), st.sampled_from(LEVELS))


def sites(levels: Mapping[str, str]) -> list[Site]:
    return [Site(site_url, level) for site_url, level in levels.items()]


def sync(world: World, id_: str = "acme") -> TableReport:
    return world.sync_table(sync_properties, world.workspace(id_))


def recorded(lake: Lake, workspace_id: str = "acme") -> list[tuple[str, str, str | None, str | None]]:
    rows = lake.read(PROPERTIES).sort_by([("observed_at", "ascending"), ("site_url", "ascending")])
    columns = ("site_url", "change", "permission_level", "previous_level")
    return [
        tuple(row[name] for name in columns) for row in rows.to_pylist() if row["workspace"] == workspace_id
    ]


@given(LISTS, LISTS)
def test_changes_have_each_property_that_differs_once_with_its_old_and_new_level(
    before: dict[str, str], after: dict[str, str]
) -> None:
    changes = changes_between(before, sites(after))
    differing = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    assert [change.site_url for change in changes] == sorted(differing)
    assert {change.site_url: change.permission_level for change in changes} == {
        name: after.get(name) for name in differing
    }
    for change in changes:
        assert change.previous_level == before.get(change.site_url)
        assert (change.change is ChangeKind.LOST) == (change.site_url not in after)
        assert (change.change is ChangeKind.ADDED) == (change.site_url not in before)


def record(
    lake: Lake, workspace: str, sites: list[Site], now: datetime, run_id: str
) -> tuple[PropertyChange, ...]:
    return record_properties(lake, workspace, sites, now, run_id, known_properties(lake, workspace))


@settings(max_examples=15, deadline=None)
@given(lists=st.lists(LISTS, min_size=1, max_size=5))
def test_after_any_history_the_table_shows_what_the_credential_can_see_now(
    tmp_path_factory: pytest.TempPathFactory, lists: list[dict[str, str]]
) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    for hour, levels in enumerate(lists):
        record(lake, "acme", sites(levels), NOW + timedelta(hours=hour), f"run {hour}")
        assert levels_now(known_properties(lake, "acme")) == levels


def test_nothing_is_written_when_nothing_changed(lake: Lake) -> None:
    levels = {"sc-domain:acme.com": "siteOwner"}
    record(lake, "acme", sites(levels), NOW, "first")
    before = lake.dataset(PROPERTIES)
    assert record(lake, "acme", sites(levels), NOW + timedelta(days=1), "second") == ()
    after = lake.dataset(PROPERTIES)
    assert before is not None
    assert after is not None
    assert after.files == before.files
    assert lake.read(PROPERTIES).num_rows == 1


def test_a_credential_that_never_saw_a_property_writes_no_table(lake: Lake) -> None:
    assert record(lake, "acme", [], NOW, "first") == ()
    assert lake.dataset(PROPERTIES) is None


def test_a_change_is_recorded_with_its_time_month_and_run(lake: Lake) -> None:
    record(lake, "acme", sites({"sc-domain:acme.com": "siteOwner"}), NOW, "r1")
    (row,) = lake.read(PROPERTIES).to_pylist()
    assert row == {
        "workspace": "acme",
        "month": "2026-11",
        "site_url": "sc-domain:acme.com",
        "observed_at": NOW,
        "change": "added",
        "permission_level": "siteOwner",
        "previous_level": None,
        "run_id": "r1",
    }


def test_each_workspace_has_a_history_of_its_own(lake: Lake) -> None:
    record(lake, "acme", sites({"a": "siteOwner"}), NOW, "r1")
    record(lake, "globex", sites({"a": "siteFullUser"}), NOW, "r2")
    assert levels_now(known_properties(lake, "acme")) == {"a": "siteOwner"}
    assert levels_now(known_properties(lake, "globex")) == {"a": "siteFullUser"}


def test_properties_are_added_changed_and_lost_over_the_wire(tmp_path: Path) -> None:
    shop = "https://shop.acme.com/"
    with World.serving(tmp_path, [SyntheticProperty("sc-domain:acme.com", rows_a_day=5)]) as world:
        assert (sync(world).read, sync(world).unchanged) == (1, 1)
        world.now += timedelta(days=1)
        world.simulator.put(SyntheticProperty(shop, permission_level="siteUnverifiedUser"))
        world.simulator.put(SyntheticProperty("sc-domain:acme.com", permission_level="siteRestrictedUser"))
        assert sync(world).rows == 2
        world.now += timedelta(days=1)
        world.simulator.put(SyntheticProperty(shop, readers={"somebody@example.com"}))
        report = sync(world)
        assert (report.rows, report.properties, report.usage.calls) == (1, 2, 1)
        assert recorded(world.lake) == [
            ("sc-domain:acme.com", "added", "siteOwner", None),
            (shop, "added", "siteUnverifiedUser", None),
            ("sc-domain:acme.com", "changed", "siteRestrictedUser", "siteOwner"),
            (shop, "lost", None, "siteUnverifiedUser"),
        ]


def test_a_list_that_cannot_be_read_loses_no_property_and_is_reported(world: World) -> None:
    sync(world)
    before = sorted_rows(world.lake.read(PROPERTIES))
    for refusal, transient in (
        (UNAVAILABLE, True),
        (google_error(403, "accessNotConfigured", "API disabled.", "usageLimits"), False),
    ):
        world.faults[:] = [lambda call, refusal=refusal: refusal if call.kind == "sites" else None]
        report = sync(world)
        assert is_stopped(report)
        assert report.is_worth_retrying is transient
        assert report.rows == 0
    assert sorted_rows(world.lake.read(PROPERTIES)) == before


def test_a_dead_credential_is_a_problem_of_the_workspace_that_says_what_to_do(world: World) -> None:
    world.faults.append(
        lambda call: token_error("invalid_grant", "revoked") if call.kind == "token" else None
    )
    report = sync(world)
    assert is_stopped(report)
    assert not report.is_worth_retrying
    assert "create a new key" in report.reason


def test_a_lake_that_cannot_be_written_is_raised(world: World) -> None:
    (world.folder / "lake").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(LakeError, match="check GSC_LAKE"):
        sync(world)
