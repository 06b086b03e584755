"""Standing failures: their start, their count, and that they leave the list once they are over."""

from __future__ import annotations

from datetime import timedelta

from gsc_pipeline.days import ONE_DAY
from gsc_pipeline.lake.schemas import STANDING_FAILURES
from gsc_pipeline.simulator import token_error
from gsc_pipeline.sync.failures import StandingFailure, of_configured, read_standing
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE, all_queries, queries_of
from gsc_pipeline_tests.world import World

SHOP = "https://shop.acme.com/"
BOTH = ("sc-domain:acme.com", SHOP)


def standing(world: World) -> list[StandingFailure]:
    return read_standing(world.lake, "acme")


def versions(world: World) -> int:
    table = world.folder / "lake" / STANDING_FAILURES.name / "_delta_log"
    return len(list(table.glob("*.json"))) if table.exists() else 0


def test_a_failure_says_what_where_since_when_how_often_and_what_to_do(world: World) -> None:
    workspace = world.workspace(properties=BOTH)
    world.faults.append(all_queries(FORBIDDEN, SHOP))
    began = world.now
    world.sync(workspace)
    world.now += timedelta(hours=6)
    world.sync(workspace)
    (failure,) = standing(world)
    assert (failure.site_url, failure.search_type, failure.transient) == (SHOP, "WEB", False)
    assert "403" in failure.cause
    assert failure.next_step.startswith("add the credential as a user of the property")
    assert (failure.since, failure.last_seen_at, failure.times) == (began, world.now, 2)
    assert (failure.days, failure.last_day) == (5, world.today - ONE_DAY)


def test_a_failure_leaves_the_list_when_its_cause_is_gone(world: World) -> None:
    workspace = world.workspace(properties=BOTH)
    world.faults.append(all_queries(FORBIDDEN, SHOP))
    world.sync(workspace)
    world.faults.clear()
    world.sync(workspace)
    assert standing(world) == []


def test_a_refused_property_fails_even_if_every_day_is_final(world: World) -> None:
    workspace = world.workspace()
    old = world.last(12)
    world.sync(workspace, old)
    world.faults.append(all_queries(FORBIDDEN))
    final_days = type(old)(old.start, old.start + 3 * ONE_DAY)
    world.sync(workspace, final_days)
    (failure,) = standing(world)
    assert (failure.days, failure.first_day, failure.times) == (0, None, 1)


def test_a_sync_that_does_not_try_again_does_not_change_the_count(world: World) -> None:
    workspace = world.workspace()
    window = world.last(5)
    world.faults.append(queries_of(window.last, UNAVAILABLE))
    world.sync(workspace, window)
    (before,) = standing(world)
    world.faults.clear()
    world.now += timedelta(hours=1)
    world.sync(workspace, type(window)(window.start, window.start + ONE_DAY))
    assert standing(world) == [before]
    assert (before.days, before.first_day, before.transient) == (1, window.last, True)


def test_a_dead_credential_is_one_failure_of_the_whole_workspace(world: World) -> None:
    workspace = world.workspace(properties=BOTH)
    world.faults.append(
        lambda call: token_error("invalid_grant", "Invalid JWT Signature.") if call.kind == "token" else None
    )
    world.sync(workspace)
    (failure,) = standing(world)
    assert (failure.site_url, failure.search_type, failure.days) == ("", "", 5)
    assert "create a new key" in failure.next_step
    world.faults.clear()
    world.sync(workspace)
    assert standing(world) == []


def test_nothing_is_written_while_nothing_fails(world: World) -> None:
    world.sync(world.workspace())
    world.sync(world.workspace())
    assert versions(world) == 0


def test_failures_of_what_is_no_longer_configured_are_not_listed(world: World) -> None:
    workspace = world.workspace(properties=BOTH)
    world.faults.append(all_queries(FORBIDDEN, SHOP))
    world.sync(workspace)
    failures = standing(world)
    assert of_configured(failures, [workspace]) == failures
    assert of_configured(failures, [world.workspace()]) == []
    assert of_configured(failures, [world.workspace("globex")]) == []
