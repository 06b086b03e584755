"""The runner of the other tables: which properties it syncs, which failures stop it, and its counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gsc_pipeline.simulator import Reply, SyntheticProperty, token_error
from gsc_pipeline.sync.outcome import Outcome
from gsc_pipeline.sync.tables.runner import TableReport
from gsc_pipeline.sync.tables.sitemaps import sync_sitemaps
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline_tests.replies import FORBIDDEN, UNAVAILABLE
from gsc_pipeline_tests.sync.tables.shared import is_stopped
from gsc_pipeline_tests.world import World

SITE, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"


def sync(world: World, workspace: Workspace) -> TableReport:
    """A sync of the simplest table: one call per property."""
    return world.sync_table(sync_sitemaps, workspace)


def asked(world: World) -> list[str | None]:
    return [call.site_url for call in world.simulator.calls if call.kind == "sitemaps"]


def test_all_properties_are_those_that_the_credential_may_read(tmp_path: Path) -> None:
    properties = [
        SyntheticProperty(SITE, rows_a_day=10),
        SyntheticProperty("sc-domain:globex.com", rows_a_day=10, readers={"globex@example.com"}),
        SyntheticProperty("sc-domain:new.com", permission_level="siteUnverifiedUser"),
    ]
    with World.serving(tmp_path, properties) as world:
        report = sync(world, world.workspace(properties=None))
        assert asked(world) == [SITE]
        assert (report.properties, report.read, report.problems) == (1, 1, ())
        assert report.usage.calls == 2
        assert report.seconds > 0


def test_a_credential_that_may_read_nothing_stops_the_workspace_and_says_what_to_do(tmp_path: Path) -> None:
    prop = SyntheticProperty(SITE, readers={"somebody@example.com"})
    with World.serving(tmp_path, [prop]) as world:
        report = sync(world, world.workspace(properties=None))
        assert is_stopped(report)
        assert "can read no property" in report.reason


def test_properties_that_cannot_be_listed_are_a_problem_of_the_workspace(world: World) -> None:
    world.faults.append(lambda call: UNAVAILABLE if call.kind == "sites" else None)
    report = sync(world, world.workspace(properties=None))
    assert is_stopped(report)
    assert report.is_worth_retrying
    assert asked(world) == []


def test_a_refused_property_is_a_problem_of_its_own_and_the_others_are_read(world: World) -> None:
    report = sync(world, world.workspace(properties=("sc-domain:other.com", SITE, SHOP)))
    (problem,) = report.problems
    assert problem.site_url == "sc-domain:other.com"
    assert "add the credential as a user of the property" in str(problem)
    assert not is_stopped(report)
    assert not report.is_worth_retrying
    assert (report.properties, report.read) == (3, 2)


def test_a_dead_credential_stops_the_workspace_at_its_first_property(world: World) -> None:
    world.faults.append(
        lambda call: token_error("invalid_grant", "revoked") if call.kind == "token" else None
    )
    report = sync(world, world.workspace(properties=(SITE, SHOP)))
    assert is_stopped(report)
    assert not report.is_worth_retrying
    assert (report.properties, report.read, asked(world)) == (1, 0, [])


@pytest.mark.parametrize(
    ("reply", "of", "outcome"),
    [
        (UNAVAILABLE, {SITE, SHOP}, Outcome.FAILED),
        (UNAVAILABLE, {SITE}, Outcome.PARTIAL),
        (FORBIDDEN, {SITE}, Outcome.COMPLETE),
        # No later sync may read it either: it is named, day after day.
        (FORBIDDEN, {SITE, SHOP}, Outcome.COMPLETE),
        (token_error("invalid_grant", "revoked"), {None}, Outcome.FAILED),
    ],
)
def test_the_outcome_of_a_table(world: World, reply: Reply, of: set[str | None], outcome: Outcome) -> None:
    world.faults.append(lambda call: reply if call.site_url in of else None)
    report = sync(world, world.workspace(properties=(SITE, SHOP)))
    assert report.outcome is outcome
    assert report.problems
    assert report.in_words.startswith(f"{report.read} read, 0 unchanged; {report.rows} rows, ")
