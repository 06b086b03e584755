"""`gsc init`: from a key file to the first report, by questions whose answers are options too."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsc_pipeline.cli.login import NoBrowser, sign_in
from gsc_pipeline.cli.logs import settings_with_log
from gsc_pipeline.cli.new_files import ENV, ENV_BESIDE, NewFile, env_file, write_all
from gsc_pipeline.cli.questions import NO, YES, Questions, SetupError, yes_or_no
from gsc_pipeline.cli.workspaces import BrandTerms, KeyFile, Properties, SearchTypes, parse_search_types
from gsc_pipeline.settings import ConfigurationError, Settings, folder_or_uri, is_folder, load_settings

if TYPE_CHECKING:
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.search_console.answers import Site
    from gsc_pipeline.search_console.auth import CredentialSource
    from gsc_pipeline.workspaces.registry import Workspace

FIRST_DAYS = 3
"""The days that the first sync reads."""

QUERIES_AGO = 4
"""The day whose queries brand terms are proposed from, in days before today: it is final."""

MOST_ASKED = 10
"""The most properties whose queries are asked for."""

MOST_SHOWN = 20
"""An error names up to this many properties."""

EACH = "each"
NONE = "none"


def init(
    key_file: KeyFile = None,
    no_browser: NoBrowser = False,
    properties: Properties = None,
    workspace: Annotated[
        str | None, typer.Option(metavar="ID", help="One workspace with this id, for all the properties.")
    ] = None,
    one_each: Annotated[bool, typer.Option("--one-each", help="A workspace for each property.")] = False,
    search_types: SearchTypes = None,
    brand_terms: BrandTerms = None,
    lake: Annotated[
        str | None, typer.Option(metavar="PLACE", help="A folder, s3://, gs:// or az:// (GSC_LAKE).")
    ] = None,
    report: Annotated[
        bool | None, typer.Option("--report/--no-report", help="Write the report at the end.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take the default where no option answers.")
    ] = False,
) -> None:
    """Set up a workspace: check the credential, write workspaces.yaml and .env, sync three days."""
    if workspace is not None and one_each:
        raise ConfigurationError("--one-each", ["expected either --workspace or --one-each"])
    if not yes and not sys.stdin.isatty():
        problem = "there is no terminal to ask on: add --yes, and --key-file with the credential's file"
        raise ConfigurationError("init", [problem])
    if yes and key_file is None:
        raise ConfigurationError("--key-file", ["missing: --yes asks for no file"])
    settings = settings_with_log()
    questions = Questions(is_interactive=not yes)
    setup = Setup(settings, questions)
    setup.refuse_existing(lake)
    with questions.interruptible():
        setup.credential(None if key_file is None else str(key_file), with_browser=not no_browser)
        setup.properties(properties)
        setup.workspaces(EACH if one_each else workspace)
        setup.search_types(search_types)
        setup.brand_terms(brand_terms)
        setup.lake(lake)
        setup.write()
        made = setup.made()
        _first_sync(made, setup.chosen, questions)
        wants = None if report is None else YES if report else NO
        if questions.ask("Write a report now? (yes, no)", YES, wants, yes_or_no):
            _write_reports(made, setup.chosen)
    _print_next_steps(made, setup.chosen[0].id, questions)


class Setup:
    """The answers so far. Each method is one question; `write` writes the files."""

    def __init__(self, settings: Settings, questions: Questions) -> None:
        from gsc_pipeline.bootstrap import Services

        self._settings = settings
        self._services: Services = Services(settings)
        self._questions = questions
        self._source: CredentialSource
        self._sites: list[Site] = []
        self._lake = settings.lake
        self._site_urls: list[str] = []
        self.chosen: list[Workspace] = []

    def refuse_existing(self, lake: str | None) -> None:
        """Raise SetupError if the workspaces file exists, or the file that the settings would need."""
        file = self._settings.workspaces_file
        if file.exists():
            raise SetupError(
                f"{file} exists and is kept: gsc workspaces add adds to it, or run gsc init in another folder"
            )
        env_file(self._settings, lake or self._settings.lake)

    def credential(self, given: str | None, *, with_browser: bool) -> None:
        """Ask for the credential, and the API for what it may read."""
        typer.echo(
            "A key file is a service account's key, an OAuth client's file to sign in with, or the file of "
            "an earlier gsc login.\ndocs/setup.md says how to create one in the Google Cloud console."
        )

        def read(answer: str) -> None:
            source = self._source_in(Path(answer).expanduser(), with_browser=with_browser)
            with closing(self._services.plain_console(source)) as console:
                sites = console.sites()
            if not any(site.is_readable for site in sites):
                from gsc_pipeline.workspaces.access import how_to_add

                raise SetupError(f"{source} may read no property; {how_to_add(source)}; then try again")
            self._source, self._sites = source, sites

        self._questions.ask("Key file", "", given, read)

    def _source_in(self, path: Path, *, with_browser: bool) -> CredentialSource:
        from gsc_pipeline.search_console.auth import source_in
        from gsc_pipeline.search_console.sign_in import is_client_file

        if not path.name:
            raise SetupError("expected the path of a key file")
        if not path.exists():
            raise SetupError(f"{path} does not exist: name a key file")
        if not is_client_file(path):
            return source_in(path)
        target = _free(self._settings.workspaces_file.with_name("secrets") / "google.json")
        source = sign_in(self._services, path, target, with_browser=with_browser)
        self._questions.kept.append(target)
        return source

    def properties(self, given: Sequence[str] | None) -> None:
        """Ask which of the readable properties to sync."""
        from gsc_pipeline.cli.tables import print_rows

        readable = [site.site_url for site in self._sites if site.is_readable]
        ordered = sorted(self._sites, key=lambda site: not site.is_readable)
        rows = [
            (str(number) if site.is_readable else "", site.site_url, site.permission)
            for number, site in enumerate(ordered, 1)
        ]
        print_rows(["", "property", "permission"], rows)

        def read(answer: Sequence[str]) -> None:
            if list(answer) == ["all"]:
                self._site_urls = readable
                return
            numbered = {str(number): site_url for number, site_url in enumerate(readable, 1)}
            chosen = [numbered.get(one, one) for one in answer]
            wrong = [one for one in chosen if one not in readable]
            if wrong or not chosen:
                more = f" and {len(readable) - MOST_SHOWN} more" if len(readable) > MOST_SHOWN else ""
                known = ", ".join(readable[:MOST_SHOWN]) + more
                raise SetupError(f"{', '.join(wrong) or 'nothing'}: expected all, or some of {known}")
            self._site_urls = list(dict.fromkeys(chosen))

        self._questions.ask_some("Properties: all, or their numbers", ["all"], given, read)

    def workspaces(self, given: str | None) -> None:
        """Ask for the id of the workspace, or for one workspace for each property."""
        from gsc_pipeline.workspaces.proposals import workspace_id

        def read(answer: str) -> None:
            if answer != EACH:
                self.chosen = [self._workspace(answer, self._site_urls)]
                self._check()
                return
            found: list[Workspace] = []
            for site_url in self._site_urls:
                id_ = workspace_id(site_url, [one.id for one in found])
                found.append(self._workspace(id_, [site_url]))
            self.chosen = found

        several = "; or each, for a workspace for each property" if len(self._site_urls) > 1 else ""
        self._questions.ask(f"Id of the workspace{several}", workspace_id(self._site_urls[0]), given, read)

    def _workspace(self, id_: str, site_urls: Sequence[str]) -> Workspace:
        from gsc_pipeline.search_console.search_types import QueryType
        from gsc_pipeline.workspaces.registry import Workspace

        return Workspace(id_, id_, self._source, tuple(site_urls), (QueryType.WEB,))

    def search_types(self, given: Sequence[str] | None) -> None:
        """Ask which search types to sync."""
        from dataclasses import replace

        def read(answer: Sequence[str]) -> None:
            types = parse_search_types(answer)
            self.chosen = [replace(one, search_types=types) for one in self.chosen]
            self._check()

        question = "Search types (web, image, video, news, discover, googleNews)"
        self._questions.ask_some(question, ["web"], given, read)

    def brand_terms(self, given: Sequence[str] | None) -> None:
        """Ask what a query of the brand contains."""
        from dataclasses import replace

        from gsc_pipeline.workspaces.proposals import brand_terms

        proposed = {}
        if given is None:
            queries = self._queries()
            proposed = {
                one.id: brand_terms(
                    one.properties or (), [q for url in one.properties or () for q in queries[url]]
                )
                for one in self.chosen
            }

        def read(answer: Sequence[str]) -> None:
            terms = () if list(answer) == [NONE] else tuple(answer)
            self.chosen = [replace(one, brand_terms=terms) for one in self.chosen]
            self._check()

        def read_whether(answer: str) -> None:
            if yes_or_no(answer, no=NONE):
                self.chosen = [replace(one, brand_terms=proposed[one.id]) for one in self.chosen]

        if given is not None or len(self.chosen) == 1:
            default = list(next(iter(proposed.values()), ())) or [NONE]
            self._questions.ask_some(
                "Brand terms, which brand queries contain, or none", default, given, read
            )
            return
        for id_, terms in proposed.items():
            typer.echo(f"  {id_}: {', '.join(terms) or NONE}")
        self._questions.ask("Use these brand terms? (yes, none)", YES, None, read_whether)

    def _queries(self) -> dict[str, list[str]]:
        """The most clicked queries of a recent day, by property; none where they cannot be read."""
        from datetime import timedelta

        from gsc_pipeline.days import pacific_today
        from gsc_pipeline.search_console.errors import SearchConsoleError
        from gsc_pipeline.search_console.requests import PropertyQueries
        from gsc_pipeline.search_console.search_types import QueryType

        day = pacific_today(self._services.clock()) - timedelta(days=QUERIES_AGO)
        found: dict[str, list[str]] = {one: [] for one in self._site_urls}
        with closing(self._services.plain_console(self._source)) as console:
            for site_url in self._site_urls[:MOST_ASKED]:
                try:
                    answer = console.query(site_url, PropertyQueries(QueryType.WEB, day))
                except SearchConsoleError:
                    continue
                found[site_url] = answer.rows["query"].to_pylist()
        return found

    def lake(self, given: str | None) -> None:
        """Ask where the tables are to be. A lake that is there already must be readable."""
        from gsc_pipeline.lake.lake import Lake
        from gsc_pipeline.lake.schemas import SYNC_LEDGER

        def read(answer: str) -> None:
            try:
                self._lake = folder_or_uri(answer)
            except ValueError as error:
                raise SetupError(f"{answer!r}: {error}") from None
            if is_folder(answer):
                _check_folder(Path(answer.removeprefix("file://")))
            Lake(answer).dataset(SYNC_LEDGER)
            env_file(self._settings, self._lake)

        self._questions.ask("Lake: a folder, s3://, gs:// or az://", self._settings.lake, given, read)

    def write(self) -> None:
        """Write `.env` and the workspaces file: both or none. Raises SetupError."""
        from gsc_pipeline.text.files import PRIVATE
        from gsc_pipeline.workspaces.editing import new_file

        file = self._settings.workspaces_file
        files: dict[Path, NewFile] = {}
        # First: a setup that was killed after it can be run again, which the workspaces file would refuse.
        if (variables := env_file(self._settings, self._lake)) is not None:
            files[variables[0]] = NewFile(variables[1], PRIVATE)
        files[file] = NewFile(new_file(self.chosen, file))
        write_all(files)
        self._questions.kept += files
        for path in files:
            typer.echo(f"{path} is written")

    def made(self) -> Services:
        """The services of the settings that were chosen."""
        from gsc_pipeline.bootstrap import Services

        return Services(load_settings(lake=self._lake))

    def _check(self) -> None:
        """Raise ConfigurationError if the file would be invalid."""
        from gsc_pipeline.workspaces.editing import new_file

        new_file(self.chosen, self._settings.workspaces_file)


def _first_sync(services: Services, workspaces: Sequence[Workspace], questions: Questions) -> None:
    """Sync the first days and show what the lake holds. Raises SetupError."""
    from gsc_pipeline.cli.syncing import run_sync
    from gsc_pipeline.cli.tables import print_rows
    from gsc_pipeline.days import Window, pacific_today
    from gsc_pipeline.demo.run import BY_PROPERTY
    from gsc_pipeline.lake.arrow_process import prepare_arrow
    from gsc_pipeline.lake.sql import connect
    from gsc_pipeline.sync.sync_all import SyncFatalError

    prepare_arrow()
    window = Window.last_complete(FIRST_DAYS, pacific_today(services.clock()))

    def sync(answer: str) -> None:
        if not yes_or_no(answer):
            return
        try:
            run_sync(services, workspaces, window)
        except SyncFatalError as error:
            raise SetupError(f"{error}; the files are written: gsc sync tries again") from None

    typer.echo(f"\nSyncing {FIRST_DAYS} days")
    questions.ask("Sync again? (yes, no)", YES, YES, sync)
    with connect(services.lake) as connection:
        result = connection.execute(BY_PROPERTY)
        print_rows([column[0] for column in result.description or ()], result.fetchall())


def _write_reports(services: Services, workspaces: Sequence[Workspace]) -> None:
    """Write the reports. A workspace without data yet has none, and the setup is good all the same."""
    from gsc_pipeline.cli.annotations import own_annotations
    from gsc_pipeline.cli.display import warn
    from gsc_pipeline.lake.annotations.stored import bring_up_to_date
    from gsc_pipeline.report.data import ReportError
    from gsc_pipeline.report.write import Reports, write_report

    bring_up_to_date(services.lake, yours=own_annotations(services))
    how = Reports(services.settings.reports)
    for workspace in workspaces:
        try:
            files = write_report(services.lake, workspace, how, now=services.clock())
        except ReportError as error:
            warn(str(error))
            continue
        typer.echo(files[0].address)


def _print_next_steps(services: Services, workspace_id: str, questions: Questions) -> None:
    from gsc_pipeline.days import months_before, pacific_today

    if ENV_BESIDE in questions.kept:
        typer.echo(f"\n{ENV} is kept as it was: add the lines of {ENV_BESIDE} to it")
    start = months_before(pacific_today(services.clock()), 16)
    typer.echo(
        f"""
Next:
  gsc sync --start {start}    fetch what Search Console still holds, newest days first
  gsc report {workspace_id}    write the report again
  gsc query "SHOW TABLES"    query the tables with SQL
  docs/operations.md    sync every six hours with Dagster"""
    )


def _check_folder(path: Path) -> None:
    """Raise SetupError if no folder can be made there."""
    from gsc_pipeline.monitoring.doctor.machine import nearest

    above = nearest(path.absolute())
    if not above.is_dir():
        raise SetupError(f"{path}: {above} is a file: name a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise SetupError(f"{path}: {above} cannot be written to: name another folder")


def _free(path: Path) -> Path:
    """The path, or one with a number if it exists."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found
