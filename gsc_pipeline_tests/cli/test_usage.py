"""What the command shows to somebody who types it for the first time."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from gsc_pipeline_tests.cli.conftest import Gsc


@pytest.mark.parametrize("group", [(), ("workspaces",)])
def test_a_group_without_a_command_shows_its_help_and_no_error(group: tuple[str, ...], gsc: Gsc) -> None:
    done = gsc(*group)
    assert (done.code, "Usage: gsc" in done.out + done.err, "gsc: " in done.err) == (2, True, False)


def test_the_version_is_that_of_the_package(gsc: Gsc) -> None:
    done = gsc("--version")
    assert (done.code, done.out) == (0, f"gsc_pipeline {version('gsc_pipeline')}\n")


@pytest.mark.parametrize("command", ["sync", "status", "mcp"])
def test_without_a_workspaces_file_the_error_names_the_command_that_writes_one(
    command: str, gsc: Gsc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = gsc(command)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "workspaces.yaml: cannot be read (No such file or directory): " in done.err
    assert "gsc init" in done.err


def test_housekeeping_of_an_empty_lake_warns_that_it_is_empty(
    gsc: Gsc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = gsc("housekeeping")
    assert (done.code, done.out) == (0, "0 tables cleaned up, 0.0 MB freed\n")
    assert done.err == f"gsc: warning: {tmp_path}/data/lake is empty: run gsc sync, or check GSC_LAKE\n"
