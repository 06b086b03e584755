"""The programs and the scenarios that can be measured.

Imports nothing large, for the reason in `measure`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.measure import ROOT, Server

KEPT = ROOT / ".benchmarks"
"""Kept between invocations, and not in git: the environments of the connectors, and figures."""

WORKSPACE = "acme"
BRAND = "example"
"""The brand in the names of the sites, and so in some of their queries."""
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Scenario:
    """A size of work: days, sites, and `rows` a day of each site by page, query, country and device.

    `latency` is the server's, in seconds. `limit_factor` is GSC_API_LIMIT_FACTOR. In an idle scenario each
    program runs once without being measured, and then again in the same folder, where nothing has changed.
    `runs` limits the runs of each program.
    """

    name: str
    title: str
    days: int
    rows: int
    latency: float
    programs: tuple[str, ...]
    sites: tuple[str, ...] = ("sc-domain:example.com",)
    limit_factor: float = 1
    idle: bool = False
    runs: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The task of a program: a scenario, a server and a folder. Days are closed-open, `[start, end)`."""

    scenario: Scenario
    server: Server
    folder: Path
    start: date = field(init=False)
    end: date = field(init=False)

    def __post_init__(self) -> None:
        end = datetime.now(UTC).astimezone(ZoneInfo("America/Los_Angeles")).date()
        object.__setattr__(self, "end", end)
        object.__setattr__(self, "start", end - timedelta(days=self.scenario.days))

    @property
    def last(self) -> date:
        """The last day."""
        return self.end - timedelta(days=1)

    def as_json(self) -> str:
        """The argument of `benchmarks.programs`."""
        task = {
            "url": self.server.url,
            "key": str(self.server.key),
            "site": self.server.sites[0],
            "sites": self.server.sites,
            "start": str(self.start),
            "end": str(self.end),
            "rows": self.scenario.rows,
            "folder": str(self.folder),
        }
        return json.dumps(task)

    def env(self) -> dict[str, str]:
        """The environment variables: this process's without settings, and the job's folder for all files."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("GSC_", "DAGSTER"))}
        return ours | {
            "GSC_WORKSPACES_FILE": str(self.folder / "workspaces.yaml"),
            "GSC_LAKE": str(self.folder / "lake"),
            "GSC_STATE": str(self.folder / "state.db"),
            "GSC_AUDIT_LOG": str(self.folder / "audit.log"),
            "GSC_API_URL": self.server.url,
            "GSC_API_LIMIT_FACTOR": str(self.scenario.limit_factor),
        }

    def write_workspaces(self) -> None:
        """Write the workspaces file for the server."""
        workspace = {
            "id": WORKSPACE,
            "name": "Acme",
            "properties": list(self.server.sites),
            "search_types": ["web"],
            "brand_terms": [BRAND],
            "credentials": {"service_account_file": str(self.server.key)},
        }
        text = json.dumps({"workspaces": [workspace]})  # JSON is YAML.
        (self.folder / "workspaces.yaml").write_text(text, encoding="utf-8")

    def write_dagster_home(self) -> None:
        """Copy an instance that has been opened before. It is created once for the server."""
        made = self.server.home / "dagster-home"
        if not made.exists():
            made.mkdir()
            shutil.copy(ROOT / "dagster.yaml", made)
            command = [sys.executable, "-m", "benchmarks.programs.instance", WORKSPACE]
            subprocess.run(command, env={**self.env(), "DAGSTER_HOME": str(made)}, cwd=ROOT, check=True)
        shutil.copytree(made, self.folder / "dagster")

    def write_lake(self) -> None:
        """Copy a lake with all days of all sites. It is filled once for the server, without a sync."""
        made = self.server.home / "filled"
        if not made.exists():
            command = [sys.executable, "-m", "benchmarks.programs.filled", str(made), self.as_json()]
            subprocess.run(command, env=self.env(), cwd=ROOT, check=True)
        shutil.copytree(made, self.folder / "lake")


@dataclass(frozen=True, slots=True)
class Program:
    """A program to measure: its name, its title in tables, its command line and its preparation.

    `prepare` fills a new folder, `before` runs before every run. Neither is measured.
    """

    name: str
    title: str
    command: Callable[[Job], Sequence[str]]
    prepare: Callable[[Job], None] = lambda job: None
    before: Callable[[Job], None] = lambda job: None
    needs_dagster: bool = False
    is_ours: bool = False

    def env(self, job: Job) -> dict[str, str]:
        """Its environment variables. DAGSTER_HOME is set only for programs that need an instance."""
        home = {"DAGSTER_HOME": str(job.folder / "dagster")} if self.needs_dagster else {}
        return job.env() | home


def _python(module: str, python: Path | None = None) -> Callable[[Job], Sequence[str]]:
    return lambda job: (str(python or sys.executable), "-m", f"benchmarks.programs.{module}", job.as_json())


def _gsc(job: Job) -> Sequence[str]:
    return (str(BIN / "gsc"), "sync", "--json", "--start", str(job.start), "--end", str(job.last))


def _dagster_run(job: Job) -> Sequence[str]:
    tags: dict[str, Any] = {
        "gsc/tick": datetime.now(UTC).isoformat(),
        "gsc/workspace": WORKSPACE,
        "gsc/workspaces": WORKSPACE,
        "gsc/window": f"{job.start}/{job.last}",
    }
    options = ("-m", "gsc_pipeline.definitions", "-j", "gsc_sync", "--tags", json.dumps(tags))
    return (str(BIN / "dagster"), "job", "execute", *options)


def _empty_run(job: Job) -> Sequence[str]:
    return (str(BIN / "dagster"), "job", "execute", "-m", "benchmarks.programs.empty_run", "-j", "empty")


def _gsc_report(job: Job) -> Sequence[str]:
    return (str(BIN / "gsc"), "report", WORKSPACE, "--output", str(job.folder / "reports"))


def _synced(job: Job) -> None:
    job.write_workspaces()
    job.write_lake()


def _without_insights(job: Job) -> None:
    """Delete all tables but those that syncs write."""
    for table in (job.folder / "lake").iterdir():
        if not table.name.startswith(("searchdata_", "sync_")):
            shutil.rmtree(table)


def _with_instance(job: Job) -> None:
    job.write_workspaces()
    job.write_dagster_home()


def _connector(name: str) -> Callable[[Job], Sequence[str]]:
    return _python(f"connectors.{name}", KEPT / "venvs" / name / "bin" / "python")


PROGRAMS = {
    program.name: program
    for program in (
        Program("server", "the server alone", _python("drain")),
        Program("floor", "floor", _python("floor")),
        Program("naive", "the usual script", _python("naive")),
        Program("library", "library", _python("library"), is_ours=True),
        Program("command", "`gsc sync`", _gsc, Job.write_workspaces, is_ours=True),
        Program("dagster", "Dagster run", _dagster_run, _with_instance, needs_dagster=True, is_ours=True),
        Program("empty", "empty Dagster run", _empty_run, _with_instance, needs_dagster=True),
        Program("report", "`gsc report`, insights made", _gsc_report, _synced, _without_insights),
        Program("report-again", "`gsc report`, insights as they were", _gsc_report, _synced),
        Program("singer", "Singer tap 1.1.2", _connector("singer")),
        Program("airbyte", "Airbyte source 1.9.4", _connector("airbyte")),
        Program("searchconsole", "searchconsole 0.1.0", _connector("searchconsole")),
    )
}

CONNECTORS = {
    "singer": "tap-google-search-console==1.1.2",
    "airbyte": "airbyte-source-google-search-console==1.9.4",
    "searchconsole": "searchconsole==0.1.0",
}
"""The public connectors, each installed from the package index in an environment of its own."""

_WINDOW = ("floor", "naive", "library", "command", "dagster")
_THREE = ("sc-domain:example.com", "https://www.example.com/", "https://shop.example.com/")
_TEN = tuple(f"https://www{number}.{BRAND}.com/" for number in range(10))
_BESIDE = ("floor", "naive", "library", *CONNECTORS)

SCENARIOS = (
    Scenario("server", "the server: answers thrown away", 14, 25_000, 0.0, ("server",)),
    Scenario("14x5000", "14 days × 5,000 rows, 20 ms", 14, 5_000, 0.02, _WINDOW),
    Scenario("14x25000", "14 days × 25,000 rows, 20 ms", 14, 25_000, 0.02, _WINDOW),
    Scenario("14x1000", "14 days × 1,000 rows, 300 ms", 14, 1_000, 0.3, _WINDOW),
    Scenario("idle", "a tick without changes: three properties, 14 days, 20 ms", 14, 1_000, 0.02,
             ("library", "command", "dagster", "empty"), _THREE, idle=True),
    Scenario("14x50000", "memory: 14 days × 50,000 rows, 20 ms", 14, 50_000, 0.02, ("library",), runs=1),
    Scenario("90x50000", "memory: 90 days × 50,000 rows, 20 ms", 90, 50_000, 0.02, ("library",),
             limit_factor=100, runs=1),
    Scenario("report", "a report: 10 properties, 16 months, 2,000 rows a day of each", 486, 2_000, 0.0,
             ("report", "report-again"), _TEN, idle=True),
)  # fmt: skip

CONNECTOR_SCENARIOS = (
    Scenario("connectors-1000", "connectors: 14 days × 1,000 rows, 20 ms", 14, 1_000, 0.02, _BESIDE, runs=1),
    Scenario("connectors-5000", "connectors: 14 days × 5,000 rows, 20 ms", 14, 5_000, 0.02, _BESIDE, runs=1),
    # Without Airbyte's, which would take about five minutes and is measured at 5,000 rows.
    Scenario("connectors-25000", "connectors: 14 days × 25,000 rows, 20 ms", 14, 25_000, 0.02,
             ("floor", "library", "singer"), runs=1),
)  # fmt: skip
