"""The `gsc` command: sync, status, serve, housekeeping, simulate, query, duckdb, report.

Belongs here: options, exit codes, one line for each mistake. Does not: how things look (`terminal`), what
they do (`sync`, `lake`, `simulator`). Imports stay inside the commands, so that each starts fast.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsc_pipeline.errors import PipelineError
from gsc_pipeline.settings import ConfigurationError, Settings, load_settings

if TYPE_CHECKING:
    from gsc_pipeline.days import Window
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.sync.report import SyncReport
    from gsc_pipeline.workspaces import Workspace

MOST_DAYS = 3660
"""Ten years: well past anything Search Console shows."""

MOST_NAMED = 3
"""Workspaces that a line names; of more it says how many."""

FAILED = 1
MISUSED = 2

app = typer.Typer(
    help="Keep an exact, SQL-ready copy of Google Search Console data.",
    epilog="Settings are environment variables, such as GSC_WORKSPACES_FILE and GSC_LAKE: "
    "docs/configuration.md lists them. To begin: docs/setup.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command. Mistakes and failures end in one line on standard error and a non-zero exit."""
    try:
        sys.exit(app(prog_name="gsc", standalone_mode=False))
    except typer.exceptions.TyperException as error:
        _fail(MISUSED, _usage(error))
    except ConfigurationError as error:
        _fail(MISUSED, str(error))
    except PipelineError as error:
        _fail(FAILED, str(error))
    except KeyboardInterrupt:
        _fail(130, "interrupted; what was committed stays, the next sync goes on from there")


@app.command()
def sync(
    workspaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORKSPACE", help="Ids of the workspaces file; all active ones by default."),
    ] = None,
    days: Annotated[int | None, typer.Option(help="The last N complete Pacific days.")] = None,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="The first day.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="The last day (yesterday).")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every day, moved or not.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Bring the lake's copy of the workspaces up to date."""
    from gsc_pipeline.days import pacific_today, utc_now
    from gsc_pipeline.footprint import reduce_footprint
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.structured_logs import configure_logging
    from gsc_pipeline.sync.everyone import SyncFatalError, sync_all
    from gsc_pipeline.terminal import SyncDisplay
    from gsc_pipeline.wiring import console_opener, sync_options
    from gsc_pipeline.workspaces import load_workspaces, select

    reduce_footprint()
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    window = _window(days, start, end, pacific_today(utc_now()), settings.auto_sync_days)
    listed = load_workspaces(settings.workspaces_file)
    selected = select(listed, workspaces or [])
    lake = Lake(settings.lake)
    display = SyncDisplay(quiet=as_json)
    try:
        with display:
            summary = sync_all(
                selected,
                window,
                console_opener(settings),
                lake,
                options=sync_options(settings, full=full),
                on_progress=display.progress,
                on_report=display.report,
            )
    except SyncFatalError as error:
        if as_json:
            typer.echo(json.dumps(error.as_json()))
        _tell_dagster(settings, listed, display.reports, lake)
        raise
    if as_json:
        typer.echo(json.dumps(summary.as_json()))
    else:
        display.summary(summary)
    _tell_dagster(settings, listed, display.reports, lake)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what the lake holds of each workspace, how sure it is, and what fails."""
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.state.store import StateError
    from gsc_pipeline.status import workspace_states
    from gsc_pipeline.terminal import print_status
    from gsc_pipeline.wiring import addresses_left_alone
    from gsc_pipeline.workspaces import load_workspaces

    settings = load_settings()
    lake = Lake(settings.lake)
    workspaces = load_workspaces(settings.workspaces_file)
    states = workspace_states(workspaces, lake)
    try:
        left_alone = addresses_left_alone(settings, workspaces)
    except StateError as error:
        typer.echo(f"gsc: warning: whether calls are held back is not known: {error}", err=True)
        left_alone = []
    damaged: dict[str, list[str]] = {}
    for state in states:
        for damage in state.damaged:
            damaged.setdefault(damage, []).append(state.workspace)
    for damage, ids in damaged.items():
        of = ", ".join(ids) if len(ids) <= MOST_NAMED else f"{len(ids)} workspaces"
        typer.echo(f"gsc: warning: {of}: {damage}", err=True)
    if as_json:
        shown = {
            "workspaces": [state.as_json() for state in states],
            "left_alone": [one.as_json() for one in left_alone],
        }
        typer.echo(json.dumps(shown))
    else:
        print_status(states, left_alone)
        _warn_if_empty(lake)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="There is no sign-in: keep it on the loopback address.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8089,
) -> None:
    """Answer /health/sync, /health/live and /metrics over HTTP, and tell people when something is wrong."""
    from gsc_pipeline.serving.alerting import evaluating
    from gsc_pipeline.serving.app import make_app
    from gsc_pipeline.serving.metrics import metrics_text
    from gsc_pipeline.serving.server import LOOPBACK, serve_until_stopped
    from gsc_pipeline.structured_logs import configure_logging
    from gsc_pipeline.wiring import alerts, health_monitor

    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    if host not in LOOPBACK:
        typer.echo(f"gsc: warning: anyone who reaches {host} may read this: there is no sign-in", err=True)
    probe: Callable[[], None] = lambda: None  # noqa: E731
    if os.environ.get("DAGSTER_HOME"):
        from gsc_pipeline.dagster_database import instance_probe

        probe = instance_probe()
    monitor = health_monitor(settings, probe_database=probe)
    has_alerts = bool(settings.alert_urls.get_secret_value())
    with evaluating(alerts(settings), monitor) if has_alerts else nullcontext():
        serve_until_stopped(
            make_app(monitor, metrics_text(monitor, by_workspace=settings.metrics_by_workspace)),
            host=host,
            port=port,
            on_ready=lambda url: typer.echo(f"{url}/health/sync and {url}/metrics (Ctrl-C stops it)"),
        )


@app.command()
def housekeeping(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Join the lake's small files, shorten its logs, delete what no table needs any more."""
    from gsc_pipeline.lake.housekeeping import compact_and_vacuum
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.structured_logs import configure_logging
    from gsc_pipeline.terminal import print_housekeeping

    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    done = compact_and_vacuum(Lake(settings.lake), retention_hours=settings.vacuum_hours)
    if as_json:
        typer.echo(json.dumps({"tables": [table.as_json() for table in done]}))
    else:
        print_housekeeping(done)


@app.command()
def verify(
    workspaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORKSPACE", help="Ids of the workspaces file; the whole lake by default."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what files, rows and Search Console allow.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare every file and every day of the lake with its logs and its ledger; exit 1 if they disagree."""
    import uuid

    from gsc_pipeline.days import utc_now
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.structured_logs import configure_logging
    from gsc_pipeline.sync.repair import repair as repair_lake
    from gsc_pipeline.sync.verify import verify as verify_lake
    from gsc_pipeline.terminal import print_repair, print_verification
    from gsc_pipeline.wiring import workspace_syncer
    from gsc_pipeline.workspaces import load_workspaces, named

    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    if workspaces:
        listed = load_workspaces(settings.workspaces_file)
        workspaces = [named(listed, id_).id for id_ in workspaces]
    lake = Lake(settings.lake)
    found = left = verify_lake(lake, workspaces or None)
    repaired: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    if repair and not found.is_good:
        done = repair_lake(
            lake,
            found,
            workspace_syncer(settings, lake),
            workspaces=workspaces or None,
            now=utc_now(),
            run_id=uuid.uuid4().hex,
        )
        left, repaired, lost = done.left, done.done, done.lost
        if not as_json:
            print_repair(found, done)
    if as_json:
        typer.echo(json.dumps({**left.as_json(), "repaired": repaired, "lost": lost}))
    else:
        print_verification(left)
        _warn_if_empty(lake)
    if lost or not left.is_good:
        sys.exit(FAILED)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8088,
    export: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Replay the CSV files of Search Console's export button."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Move a replay by whole weeks to end near DATE.")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="PROPERTY", help="A synthetic property to serve.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a workspaces file and a key for this simulator to DIR."),
    ] = None,
) -> None:
    """Serve a Search Console that needs no account, on this machine only."""
    from gsc_pipeline.simulator import ReplayedProperty, Simulator, SyntheticProperty, serve_forever
    from gsc_pipeline.simulator.home import write_home
    from gsc_pipeline.terminal import print_simulator

    moved_to = None if until is None else _date("--until", until)
    replays = [ReplayedProperty.from_export(folder, until=moved_to) for folder in export or []]
    sites = site or ([] if replays else ["sc-domain:acme.example", "https://shop.acme.example/"])
    simulator = Simulator([*replays, *(SyntheticProperty(site_url) for site_url in sites)])

    def ready(url: str) -> None:
        served = [*(replay.site_url for replay in replays), *sites]
        home = None if write is None else write_home(write, url, served)
        print_simulator(url, served, home)

    serve_forever(simulator, host="127.0.0.1", port=port, on_ready=ready)


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL", help="In quotes. SHOW TABLES and DESCRIBE sync_ledger tell what there is."
        ),
    ],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array of objects.")] = False,
) -> None:
    """Run SQL (DuckDB's) over the lake's tables."""
    import duckdb

    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.lake.sql import connect, mistake_in_sql
    from gsc_pipeline.printing import print_csv, print_json, print_rows

    lake = Lake(load_settings().lake)
    try:
        with connect(lake) as connection:
            result = connection.execute(sql)
            if result is None or not result.description:
                raise ConfigurationError("query", ["this is no query: expected a SELECT"])
            columns = [column[0] for column in result.description]
            rows = result.fetchall()
    except duckdb.Error as error:
        raise ConfigurationError("query", [mistake_in_sql(str(error))]) from None
    _warn_if_empty(lake)
    printer = print_csv if as_csv else print_json if as_json else print_rows
    printer(columns, rows)


@app.command("duckdb")
def duckdb_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as search.duckdb.")],
) -> None:
    """Write a DuckDB file with a view per table, for BI tools: the lake as it is now."""
    from gsc_pipeline.lake.duckdb_file import write_duckdb_file
    from gsc_pipeline.lake.lake import Lake

    lake = Lake(load_settings().lake)
    write_duckdb_file(lake, file)
    _warn_if_empty(lake)
    typer.echo(f"{file}: open it read-only; it shows the lake as it is now, so write it anew after syncs")


@app.command()
def report(
    workspace: Annotated[str, typer.Argument(metavar="WORKSPACE", help="Its id in the workspaces file.")],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the files go (GSC_REPORTS).")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Also write a CSV per insight.")] = False,
) -> None:
    """Write a workspace's report: one HTML file that needs no network to open."""
    from gsc_pipeline.days import utc_now
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.report.write import write_report
    from gsc_pipeline.workspaces import load_workspaces, named

    settings = load_settings()
    wanted = named(load_workspaces(settings.workspaces_file), workspace)
    folder = output or settings.reports
    for file in write_report(Lake(settings.lake), wanted, folder, now=utc_now(), as_csv=as_csv):
        typer.echo(str(file))


def _warn_if_empty(lake: Lake) -> None:
    """An empty answer is as often a mistyped GSC_LAKE as a lake that is new."""
    from gsc_pipeline.lake.schemas import SYNC_LEDGER

    if lake.dataset(SYNC_LEDGER) is None:
        typer.echo(f"gsc: warning: {lake.uri} holds nothing yet: run gsc sync, or check GSC_LAKE", err=True)


def _usage(error: typer.exceptions.TyperException) -> str:
    """The mistake, and where the right use of the command is told."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    return f"{message.rstrip('.')} ({context.command_path} --help says more)" if context else message


def _fail(code: int, message: str) -> None:
    for line in message.splitlines():
        typer.echo(f"gsc: {line}", err=True)
    sys.exit(code)


def _window(days: int | None, start: str | None, end: str | None, today: date, default_days: int) -> Window:
    """The window the options ask for. Raises ConfigurationError for one that is reversed or not over yet."""
    from gsc_pipeline.days import ONE_DAY, Window

    if start is None and end is None:
        if days is not None and not 1 <= days <= MOST_DAYS:
            raise ConfigurationError("--days", [f"{days}: expected 1 to {MOST_DAYS}"])
        return Window.last_complete(default_days if days is None else days, today)
    if days is not None or start is None:
        raise ConfigurationError("window", ["expected either --days, or --start with or without --end"])
    first = _date("--start", start)
    last = today - ONE_DAY if end is None else _date("--end", end)
    if last >= today or first >= today:
        late = last if last >= today else first
        raise ConfigurationError("window", [f"{late} is not over in California, where it is {today}"])
    if first > last:
        raise ConfigurationError("window", [f"reversed: --start {first} lies after --end {last}"])
    return Window.inclusive(first, last)


def _date(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(option, [f"{text!r}: expected a date such as 2026-11-20"]) from None


def _tell_dagster(
    settings: Settings, listed: Sequence[Workspace], reports: Sequence[SyncReport], lake: Lake
) -> None:
    """Report to the instance that DAGSTER_HOME names. The sync stands whether or not this succeeds."""
    if not reports or not os.environ.get("DAGSTER_HOME"):
        return
    import dagster as dg

    from gsc_pipeline.events import report_to_instance

    try:
        with dg.DagsterInstance.get() as instance:
            report_to_instance(instance, reports, lake, listed=listed, first_partition=settings.start_date)
    # An instance has many ways to be broken (files, databases, drivers), none of which undoes the sync.
    except Exception as error:  # noqa: BLE001
        cause = " ".join(str(error).split())[:300]
        typer.echo(f"gsc: synced, but DAGSTER_HOME's instance could not be told ({cause})", err=True)
