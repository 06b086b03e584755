"""The reports of scopes have files of their own, which are never those of another workspace."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gsc_pipeline.days import Window
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.insights.scope import Scope
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import CONTENT_GROUP_DAYS
from gsc_pipeline.report.data import ReportError
from gsc_pipeline.report.write import Reports, write_report
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.workspaces.registry import Workspace
from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.insights.filling import fill
from gsc_pipeline_tests.report.insight_rows import group_days, write
from gsc_pipeline_tests.report.test_report import ACME, NOW, WINDOW
from gsc_pipeline_tests.world import World

SITE = "sc-domain:acme.com"
BLOG = Scope("/blog/")
CANONICAL = Scope(canonical=True)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A few days of two workspaces, with a content group."""
    lake = Lake(str(tmp_path_factory.mktemp("scopes") / "lake"))
    for workspace, days in (("acme", WINDOW), ("acme-test-a", Window.last_complete(9, WINDOW.end))):
        fill(lake, workspace, SyntheticProperty(SITE, rows_a_day=10), days)
    refresh_insights(lake, ACME, now=NOW)
    write(lake, CONTENT_GROUP_DAYS, group_days({"/blog/": 30, "other": 0.0}, days=57))
    return lake


def named(id_: str) -> Workspace:
    return replace(ACME, id=id_)


@pytest.mark.parametrize(
    ("other", "scope", "file"),
    [
        (named("acme-canonical"), CANONICAL, "acme-canonical"),
        (replace(named("acme-canonical"), active=False), CANONICAL, "acme-canonical"),
        (named("acme-group-blog"), BLOG, "acme-group-blog"),
        # The other's report of canonical queries has this name.
        (named("acme-group-blog"), replace(BLOG, canonical=True), "acme-group-blog-canonical"),
    ],
)
def test_a_report_of_a_scope_never_overwrites_that_of_another_workspace(
    lake: Lake, tmp_path: Path, other: Workspace, scope: Scope, file: str
) -> None:
    theirs = tmp_path / f"{file}.html"
    theirs.write_text("of another client")
    how = Reports(str(tmp_path), as_csv=True, scope=scope)
    with pytest.raises(ReportError, match=rf"^acme: {file}\.html .* {other.id}: give "):
        write_report(lake, ACME, how, now=NOW, among=(ACME, other))
    assert list(tmp_path.iterdir()) == [theirs]
    assert theirs.read_text() == "of another client"


def test_a_report_of_a_scope_never_overwrites_the_page_of_a_test(lake: Lake, tmp_path: Path) -> None:
    sets = PageSet(group="/blog/"), PageSet(group="/guide/")
    test = SeoTest("a-canonical", SITE, "WEB", date(2026, 11, 1), *sets)
    tested, scoped = replace(ACME, seo_tests=(test,)), named("acme-test-a")
    how = Reports(str(tmp_path), scope=CANONICAL)
    with pytest.raises(ReportError, match=r"^acme-test-a: acme-test-a-canonical\.html .* acme: give "):
        write_report(lake, scoped, how, now=NOW, among=(tested, scoped))
    assert list(tmp_path.iterdir()) == []


def test_workspaces_with_similar_ids_have_reports_of_scopes(lake: Lake, tmp_path: Path) -> None:
    others = [named(one) for one in ("acme-shop", "acme-group-shop", "acm", "acme-canonical")]
    (file,) = write_report(lake, ACME, Reports(str(tmp_path), scope=BLOG), now=NOW, among=(*others, ACME))
    assert Path(file.address).name == "acme-group-blog.html"


def test_the_report_of_a_whole_workspace_has_its_name_whatever_others_are_called(
    lake: Lake, tmp_path: Path
) -> None:
    among = (ACME, named("acme-canonical"), named("acme-group-blog"))
    (file,) = write_report(lake, ACME, Reports(str(tmp_path)), now=NOW, among=among)
    assert Path(file.address).name == "acme.html"


@pytest.mark.soak
def test_the_command_refuses_the_file_of_another_workspace(gsc: Gsc, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with World.serving(tmp_path, now=now) as world:
        entries = [{"id": one, "properties": [SITE]} for one in ("acme", "acme-canonical")]
        environment = world.environment(*entries)
        assert (
            gsc("sync", "acme", "--start", f"{now - timedelta(days=5):%Y-%m-%d}", env=environment).code == 0
        )
        done = gsc(
            "report", "acme", "--canonical-queries", "--output", str(tmp_path / "out"), env=environment
        )
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "gsc: acme: acme-canonical.html may also be a file of the workspace acme-canonical: give one of them "
        "another id\n"
    )
    assert not (tmp_path / "out").exists()
