"""`gsc init`: from a key file to the first report, by questions whose answers are options too."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gsc_pipeline.cli.login import NoBrowser, sign_in
from gsc_pipeline.cli.logs import settings_with_log
from gsc_pipeline.cli.workspaces import BrandTerms, KeyFile, Properties, SearchTypes, parse_search_types
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.settings import ConfigurationError, Settings, folder_or_uri, is_folder, load_settings

if TYPE_CHECKING:
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.search_console.answers import Site
    from gsc_pipeline.search_console.auth import CredentialSource
    from gsc_pipeline.workspaces.registry import Workspace

T = TypeVar("T")

FIRST_DAYS = 3
"""The days that the first sync reads."""

QUERIES_AGO = 4
"""The day whose queries brand terms are proposed from, in days before today: it is final."""

MOST_ASKED = 10
"""The most properties whose queries are asked for."""

EACH = "each"
YES, NO, NONE = "yes", "no", "none"


class InitError(PipelineError):
    """A step of the setup failed."""


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
        raise ConfigurationError("--yes", ["missing: without a terminal nothing can be asked"])
    if yes and key_file is None:
        raise ConfigurationError("--key-file", ["missing: with --yes nothing is asked"])
    settings = settings_with_log()
    questions = Questions(is_interactive=not yes)
    setup = Setup(settings, questions)
    setup.refuse_existing()
    with questions.interruptible():
        setup.credential([str(key_file)] if key_file else None, with_browser=not no_browser)
        setup.properties(properties)
        setup.workspaces([EACH] if one_each else [workspace] if workspace else None)
        setup.search_types(search_types)
        setup.brand_terms(brand_terms)
        setup.lake(None if lake is None else [lake])
        setup.write()
        made = setup.made()
        _first_sync(made, setup.chosen, questions)
        wants = None if report is None else [YES if report else NO]
        if questions.ask("Write a report now? (yes, no)", [YES], wants, _yes_or_no):
            _write_reports(made, setup.chosen)
    _print_next_steps(made, setup)


class Questions:
    """Asks at the terminal, or takes options and defaults. `kept` are the files that exist already."""

    def __init__(self, *, is_interactive: bool) -> None:
        self.is_interactive = is_interactive
        self.kept: list[Path] = []

    def ask(
        self,
        question: str,
        default: Sequence[str],
        given: Sequence[str] | None,
        read: Callable[[list[str]], T],
    ) -> T:
        """What `read` makes of the answer, a list of texts.

        An answer that `read` refuses is explained and asked for again; where nothing is asked, it is an
        error.
        """
        from gsc_pipeline.cli.display import warn
        from gsc_pipeline.search_console.errors import SearchConsoleError

        answer = given if given is not None or self.is_interactive else default
        while True:
            if answer is None:
                answer = self._typed(question, default)
            try:
                return read(list(answer))
            except (PipelineError, SearchConsoleError) as error:
                if not self.is_interactive:
                    raise InitError(str(error)) from None
                warn(str(error))
                default, answer = default or answer, None

    @staticmethod
    def _typed(question: str, default: Sequence[str]) -> list[str]:
        from rich.markup import escape
        from rich.prompt import Prompt

        shown: Any = ", ".join(default) if default else ...
        try:
            text = Prompt.ask(escape(question), default=shown)
        except EOFError:
            raise KeyboardInterrupt from None
        return [part.strip() for part in text.split(",") if part.strip()]

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Say what is written if the questions are interrupted."""
        try:
            yield
        except KeyboardInterrupt:
            kept = f"kept: {', '.join(map(str, self.kept))}" if self.kept else "nothing was written"
            typer.echo(f"\ngsc: interrupted; {kept}", err=True)
            raise


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

    def refuse_existing(self) -> None:
        """Raise InitError if there is a workspaces file."""
        file = self._settings.workspaces_file
        if file.exists():
            raise InitError(
                f"{file} exists and is kept: gsc workspaces add adds to it, or run gsc init in another folder"
            )

    def credential(self, given: Sequence[str] | None, *, with_browser: bool) -> None:
        """Ask for the credential, and the API for what it may read."""
        typer.echo(
            "A key file is a service account's key, an OAuth client's file to sign in with, or the file of "
            "an earlier gsc login.\ndocs/setup.md says how to create one in the Google Cloud console."
        )

        def read(answer: list[str]) -> None:
            # A path may hold commas.
            source = self._source_in(Path(", ".join(answer)).expanduser(), with_browser=with_browser)
            with closing(self._services.plain_console(source)) as console:
                sites = console.sites()
            if not any(site.is_readable for site in sites):
                from gsc_pipeline.workspaces.access import how_to_add

                raise InitError(f"{source} may read no property; {how_to_add(source)}; then try again")
            self._source, self._sites = source, sites

        self._questions.ask("Key file", [], given, read)

    def _source_in(self, path: Path, *, with_browser: bool) -> CredentialSource:
        from gsc_pipeline.search_console.auth import source_in
        from gsc_pipeline.search_console.sign_in import is_client_file

        if not path.name:
            raise InitError("expected the path of a key file")
        if not path.exists():
            raise InitError(f"{path} does not exist: name a key file")
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

        def read(answer: list[str]) -> None:
            if answer == ["all"]:
                self._site_urls = readable
                return
            numbered = {str(number): site_url for number, site_url in enumerate(readable, 1)}
            chosen = [numbered.get(one, one) for one in answer]
            wrong = [one for one in chosen if one not in readable]
            if wrong or not chosen:
                raise InitError(
                    f"{', '.join(wrong) or 'nothing'}: expected all, or some of {', '.join(readable)}"
                )
            self._site_urls = list(dict.fromkeys(chosen))

        self._questions.ask("Properties: all, or their numbers", ["all"], given, read)

    def workspaces(self, given: Sequence[str] | None) -> None:
        """Ask for the id of the workspace, or for one workspace for each property."""
        from gsc_pipeline.workspaces.proposals import workspace_id

        def read(answer: list[str]) -> None:
            if answer != [EACH]:
                self.chosen = [self._workspace(" ".join(answer), self._site_urls)]
                self._check()
                return
            found: list[Workspace] = []
            for site_url in self._site_urls:
                id_ = workspace_id(site_url, [one.id for one in found])
                found.append(self._workspace(id_, [site_url]))
            self.chosen = found

        several = "; or each, for a workspace for each property" if len(self._site_urls) > 1 else ""
        self._questions.ask(f"Id of the workspace{several}", [workspace_id(self._site_urls[0])], given, read)

    def _workspace(self, id_: str, site_urls: Sequence[str]) -> Workspace:
        from gsc_pipeline.search_console.search_types import QueryType
        from gsc_pipeline.workspaces.registry import Workspace

        return Workspace(id_, id_, self._source, tuple(site_urls), (QueryType.WEB,))

    def search_types(self, given: Sequence[str] | None) -> None:
        """Ask which search types to sync."""
        from dataclasses import replace

        def read(answer: list[str]) -> None:
            types = parse_search_types(answer)
            self.chosen = [replace(one, search_types=types) for one in self.chosen]
            self._check()

        question = "Search types (web, image, video, news, discover, googleNews)"
        self._questions.ask(question, ["web"], given, read)

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
        is_one = len(self.chosen) == 1

        def read(answer: list[str]) -> None:
            terms = dict.fromkeys([one.id for one in self.chosen], () if answer == [NONE] else tuple(answer))
            if given is None and not is_one:
                terms = proposed if _yes_or_no(answer, no=NONE) else dict.fromkeys(proposed, ())
            self.chosen = [replace(one, brand_terms=terms[one.id]) for one in self.chosen]

        if is_one:
            default = list(next(iter(proposed.values()), ())) or [NONE]
            self._questions.ask("Brand terms, which brand queries contain, or none", default, given, read)
            return
        for id_, terms in proposed.items():
            typer.echo(f"  {id_}: {', '.join(terms) or 'none'}")
        self._questions.ask("Use these brand terms? (yes, none)", [YES], given, read)

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

    def lake(self, given: Sequence[str] | None) -> None:
        """Ask where the tables are to be."""

        def read(answer: list[str]) -> None:
            place = ", ".join(answer)
            try:
                self._lake = folder_or_uri(place)
            except ValueError as error:
                raise InitError(f"{place!r}: {error}") from None
            if is_folder(place):
                _check_folder(Path(place.removeprefix("file://")))

        self._questions.ask("Lake: a folder, s3://, gs:// or az://", [self._settings.lake], given, read)

    def write(self) -> None:
        """Write the workspaces file and `.env`: all of them or none. Raises InitError."""
        from gsc_pipeline.text.files import PRIVATE, write_new
        from gsc_pipeline.workspaces.editing import new_file

        file = self._settings.workspaces_file
        texts: dict[Path, tuple[str, int]] = {}
        # First: a setup that was killed after it can be run again, which the workspaces file would refuse.
        if (variables := self._env_file()) is not None:
            texts[variables[0]] = (variables[1], PRIVATE)
        texts[file] = (new_file(self.chosen, file), 0o644)
        for path in texts:
            if path.exists():
                raise InitError(f"{path} exists and is kept; nothing was written")
        try:
            for path, (text, mode) in texts.items():
                write_new(path, text, mode=mode)
        except BaseException as error:
            for other, (text, _) in texts.items():
                # Not one that somebody else has made at the same moment.
                if other.is_file() and other.read_text(encoding="utf-8") == text:
                    other.unlink()
            if isinstance(error, OSError):
                cause = error.strerror or "it exists"
                raise InitError(f"{path} cannot be written ({cause}); nothing was written") from None
            raise
        self._questions.kept += texts
        for path in texts:
            typer.echo(f"{path} is written")

    def _env_file(self) -> tuple[Path, str] | None:
        """The file for the settings, and its text. Beside an existing `.env`, which is kept."""
        settings = self._settings
        wanted = {"GSC_WORKSPACES_FILE": str(settings.workspaces_file), "GSC_LAKE": self._lake}
        if settings.api_url != Settings.model_fields["api_url"].default:
            wanted["GSC_API_URL"] = settings.api_url
        path = Path(".env")
        if path.exists():
            known = _variables(path.read_text(encoding="utf-8"))
            wanted = {name: value for name, value in wanted.items() if known.get(name) != value}
            if self._lake == Settings.model_fields["lake"].default and "GSC_LAKE" not in known:
                wanted.pop("GSC_LAKE", None)
            if settings.workspaces_file == Path("workspaces.yaml"):
                wanted.pop("GSC_WORKSPACES_FILE", None)
            if not wanted:
                return None
            path = Path(".env.gsc")
        text = "".join(_assignment(name, value) for name, value in wanted.items())
        if _variables(text) != wanted:
            raise InitError("a setting holds characters that .env cannot hold: choose another lake")
        return path, text

    def made(self) -> Services:
        """The services of the settings that were chosen."""
        from gsc_pipeline.bootstrap import Services

        return Services(load_settings(lake=self._lake))

    def beside(self) -> Path | None:
        """The file with settings that `.env` lacks, if one was written."""
        return next((one for one in self._questions.kept if one.name == ".env.gsc"), None)

    def _check(self) -> None:
        """Raise ConfigurationError if the file would be invalid."""
        from gsc_pipeline.workspaces.editing import new_file

        new_file(self.chosen, self._settings.workspaces_file)


def _first_sync(services: Services, workspaces: Sequence[Workspace], questions: Questions) -> None:
    """Sync the first days and show what the lake holds. Raises InitError."""
    from gsc_pipeline.cli.syncing import run_sync
    from gsc_pipeline.cli.tables import print_rows
    from gsc_pipeline.days import Window, pacific_today
    from gsc_pipeline.demo.run import BY_PROPERTY
    from gsc_pipeline.lake.arrow_process import prepare_arrow
    from gsc_pipeline.lake.sql import connect
    from gsc_pipeline.sync.sync_all import SyncFatalError

    prepare_arrow()
    window = Window.last_complete(FIRST_DAYS, pacific_today(services.clock()))

    def sync(answer: list[str]) -> None:
        if not _yes_or_no(answer):
            return
        try:
            run_sync(services, workspaces, window)
        except SyncFatalError as error:
            raise InitError(f"{error}; the files are written: gsc sync tries again") from None

    typer.echo(f"\nSyncing {FIRST_DAYS} days")
    questions.ask("Sync again? (yes, no)", [YES], [YES], sync)
    with connect(services.lake) as connection:
        result = connection.execute(BY_PROPERTY)
        print_rows([column[0] for column in result.description or ()], result.fetchall())


def _write_reports(services: Services, workspaces: Sequence[Workspace]) -> None:
    """Write the reports. A workspace without data yet has none, and the setup is good all the same."""
    from gsc_pipeline.cli.display import warn
    from gsc_pipeline.report.data import ReportError
    from gsc_pipeline.report.write import write_report

    for workspace in workspaces:
        try:
            files = write_report(services.lake, workspace, services.settings.reports, now=services.clock())
        except ReportError as error:
            warn(str(error))
            continue
        typer.echo(files[0].address)


def _print_next_steps(services: Services, setup: Setup) -> None:
    from gsc_pipeline.days import months_before, pacific_today

    if (beside := setup.beside()) is not None:
        typer.echo(f"\n.env is kept as it was: add the lines of {beside} to it")
    start = months_before(pacific_today(services.clock()), 16)
    typer.echo(
        f"""
Next:
  gsc sync --start {start}    fetch what Search Console still holds, newest days first
  gsc report {setup.chosen[0].id}    write the report again
  gsc query "SHOW TABLES"    query the tables with SQL
  docs/operations.md    sync every six hours with Dagster"""
    )


def _yes_or_no(answer: list[str], *, no: str = NO) -> bool:
    word = " ".join(answer).lower()
    if word not in (YES, "y", no, NO, "n"):
        raise InitError(f"{word!r}: expected {YES} or {no}")
    return word in (YES, "y")


def _check_folder(path: Path) -> None:
    """Raise InitError if no folder can be made there."""
    above = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not above.is_dir():
        raise InitError(f"{path}: {above} is a file: name a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InitError(f"{path}: {above} cannot be written to: name another folder")


def _free(path: Path) -> Path:
    """The path, or one with a number if it exists."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def _assignment(name: str, value: str) -> str:
    if not re.fullmatch(r"[\w./:@%+,-]*", value):
        value = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return f"{name}={value}\n"


def _variables(text: str) -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dict(dotenv_values(stream=StringIO(text)))
