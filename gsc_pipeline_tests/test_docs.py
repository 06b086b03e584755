"""The docs are true: their tables are generated from the code, and their commands run."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import typer
import urllib3
from duckdb import DuckDBPyConnection

from gsc_pipeline import simulator
from gsc_pipeline.cli.main import app
from gsc_pipeline.days import ONE_DAY, Window, pacific_today, utc_now
from gsc_pipeline.definitions import build_defs
from gsc_pipeline.defs.resources import all_resources
from gsc_pipeline.demo.world import EXPORT
from gsc_pipeline.insights.refresh import refresh_insights
from gsc_pipeline.lake.annotations.stored import bring_up_to_date
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TABLES
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.monitoring.health import ReasonKind
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline.sync.bulk_export.merge import ImportOptions, import_export
from gsc_pipeline.sync.telemetry import (
    AutoSyncComplete,
    AutoSyncFailure,
    AutoSyncStarted,
    WorkspaceSyncComplete,
)
from gsc_pipeline_tests.bulk_exports import write_export
from gsc_pipeline_tests.docs import PAGES, ROOT, up_to_date
from gsc_pipeline_tests.lake.test_backup import SECTIONS, commands_of
from gsc_pipeline_tests.test_architecture import MAY_IMPORT
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import World

TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
EVERYTHING = "\n".join(TEXTS.values())
WATCHING = TEXTS["operations.md"].partition("## Watching")[2].partition("\n## ")[0]
TEN_QUESTIONS = TEXTS["sql.md"].partition("## Ten questions")[2].partition("\n## ")[0]
NOT_ALWAYS_THERE = (
    "folder_days",
    "past_cap",
    "revisions",
    "standing_failures",
    "ctr_curve",
    "ctr_gap",
    "striking_distance",
    "cannibalisation",
    "content_decay",
    "winners_and_losers",
    "anomalies",
    "change_points",
    "seo_tests",
)
"""Tables that a small, healthy lake has no rows in."""
BIN = Path(sys.executable).parent
PROPERTY = SyntheticProperty("sc-domain:acme.com", rows_a_day=30, plants=False)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", EVERYTHING, re.DOTALL)


def commands() -> list[str]:
    """Every line at a prompt, and the ones in the README's table."""
    prompts = [
        line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")
    ]
    table = [
        code.replace("\\|", "|")
        for code in re.findall(r"\| `((?:gsc|dagster) [^`]+)` \|", TEXTS["README.md"])
    ]
    return list(dict.fromkeys(line.split("  #")[0].split("    #")[0].strip() for line in prompts + table))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small lake with five weeks of final days, synced from the API, and all that is made of them."""
    with World.serving(tmp_path_factory.mktemp("docs"), [PROPERTY], now=utc_now()) as world:
        acme = world.workspace()
        assert not world.sync(acme, weeks(world)).problems
        assert not any(report.problems for report in world.sync_more(acme))
        bring_up_to_date(world.lake)
        refresh_insights(world.lake, acme, now=world.now)
        yield world


def weeks(world: World) -> Window:
    return Window(world.today - 40 * ONE_DAY, world.today - 5 * ONE_DAY)


@pytest.fixture(scope="module")
def synced(world: World) -> dict[str, str]:
    """The environment in which the docs' commands are run."""
    env = {**os.environ, **world.environment(), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    env.pop("DAGSTER_HOME", None)
    days = [world.today - 7 * ONE_DAY, world.today - 6 * ONE_DAY]
    write_export(world.folder / "export", [PROPERTY], days)
    return {**env, "HERE": str(world.folder)}


def run(command: str, env: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command,
        shell=True,
        env=env,
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_of_settings_and_columns_are_the_codes_own(page: Path) -> None:
    assert TEXTS[page.name] == up_to_date(TEXTS[page.name]), "run `make docs`"


def test_every_command_and_option_is_documented() -> None:
    group = typer.main.get_command(app)
    text = TEXTS["configuration.md"]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert f"### `gsc {name}" in text
        for below, each in getattr(command, "commands", {"": command}).items():
            assert f"`gsc {name} {below}".rstrip() in text
            for option in [opt for param in each.params for opt in param.opts if opt.startswith("--")]:
                assert f"`{option}" in text, f"gsc {name} {below} {option}"


def promised() -> list[tuple[str, str]]:
    """The tests that are named for the promises, as file and name."""
    return re.findall(r"\| `([\w/]+\.py)::(test_\w+)` \|", TEXTS["promises.md"])


@pytest.mark.parametrize(("file", "name"), promised())
def test_every_test_that_is_named_for_a_promise_exists(file: str, name: str) -> None:
    source = (ROOT / "gsc_pipeline_tests" / file).read_text(encoding="utf-8")
    assert f"\ndef {name}(" in source


def test_every_promise_has_a_test() -> None:
    rows = [line for line in TEXTS["promises.md"].splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(promised()) >= 10


def test_links_between_the_pages_have_targets() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", TEXTS[page.name]):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.soak
def test_the_site_is_built_without_a_warning_and_can_be_searched(tmp_path: Path) -> None:
    """Sphinx warns of a page that no menu has, and of a link whose page or heading does not exist."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("docs/index.html") == 2
    assert "searchdata_site_impression" in (tmp_path / "docs" / "tables.html").read_text(encoding="utf-8")
    assert "searchdata_site_impress" in (tmp_path / "searchindex.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables(world: World) -> Iterator[DuckDBPyConnection]:
    """One connection for all queries: looking for the tables takes longer than most of them."""
    with connect(world.lake) as connection:
        yield connection


@pytest.mark.parametrize("sql", blocks("sql"))
def test_every_query_in_the_docs_runs(tables: DuckDBPyConnection, sql: str) -> None:
    result = tables.execute(sql)
    assert result.description
    if not re.search(rf"failed|FROM ({'|'.join(NOT_ALWAYS_THERE)})", sql):
        assert result.fetchall()


@pytest.fixture(scope="module")
def two_sources(
    world: World, tables: DuckDBPyConnection
) -> Iterator[tuple[DuckDBPyConnection, DuckDBPyConnection]]:
    """Connections to two lakes with the same days: synced from the API, and imported from the bulk export."""
    acme, imported = world.workspace(), Lake(str(world.folder / "imported"))
    folder = write_export(world.folder / "export of all", [PROPERTY], list(weeks(world)))
    import_export([str(folder)], acme, imported, options=ImportOptions(), now=world.now, run_id="import")
    refresh_insights(imported, acme, now=world.now)
    with connect(imported) as exported:
        yield tables, exported


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", TEN_QUESTIONS, re.DOTALL))
def test_the_ten_questions_have_the_same_answers_in_both_sources(
    two_sources: tuple[DuckDBPyConnection, DuckDBPyConnection], sql: str
) -> None:
    answers = [connection.execute(sql).fetchall() for connection in two_sources]
    assert answers[0] == answers[1]
    assert answers[0]


def test_there_are_ten_questions() -> None:
    assert TEN_QUESTIONS.count("```sql") == 10


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make ")])
def test_every_make_target_in_the_docs_exists(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{command.split()[1]}:.*##", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [
        c
        for c in commands()
        if re.match(
            r"gsc (sync|status|doctor|annotations|query|duckdb|report|housekeeping|import-export)"
            r"|dagster asset",
            c,
        )
    ],
)
@pytest.mark.soak
def test_every_command_in_the_docs_runs(synced: dict[str, str], command: str) -> None:
    # The dates in the docs grow old, and sixteen months take long: test the command with recent dates.
    today = pacific_today(utc_now())
    recent = re.sub(r"--start \S+", f"--start {today - 30 * ONE_DAY}", command)
    recent = re.sub(r"--end \S+", f"--end {today - 5 * ONE_DAY}", recent)
    recent = re.sub(r"'\S+\|acme'", f"'{today - 5 * ONE_DAY}|acme'", recent)
    run(recent, synced, Path(synced["HERE"]))


@pytest.mark.soak
def test_trying_the_pipeline_on_an_export_works_as_the_docs_say(tmp_path: Path) -> None:
    (simulate,) = [c for c in commands() if c.startswith("gsc simulate")]
    (sync,) = [c for c in commands() if c.startswith("GSC_API_URL")]
    (tmp_path / "my-export").symlink_to(EXPORT)
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    env.pop("DAGSTER_HOME", None)
    with subprocess.Popen(
        [*shlex.split(simulate), "--port", "0"], env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "In another terminal" not in (line := process.stdout.readline()):
            assert process.poll() is None
        # The docs name the default port; a machine that runs tests may have it in use.
        url = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert url
        last = (EXPORT / "Dates.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
        recent = re.sub(r"--start \S+", f"--start {last}", sync)
        out = run(recent.replace("http://127.0.0.1:8088", url[0]), env, tmp_path)
        process.send_signal(signal.SIGINT)
    assert "1 of 1 workspaces complete" in out


def answers_200(address: str) -> bool:
    return urllib3.request("GET", address, retries=False, timeout=HANG_SECONDS).status == 200


@pytest.mark.soak
def test_the_pages_that_the_docs_request_answer_with_200(synced: dict[str, str]) -> None:
    (serve,) = [c for c in commands() if c.startswith("gsc serve")]
    asked = [c.split()[-1] for c in commands() if c.startswith("curl ")]
    with subprocess.Popen(
        [*shlex.split(serve), "--port", "0"], env=synced, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split("/health")[0]
            for page in asked:
                # A busy machine may take longer than the page waits for the first observation.
                address = page.replace("http://127.0.0.1:8089", url)
                wait_until(lambda address=address: answers_200(address), f"200 from {page}")  # type: ignore[misc]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=HANG_SECONDS)
        finally:
            process.kill()
    assert (len(asked), process.returncode) == (2, 0)


@pytest.mark.soak
def test_the_command_for_assistants_starts_a_server(synced: dict[str, str]) -> None:
    (over_http,) = [c for c in commands() if "gsc mcp" in c]
    with subprocess.Popen(
        f"exec env {over_http} --port 0", shell=True, env=synced, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert re.match(r"http://127\.0\.0\.1:\d+/mcp", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("dagster-")])
@pytest.mark.soak
def test_the_options_of_dagsters_own_programs_exist(command: str) -> None:
    words = shlex.split(command)
    subcommand = words[1:2] if not words[1].startswith("-") else []
    shown = run(shlex.join([str(BIN / words[0]), *subcommand, "--help"]), dict(os.environ), ROOT)
    for option in [word for word in words if word.startswith("--")]:
        assert option in shown


def test_every_command_in_the_docs_is_run_by_a_test() -> None:
    named = (
        "init login workspaces doctor sync status annotations query duckdb report simulate serve mcp "
        "housekeeping import-export"
    )
    commands_tried = f"gsc ({named.replace(' ', '|')})"
    # `defs/test_component.py` tries dg.
    programs = r"make |curl |GSC_(API_URL|MCP_TOKEN)=|dagster asset|dagster-|dg |pip install"
    tried = re.compile(f"{programs}|{commands_tried}")
    by_an_operator = [line for section in SECTIONS for block in commands_of(section) for line in block]
    untried = [command for command in commands() if not tried.match(command)]
    assert [command for command in untried if command not in by_an_operator] == []


def test_every_job_schedule_sensor_and_check_is_documented() -> None:
    repository = build_defs(load_settings()).get_repository_def()
    jobs = [job.name for job in repository.get_all_jobs() if not job.name.startswith("__")]
    automations = [one.name for one in (*repository.schedule_defs, *repository.sensor_defs)]
    checks = [key.name for key in repository.asset_checks_defs_by_key]
    for name in {*jobs, *automations, *checks}:
        assert f"`{name}`" in TEXTS["operations.md"], name


def test_every_resource_is_documented() -> None:
    for name in all_resources(load_settings(), {}):
        assert f"`{name}`" in TEXTS["dagster.md"].partition("**Resources**")[2].partition("\n")[0], name


def test_every_kind_of_reason_is_documented() -> None:
    documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", WATCHING, re.MULTILINE))))
    assert set(ReasonKind) <= documented


def test_every_event_of_the_audit_log_is_documented_with_its_fields() -> None:
    for event in (AutoSyncStarted, AutoSyncComplete, AutoSyncFailure, WorkspaceSyncComplete):
        for name in (event.name, *(one.name for one in fields(event))):
            # The rates of a workspace are those of the tick.
            assert f"`{name}`" in WATCHING, name


def test_the_folders_of_the_package_are_documented_in_the_order_of_their_imports() -> None:
    tree = TEXTS["development.md"].partition("gsc_pipeline/\n")[2].partition("```")[0]
    rooms = re.findall(r"^  (\w+)", tree, re.MULTILINE)
    assert set(rooms) == set(MAY_IMPORT) - {"__init__"}
    for place, room in enumerate(rooms):
        assert MAY_IMPORT[room] <= set(rooms[place + 1 :]), room


def test_every_property_of_the_simulator_is_documented() -> None:
    for name in simulator.__all__:
        if name.endswith("Property") and name != "Property":
            assert f"| `{name}` |" in TEXTS["development.md"], name


def test_every_asset_is_documented() -> None:
    for key in build_defs(load_settings()).resolve_asset_graph().get_all_asset_keys():
        assert re.search(rf"\b{key.to_user_string()}\b", EVERYTHING), key


def test_every_table_is_documented_with_a_query() -> None:
    for table in TABLES:
        assert f"<!-- columns: {table.name} -->" in EVERYTHING, table.name
        assert re.search(rf"FROM {table.name}\b", "".join(blocks("sql"))), table.name
