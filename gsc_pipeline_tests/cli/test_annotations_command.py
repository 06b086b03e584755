"""`gsc annotations`: what is known, Google's newest ranking updates, and your own notes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gsc_pipeline.lake.annotations.shipped import shipped
from gsc_pipeline.lake.schemas import ANNOTATIONS
from gsc_pipeline.simulator import Reply
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.world import World


@pytest.fixture
def env(live: World) -> dict[str, str]:
    """A world whose status page is the simulator's, with a file that holds one note."""
    file = live.folder / "annotations.yaml"
    note = "annotations: [{title: Relaunch, first_day: 2026-03-01, last_day: 2026-03-01, workspace: acme}]"
    file.write_text(note, encoding="utf-8")
    page = live.url.rstrip("/") + "/incidents.json"
    return {**live.environment(), "GSC_ANNOTATIONS": str(file), "GSC_SEARCH_STATUS_URL": page}


def test_a_list_has_what_is_shipped_and_your_notes_and_writes_nothing(
    live: World, gsc: Gsc, env: dict[str, str]
) -> None:
    done = gsc("annotations", env=env)
    lines = done.out.splitlines()
    assert lines[0].split() == [
        "first_day", "last_day", "kind", "title", "search_types", "metrics", "workspace", "source",
    ]  # fmt: skip
    assert len(lines) == 1 + len(shipped()) + 1
    (note,) = [line.split() for line in lines if "Relaunch" in line]
    assert note == ["2026-03-01", "2026-03-01", "note", "Relaunch", "acme", "yours"]
    found = json.loads(gsc("annotations", "--json", env=env).out)["annotations"]
    assert len(found) == len(lines) - 1
    assert set(found[0]) == set(ANNOTATIONS.schema.names)
    assert live.lake.version_of(ANNOTATIONS) is None


def test_an_update_prints_what_is_new_and_then_that_nothing_is(
    live: World, gsc: Gsc, env: dict[str, str]
) -> None:
    first = gsc("annotations", "update", env=env)
    assert (first.code, "November 2026 core update" in first.out) == (0, True)
    assert "March 2026 core update" not in first.out
    version = live.lake.version_of(ANNOTATIONS)
    second = gsc("annotations", "update", env=env)
    assert second.out == f"nothing is new: {len(shipped()) + 3} annotations are known\n"
    assert live.lake.version_of(ANNOTATIONS) == version
    held = json.loads(gsc("annotations", "update", "--json", env=env).out)["annotations"]
    sources = [one["source"] for one in held]
    assert (sources.count("google"), sources.count("yours")) == (3, 1)
    rows = gsc("query", "SELECT title FROM annotations WHERE workspace = 'acme'", "--json", env=env).out
    assert json.loads(rows) == [{"title": "Relaunch"}]


def test_a_status_page_that_cannot_be_used_is_one_line(live: World, gsc: Gsc, env: dict[str, str]) -> None:
    live.faults.append(lambda call: Reply(200, b"<html>") if call.kind == "incidents" else None)
    done = gsc("annotations", "update", env=env)
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("gsc: no ranking updates: the list of incidents could not be read")
    assert live.lake.version_of(ANNOTATIONS) is None


def test_a_wrong_entry_is_left_out_and_named_by_every_command_that_reads_the_file(
    live: World, gsc: Gsc, env: dict[str, str]
) -> None:
    gsc("sync", "--days", "4", env=env)
    file = Path(env["GSC_ANNOTATIONS"])
    relaunch = file.read_text(encoding="utf-8").removesuffix("]")
    file.write_text(relaunch + ", {title: a}, {first_day: 3}]", encoding="utf-8")
    out = str(live.folder / "out")
    for command in (
        ["annotations"],
        ["annotations", "update"],
        ["status"],
        ["report", "acme", "--output", out],
    ):
        done = gsc(*command, env=env)
        assert done.code == 0
        assert [line.split(": ")[3] for line in done.err.splitlines()] == [
            "annotations[1].first_day",
            "annotations[2].title",
            "annotations[2].first_day",
        ]
        assert all(line.startswith("gsc: warning: ") for line in done.err.splitlines())
    own = [row["title"] for row in live.lake.read(ANNOTATIONS).to_pylist() if row["source"] == "yours"]
    assert own == ["Relaunch"]


def test_a_file_that_cannot_be_read_keeps_your_notes_of_the_lake(
    live: World, gsc: Gsc, env: dict[str, str]
) -> None:
    gsc("annotations", "update", env=env)
    Path(env["GSC_ANNOTATIONS"]).write_text("annotations: [{", encoding="utf-8")
    done = gsc("annotations", "update", env=env)
    assert (done.code, "not valid YAML" in done.err) == (0, True)
    assert "Relaunch" in live.lake.read(ANNOTATIONS)["title"].to_pylist()


def test_a_status_page_over_http_on_another_machine_is_refused(
    live: World, gsc: Gsc, env: dict[str, str]
) -> None:
    for address in ("http://status.example.com/", "https://me:secret@status.example.com/", "incidents.json"):
        done = gsc("annotations", "update", env={**env, "GSC_SEARCH_STATUS_URL": address})
        assert done.code == 2
        assert "GSC_SEARCH_STATUS_URL" in done.err
        assert "expected an https:// address without user and password" in done.err
        assert "secret" not in done.err


def test_a_report_stores_the_annotations_that_it_names(live: World, gsc: Gsc, env: dict[str, str]) -> None:
    gsc("sync", "--days", "10", env=env)
    done = gsc("report", "acme", "--output", str(live.folder / "out"), env=env)
    assert done.code == 0, done.err
    rows = live.lake.read(ANNOTATIONS).to_pylist()
    assert len(rows) == len(shipped()) + 1
