"""What the tables beside the main two share: which properties, what stops whom, and what is counted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from gsc_pipeline.simulator import SyntheticProperty, google_error, token_error
from gsc_pipeline.sync.sitemaps import sync_sitemaps
from gsc_pipeline.sync.sources import SourceReport
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.world import World

SITE, SHOP = "sc-domain:acme.com", "https://shop.acme.com/"


def sync(world: World, workspace: Workspace) -> SourceReport:
    """The simplest of them: one call per property."""
    with closing(world.open_console(workspace)) as console:
        return sync_sitemaps(workspace, console, world.lake, clock=lambda: world.now)


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
        assert report.is_stopped
        assert "can read no property" in report.reason


def test_properties_that_cannot_be_listed_are_a_problem_of_the_workspace(world: World) -> None:
    unavailable = google_error(503, "backendError", "Service unavailable.")
    world.faults.append(lambda call: unavailable if call.kind == "sites" else None)
    report = sync(world, world.workspace(properties=None))
    assert report.is_stopped
    assert report.is_worth_retrying
    assert asked(world) == []


def test_a_refused_property_is_a_problem_of_its_own_and_the_others_are_read(world: World) -> None:
    report = sync(world, world.workspace(properties=("sc-domain:other.com", SITE, SHOP)))
    (problem,) = report.problems
    assert problem.site_url == "sc-domain:other.com"
    assert "add the credential as a user of the property" in str(problem)
    assert not report.is_stopped
    assert not report.is_worth_retrying
    assert (report.properties, report.read) == (3, 2)


def test_a_dead_credential_stops_the_workspace_at_its_first_property(world: World) -> None:
    world.faults.append(
        lambda call: token_error("invalid_grant", "revoked") if call.kind == "token" else None
    )
    report = sync(world, world.workspace(properties=(SITE, SHOP)))
    assert report.is_stopped
    assert not report.is_worth_retrying
    assert (report.properties, report.read, asked(world)) == (1, 0, [])
