"""The `gsc` command, run in this process against a simulated world."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gsc_pipeline.cli.main import main
from gsc_pipeline.days import utc_now
from gsc_pipeline_tests.world import World


@dataclass(frozen=True)
class Result:
    """The exit code of a command, and what it printed."""

    code: int
    out: str
    err: str


Gsc = Callable[..., Result]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[World]:
    """A world at the real time, which the commands use."""
    with World.serving(tmp_path, now=utc_now()) as world:
        yield world


@pytest.fixture
def gsc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gsc:
    """`gsc("sync", "--json", env={…})` as typed at a prompt, with no setting but those given."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
        for name in ("GSC_WORKSPACES_FILE", "GSC_LAKE", "GSC_API_URL", "DAGSTER_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["gsc", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run
