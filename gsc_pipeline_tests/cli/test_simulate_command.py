"""`gsc simulate`: a process of its own, from which the pipeline syncs without an account."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gsc_pipeline.demo.world import EXPORT
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.signals import send_to_another_thread
from gsc_pipeline_tests.waiting import HANG_SECONDS

GSC = str(Path(sys.executable).with_name("gsc"))


@contextmanager
def simulating(*options: str) -> Iterator[list[str]]:
    """The command, running; yields the lines it has printed once it is ready."""
    process = subprocess.Popen(
        [GSC, "simulate", "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not lines or "In another terminal" not in lines[-1]:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            lines.append(line.rstrip())
        yield lines
    finally:
        send_to_another_thread(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_an_export_can_be_synced_with_the_command_that_is_printed(gsc: Gsc, tmp_path: Path) -> None:
    with simulating("--export", str(EXPORT), "--write", str(tmp_path / "home")) as lines:
        assert lines[1].strip() == "sc-domain:bluebirdcoffee.example"
        assignments = [word for word in lines[-1].split() if word.startswith("GSC_")]
        env = dict(word.split("=", 1) for word in assignments) | {"GSC_LAKE": str(tmp_path / "lake")}
        dates = (EXPORT / "Dates.csv").read_text(encoding="utf-8-sig").splitlines()[1:31]
        first, last = dates[-1].split(",")[0], dates[0].split(",")[0]
        done = gsc("sync", "--start", first, "--end", last, env=env)
        assert done.code == 0, done.err
    sql = "SELECT data_date, sum(clicks), sum(impressions) FROM searchdata_site_impression GROUP BY 1"
    held = gsc("query", sql, "--csv", env=env)
    rows = {tuple(line.split(",")) for line in held.out.splitlines()[1:]}
    assert rows == {tuple(line.split(",")[:3]) for line in dates}


def test_without_options_it_serves_synthetic_properties() -> None:
    with simulating("--site", "sc-domain:one.example", "--site", "https://two.example/") as lines:
        assert [line.strip() for line in lines[1:3]] == ["sc-domain:one.example", "https://two.example/"]


def test_a_workspaces_file_of_the_user_is_not_overwritten(gsc: Gsc, tmp_path: Path) -> None:
    mine = tmp_path / "workspaces.yaml"
    mine.write_text("workspaces: []\n", encoding="utf-8")
    done = gsc("simulate", "--port", "0", "--write", str(tmp_path))
    assert done.code == 1
    assert "was not made by the simulator" in done.err
    assert mine.read_text(encoding="utf-8") == "workspaces: []\n"


@pytest.mark.parametrize("option", ["--export", "--until"])
def test_a_folder_or_date_that_cannot_be_used_is_one_clear_line(
    gsc: Gsc, tmp_path: Path, option: str
) -> None:
    done = gsc("simulate", option, str(tmp_path))
    assert done.code != 0
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("gsc: ")
