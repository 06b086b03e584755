"""The `gsc` command: options, exit codes, and one line for each error.

Imports are inside the commands, so that each starts fast.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import dotenv_values

from gsc_pipeline.cli.annotations import app as annotations_app
from gsc_pipeline.cli.annotations import own_annotations
from gsc_pipeline.cli.init import init
from gsc_pipeline.cli.lake_warnings import warn_if_empty, warn_of_disagreement
from gsc_pipeline.cli.login import login
from gsc_pipeline.cli.logs import settings_with_log
from gsc_pipeline.cli.options import AsJson, chosen_day, chosen_days, chosen_place, chosen_window
from gsc_pipeline.cli.workspaces import workspaces_app
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.process_memory import limit_memory
from gsc_pipeline.settings import ConfigurationError, Settings, load_settings
from gsc_pipeline.text.printing import escaped
from gsc_pipeline.text.secrets import masked

if TYPE_CHECKING:
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.report.write import Reports
    from gsc_pipeline.workspaces.registry import Workspace

_NEW_OBJECTS = 100_000
"""How many new objects start a collection of garbage. Imports make most of the objects, and no garbage."""

FAILED = 1
MISUSED = 2

app = typer.Typer(
    help="Keep an exact, SQL-ready copy of Google Search Console data.",
    epilog="Settings are environment variables, such as GSC_WORKSPACES_FILE and GSC_LAKE: "
    "docs/configuration.md lists them. Getting started: docs/setup.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(annotations_app, name="annotations")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"gsc_pipeline {version('gsc_pipeline')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


app.command()(init)
app.command()(login)
app.add_typer(workspaces_app)


def main() -> None:
    """Run the command. An error is one line on standard error and a non-zero exit code."""
    gc.set_threshold(_NEW_OBJECTS)
    try:
        _read_env_file()
        limit_memory()
        sys.exit(app(prog_name="gsc", standalone_mode=False))
    except typer.exceptions.TyperException as error:
        _fail(MISUSED, _usage(error))
    except ConfigurationError as error:
        _fail(MISUSED, str(error))
    except PipelineError as error:
        _fail(FAILED, str(error))
    except Exception:  # noqa: BLE001
        # A mistake of ours. The traceback may quote what a library was given.
        typer.echo(escaped(masked(traceback.format_exc()), keep="\n"), err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        _fail(130, "interrupted")
    finally:
        # The interpreter would look for garbage twice at its end, for a fifth of an idle sync's CPU time.
        # DuckDB has to be collected, because it prints what it finds left.
        if "duckdb" not in sys.modules:
            gc.freeze()


@app.command()
def sync(
    workspaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORKSPACE", help="Workspace ids; all active workspaces by default."),
    ] = None,
    days: Annotated[int | None, typer.Option(help="The last N complete Pacific days.")] = None,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="The first day.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="The last day (yesterday).")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every day, changed or not.")] = False,
    more: Annotated[
        bool,
        typer.Option(
            "--more",
            help="Sync the other tables instead: properties, sitemaps, hours, search appearances, "
            "inspections. The days are those of the search appearances.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the lake's copy of the workspaces up to date."""
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.cli.syncing import run_more, run_sync
    from gsc_pipeline.days import pacific_today, utc_now
    from gsc_pipeline.lake.arrow_process import prepare_arrow
    from gsc_pipeline.sync.sync_all import SyncFatalError
    from gsc_pipeline.workspaces.registry import load_workspaces, select

    prepare_arrow()
    settings = settings_with_log()
    window = chosen_window(days, start, end, pacific_today(utc_now()), settings.auto_sync_days)
    selected = select(load_workspaces(settings.workspaces_file), workspaces or [])
    services = Services(settings)
    is_given = days is not None or start is not None
    try:
        if more:
            of_more = window if is_given else None
            result = run_more(services, selected, of_more, full=full, quiet=as_json).as_json()
        else:
            result = run_sync(services, selected, window, full=full, quiet=as_json).as_json()
    except SyncFatalError as error:
        if as_json:
            typer.echo(json.dumps(error.as_json()))
        raise
    if as_json:
        typer.echo(json.dumps(result))


@app.command()
def status(
    as_json: AsJson = False,
) -> None:
    """Show the days held of each workspace, which are final, and what fails."""
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.cli.display import print_status, warn, warn_of_damage
    from gsc_pipeline.lake.arrow_process import prepare_arrow
    from gsc_pipeline.monitoring.status import with_folders_worth_adding, workspace_states
    from gsc_pipeline.state.store import StateError
    from gsc_pipeline.workspaces.registry import load_workspaces

    prepare_arrow()
    settings = load_settings()
    services = Services(settings)
    lake = services.lake
    workspaces = load_workspaces(settings.workspaces_file)
    states = with_folders_worth_adding(workspace_states(workspaces, lake), workspaces, lake)
    try:
        circuits = services.open_circuits(workspaces)
    except StateError as error:
        warn(f"the state of the circuit breakers is unknown: {error}")
        circuits = []
    warn_of_damage(states)
    own_annotations(services)
    if as_json:
        shown = {
            "workspaces": [state.as_json() for state in states],
            "left_alone": [circuit.as_json() for circuit in circuits],
        }
        typer.echo(json.dumps(shown))
    else:
        print_status(states, circuits)
        warn_if_empty(lake)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check everything that a sync needs, and show what to do where something is wrong.

    Exits with 1 if a check fails. Writes nothing, except a probe in the lake that is removed again.
    """
    import logging

    try:
        from gsc_pipeline.cli.doctor import diagnose, print_diagnosis
    except ImportError as error:
        step = "install it again: pip install --upgrade gsc_pipeline"
        raise ConfigurationError("installation", [f"a package cannot be loaded ({error}): {step}"]) from None
    # The results have what the checks log.
    logging.getLogger().addHandler(logging.NullHandler())
    found = diagnose()
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        print_diagnosis(found)
    if found.hangs:
        # Arrow's threads are joined at exit, also one that waits for a storage that hangs.
        sys.stdout.flush()
        os._exit(0 if found.ok else FAILED)
    if not found.ok:
        sys.exit(FAILED)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on. There is no sign-in, so use the loopback address.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8089,
) -> None:
    """Serve /health/sync, /health/live and /metrics over HTTP, and send alerts."""
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.cli.display import warn
    from gsc_pipeline.monitoring.alerts import check_addresses, evaluating
    from gsc_pipeline.monitoring.http import LOOPBACK, make_app, serve_until_stopped
    from gsc_pipeline.monitoring.metrics import metrics_text

    settings = settings_with_log()
    alert_urls = settings.alert_urls.get_secret_value()
    check_addresses(alert_urls)
    if host not in LOOPBACK:
        warn(f"anyone who can reach {host} can read these pages: there is no sign-in")
    probe = None
    if os.environ.get("DAGSTER_HOME"):
        from gsc_pipeline.defs.instance import instance_probe

        probe = instance_probe()
    services = Services(settings)
    monitor = services.health_monitor_with(probe_instance=probe)
    with evaluating(services.alerts, monitor) if alert_urls else nullcontext():
        serve_until_stopped(
            make_app(monitor, metrics_text(monitor, by_workspace=settings.metrics_by_workspace)),
            host=host,
            port=port,
            on_ready=lambda url: typer.echo(f"{url}/health/sync and {url}/metrics (Ctrl-C to stop)"),
        )
    if monitor.is_observing:
        # Arrow's threads are joined at exit, also one that waits for a storage that hangs.
        sys.stdout.flush()
        os._exit(0)


@app.command()
def housekeeping(
    as_json: AsJson = False,
) -> None:
    """Compact the lake's small files, shorten its logs, and delete files that no table needs."""
    from gsc_pipeline.cli.display import print_housekeeping
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.lake.maintenance import compact_and_vacuum

    settings = settings_with_log()
    lake = Lake(settings.lake)
    done = compact_and_vacuum(lake, retention_hours=settings.vacuum_hours)
    if as_json:
        typer.echo(json.dumps({"tables": [table.as_json() for table in done]}))
    else:
        print_housekeeping(done)
        warn_if_empty(lake)


@app.command()
def verify(
    workspaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORKSPACE", help="Workspace ids; the whole lake by default."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what files, rows and Search Console allow.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare every file and day of the lake with its logs and ledger. Exits with 1 if they disagree."""
    import uuid

    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.cli.display import print_repair, print_verification
    from gsc_pipeline.days import utc_now
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.sync.repair import repair as repair_lake
    from gsc_pipeline.sync.verify import verify as verify_lake
    from gsc_pipeline.workspaces.registry import load_workspaces, named

    settings = settings_with_log()
    if workspaces:
        listed = load_workspaces(settings.workspaces_file)
        workspaces = [named(listed, id_).id for id_ in workspaces]
    lake = Lake(settings.lake)
    found = left = verify_lake(lake, workspaces or None)
    done = None
    if repair and not found.is_good:
        sync = Services(settings).sync_workspaces
        ids = workspaces or None
        done = repair_lake(lake, found, sync, workspaces=ids, now=utc_now(), run_id=uuid.uuid4().hex)
        left = done.left
    if as_json:
        repaired = {"repaired": done.done if done else (), "lost": done.lost if done else ()}
        typer.echo(json.dumps({**left.as_json(), **repaired}))
    else:
        if done:
            print_repair(found, done)
        print_verification(left)
        warn_if_empty(lake)
    if not left.is_good or (done and done.lost):
        sys.exit(FAILED)


@app.command("import-export")
def import_export(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Parquet files, folders or URIs of a bucket; * in quotes for any characters."
        ),
    ],
    workspace: Annotated[str, typer.Option(metavar="ID", help="The workspace whose properties they hold.")],
    start: Annotated[str | None, typer.Option(metavar="DATE", help="The first day to import.")] = None,
    end: Annotated[str | None, typer.Option(metavar="DATE", help="The last day to import.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import days of Google's bulk data export from the Parquet files that BigQuery exports."""
    import uuid

    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.cli.display import SyncDisplay, print_import
    from gsc_pipeline.cli.syncing import interruptible
    from gsc_pipeline.days import utc_now
    from gsc_pipeline.lake.arrow_process import prepare_arrow
    from gsc_pipeline.sync.bulk_export.merge import ImportOptions
    from gsc_pipeline.sync.bulk_export.merge import import_export as import_days
    from gsc_pipeline.workspaces.registry import load_workspaces, named

    prepare_arrow()
    settings = settings_with_log()
    wanted = named(load_workspaces(settings.workspaces_file), workspace)
    services = Services(settings)
    with interruptible("import"), SyncDisplay(quiet=as_json) as display:
        report = import_days(
            paths,
            wanted,
            services.lake,
            options=ImportOptions(settings.commit_rows, chosen_days(start, end), dry_run, services.leases),
            now=utc_now(),
            run_id=uuid.uuid4().hex,
            on_progress=display.progress,
        )
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    print_import(report, quiet=as_json)
    if report.failed:
        sys.exit(FAILED)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8088,
    export: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Replay the CSV files of an export from Search Console."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Shift a replay by whole weeks so that it ends near DATE."),
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="PROPERTY", help="A synthetic property to serve.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a workspaces file and a key for this simulator to DIR."),
    ] = None,
) -> None:
    """Serve a simulated Search Console, which needs no account, on this machine only."""
    from gsc_pipeline.cli.display import print_simulator
    from gsc_pipeline.simulator import ReplayedProperty, Simulator, SyntheticProperty, serve_forever
    from gsc_pipeline.simulator.wire.home import write_home

    moved_to = None if until is None else chosen_day("--until", until)
    replays = [ReplayedProperty.from_export(folder, until=moved_to) for folder in export or []]
    sites = site or ([] if replays else ["sc-domain:acme.example", "https://shop.acme.example/"])
    simulator = Simulator([*replays, *(SyntheticProperty(site_url) for site_url in sites)])

    def ready(url: str) -> None:
        served = [*(replay.site_url for replay in replays), *sites]
        home = None if write is None else write_home(write, url, served)
        print_simulator(url, served, home)

    serve_forever(simulator, host="127.0.0.1", port=port, on_ready=ready)


@app.command()
def demo() -> None:
    """Sync made-up workspaces from a simulator into data/demo and show the result. Needs no account."""
    from gsc_pipeline.demo.run import run_demo

    sys.exit(run_demo())


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL", help="In quotes. SHOW TABLES lists the tables, DESCRIBE sync_ledger columns."
        ),
    ],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array of objects.")] = False,
) -> None:
    """Run a SQL query (DuckDB) on the lake's tables."""
    from tempfile import TemporaryDirectory

    import duckdb

    from gsc_pipeline.cli.tables import print_csv, print_json, print_rows
    from gsc_pipeline.lake.lake import Lake
    from gsc_pipeline.lake.schemas import COMPARED, TABLES
    from gsc_pipeline.lake.sql import connect, mistake_in_sql

    lake = Lake(load_settings().lake)
    try:
        # SQL may read and write in DuckDB's folder for temporary files. This one is empty, and then deleted.
        with (
            TemporaryDirectory(prefix="gsc-query-") as spill,
            connect(lake, config={"temp_directory": spill}) as connection,
        ):
            result = connection.execute(sql)
            if result is None or not result.description:
                raise ConfigurationError("query", ["this is not a query: expected a SELECT"])
            columns = [column[0] for column in result.description]
            rows = result.fetchall()
    except duckdb.Error as error:
        # DuckDB names the table whose files could not be read.
        for table in TABLES:
            if f"'{table.name}' failed" in str(error):
                raise lake.error_of("read", table, error) from error
        raise ConfigurationError("query", [mistake_in_sql(str(error))]) from None
    warn_if_empty(lake)
    # The comparison reads the ledger of every workspace.
    if any(table.name in sql.lower() for table in COMPARED):
        warn_of_disagreement(lake)
    printer = print_csv if as_csv else print_json if as_json else print_rows
    printer(columns, rows)


@app.command()
def mcp(
    workspaces: Annotated[
        list[str] | None,
        typer.Option(
            "--workspace", metavar="ID", help="A workspace to serve; repeat it for more. All by default."
        ),
    ] = None,
    http: Annotated[
        bool,
        typer.Option(
            "--http",
            help="Serve HTTP on 127.0.0.1 instead of standard input and output, with the token of "
            "GSC_MCP_TOKEN or one that is printed.",
        ),
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8090,
) -> None:
    """Serve the lake read-only to assistants, over the Model Context Protocol."""
    from gsc_pipeline.assistants.start import serve_assistants
    from gsc_pipeline.workspaces.registry import load_workspaces, named

    settings = settings_with_log()
    listed = load_workspaces(settings.workspaces_file)
    served = [named(listed, id_) for id_ in dict.fromkeys(workspaces)] if workspaces else listed
    serve_assistants(settings, served, port=port if http else None)


@app.command("duckdb")
def duckdb_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as search.duckdb.")],
) -> None:
    """Write a DuckDB file with a view of each table, for BI tools."""
    from gsc_pipeline.lake.duckdb_bucket import INSTALL
    from gsc_pipeline.lake.duckdb_file import write_duckdb_file
    from gsc_pipeline.lake.lake import Lake

    lake = Lake(load_settings().lake)
    access = write_duckdb_file(lake, file).access
    warn_if_empty(lake)
    warn_of_disagreement(lake)
    if access is None:
        typer.echo(f"{file}: open it read-only. It shows the lake as it is now: write it again after syncs")
    else:
        typer.echo(
            f"{file}: open it read-only. It shows every sync and holds no credentials. Its reader needs "
            f"DuckDB's extensions ({INSTALL}) and runs first:\n{access.secret}"
        )


@app.command()
def report(
    workspace: Annotated[
        str | None, typer.Argument(metavar="WORKSPACE", help="The id of the workspace.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every active workspace, and the portal: index.html.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="Where the files go: a folder, or s3://… (GSC_REPORTS by default)."
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Also write a CSV file per insight.")] = False,
    content_group: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP", help="Report on one content group, such as /blog/, in a file of its own."
        ),
    ] = None,
    canonical_queries: Annotated[
        bool,
        typer.Option("--canonical-queries", help="Findings by canonical query, in a file of its own."),
    ] = False,
) -> None:
    """Write a workspace's report: one HTML file that needs no network to open. Or all, and the portal."""
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.days import utc_now
    from gsc_pipeline.insights.scope import WHOLE, Scope
    from gsc_pipeline.lake.annotations.stored import bring_up_to_date
    from gsc_pipeline.report.write import Reports, write_report
    from gsc_pipeline.workspaces.registry import load_workspaces, named

    if every == (workspace is not None):
        raise ConfigurationError("report", ["expected either a workspace, or --all"])
    scope = Scope(content_group or WHOLE.content_group, canonical_queries)
    if every and scope != WHOLE:
        raise ConfigurationError("report", ["--content-group and --canonical-queries are for one workspace"])
    settings = load_settings()
    services = Services(settings)
    workspaces = load_workspaces(settings.workspaces_file)
    chosen = None if workspace is None else named(workspaces, workspace)
    place = chosen_place("--output", output) if output else settings.reports
    bring_up_to_date(services.lake, yours=own_annotations(services))
    warn_of_disagreement(services.lake, None if chosen is None else chosen.id)
    if chosen is None:
        _report_all(services.lake, workspaces, Reports(place, as_csv, settings.reports_link_back), settings)
        return
    # The report of one workspace is for its client, who has no portal.
    how = Reports(place, as_csv, scope=scope)
    for file in write_report(services.lake, chosen, how, now=utc_now()):
        typer.echo(file.address)


def _report_all(lake: Lake, workspaces: Sequence[Workspace], how: Reports, settings: Settings) -> None:
    """Write every report and the portal. Exits with 1 if a workspace's data cannot be read."""
    from gsc_pipeline.cli.display import warn
    from gsc_pipeline.days import utc_now
    from gsc_pipeline.report.data import NothingToReportError, ReportError
    from gsc_pipeline.report.write import write_all

    problems: list[ReportError] = []

    def report_problem(problem: ReportError) -> None:
        problems.append(problem)
        warn(str(problem))

    write_all(
        lake,
        workspaces,
        how,
        stale_after=timedelta(hours=settings.stale_after_hours),
        now=utc_now(),
        on_file=lambda file: typer.echo(file.address),
        on_problem=report_problem,
    )
    if any(not isinstance(problem, NothingToReportError) for problem in problems):
        sys.exit(FAILED)


def _read_env_file() -> None:
    """Set the variables of `.env` in the working directory. As in Dagster, they replace the environment's."""
    try:
        given = dotenv_values(Path.cwd() / ".env")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(".env", [f"cannot be read ({cause})"]) from None
    replaced = [
        name
        for name, value in given.items()
        if name.startswith("GSC_") and value is not None and os.environ.get(name) not in (None, "", value)
    ]
    os.environ.update({name: value for name, value in given.items() if value is not None})
    if replaced:
        typer.echo(f"warning: .env replaces {', '.join(replaced)} of the environment", err=True)


def _usage(error: typer.exceptions.TyperException) -> str:
    """The error, and the command that shows the usage. Empty where the help itself is shown instead."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    if not message:
        return ""
    return f"{message.rstrip('.')} (see {context.command_path} --help)" if context else message


def _fail(code: int, message: str) -> None:
    for line in message.splitlines():
        typer.echo(f"gsc: {escaped(masked(line))}", err=True)
    sys.exit(code)
