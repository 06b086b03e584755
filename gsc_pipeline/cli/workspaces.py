"""`gsc workspaces`: lists the workspaces, adds one, and checks what their credentials may read."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsc_pipeline.cli.logs import settings_with_log
from gsc_pipeline.cli.options import AsJson
from gsc_pipeline.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from gsc_pipeline.search_console.auth import CredentialSource
    from gsc_pipeline.search_console.search_types import SearchType

FAILED = 1

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="A service account's key, or what gsc login wrote."),
]
Properties = Annotated[
    list[str] | None,
    typer.Option("--property", metavar="PROPERTY", help="As Search Console spells it; or all."),
]
SearchTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--search-type", metavar="TYPE", help="web, image, video, news, discover, googleNews (web)."
    ),
]
BrandTerms = Annotated[
    list[str] | None, typer.Option("--brand-term", metavar="TEXT", help="What a brand query contains.")
]

workspaces_app = typer.Typer(
    name="workspaces", help="List, add and check workspaces.", no_args_is_help=True, add_completion=False
)


@workspaces_app.command("list")
def list_workspaces(as_json: AsJson = False) -> None:
    """Show the workspaces of the workspaces file."""
    from gsc_pipeline.cli.tables import print_rows
    from gsc_pipeline.workspaces.registry import load_workspaces

    rows = [
        {
            "workspace": one.id,
            "name": one.name,
            "active": one.active,
            "properties": "all" if one.properties is None else list(one.properties),
            "search_types": [kind.value for kind in one.search_types],
            "credential": str(one.credentials),
        }
        for one in load_workspaces(load_settings().workspaces_file)
    ]
    if as_json:
        typer.echo(json.dumps({"workspaces": rows}))
        return
    shown = [[_cell(value) for value in row.values()] for row in rows]
    columns = ["workspace", "name", "active", "properties", "search types", "credential"]
    print_rows(columns, shown, essential=("workspace", "active", "properties"))


@workspaces_app.command()
def add(
    workspace: Annotated[str, typer.Argument(metavar="ID", help="Lower-case letters, digits, hyphens.")],
    properties: Properties = None,
    key_file: KeyFile = None,
    key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="A variable that holds a service account's key.")
    ] = None,
    oauth_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="A variable that holds the text of gsc login's file.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="The name for people (the id).")] = None,
    search_types: SearchTypes = None,
    brand_terms: BrandTerms = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="Add it, and do not sync it yet.")] = False,
) -> None:
    """Add a workspace to the workspaces file, whose comments and order stay."""
    from gsc_pipeline.workspaces.editing import add as add_to
    from gsc_pipeline.workspaces.registry import Workspace

    settings = settings_with_log()
    if not properties:
        raise ConfigurationError("--property", ["missing: name a property, or all"])
    wanted = Workspace(
        id=workspace,
        name=name or workspace,
        credentials=_source(key_file, key_env, oauth_env),
        properties=None if properties == ["all"] else tuple(properties),
        search_types=parse_search_types(search_types or ["web"]),
        brand_terms=tuple(brand_terms or ()),
        active=not inactive,
    )
    add_to(settings.workspaces_file, wanted)
    typer.echo(
        f"{workspace} is in {settings.workspaces_file}. What it may read: gsc workspaces check {workspace}"
    )


@workspaces_app.command()
def check(
    workspaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORKSPACE", help="Workspace ids; all active workspaces by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the API what the credentials may read. Exits with 1 if a property cannot be read."""
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.cli.tables import print_rows
    from gsc_pipeline.search_console.answers import Site
    from gsc_pipeline.workspaces.access import check_access
    from gsc_pipeline.workspaces.registry import load_workspaces, named, select

    settings = settings_with_log()
    services = Services(settings)
    listed = load_workspaces(settings.workspaces_file)
    wanted = [named(listed, one) for one in workspaces] if workspaces else select(listed, ())

    def sites(source: CredentialSource) -> list[Site]:
        with closing(services.console_of(source)) as console:
            return console.sites()

    found = check_access(wanted, sites)
    is_good = all(one.is_good for one in found)
    if as_json:
        typer.echo(json.dumps({"ok": is_good, "workspaces": [one.as_json() for one in found]}))
    else:
        rows = [
            (one.workspace, each.site_url, each.permission or "none", each.next_step)
            for one in found
            for each in one.properties
        ]
        rows += [(one.workspace, "", "unknown", one.error) for one in found if one.error]
        print_rows(["workspace", "property", "permission", "next step"], rows)
    if not is_good:
        sys.exit(FAILED)


def parse_search_types(names: Sequence[str]) -> tuple[SearchType, ...]:
    """The search types of these names, as the API spells them. Raises ConfigurationError."""
    from gsc_pipeline.search_console.search_types import SEARCH_TYPES

    known = {one.value: one for one in SEARCH_TYPES}
    for name in names:
        if name not in known:
            raise ConfigurationError("--search-type", [f"{name!r}: expected one of {', '.join(known)}"])
    return tuple(known[name] for name in dict.fromkeys(names))


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else value


def _source(key_file: Path | None, key_env: str | None, oauth_env: str | None) -> CredentialSource:
    from gsc_pipeline.search_console.auth import OAuthEnvironment, ServiceAccountEnvironment, source_in
    from gsc_pipeline.search_console.errors import CredentialUnusableError
    from gsc_pipeline.search_console.sign_in import is_client_file

    if sum(one is not None for one in (key_file, key_env, oauth_env)) != 1:
        raise ConfigurationError("add", ["expected exactly one of --key-file, --key-env, --oauth-env"])
    if key_env is not None:
        return ServiceAccountEnvironment(key_env)
    if key_file is None:
        return OAuthEnvironment(str(oauth_env))
    try:
        if is_client_file(key_file):
            step = f"sign in first: gsc login --client {key_file}"
            raise ConfigurationError("--key-file", [f"{key_file} is an OAuth client, not a key; {step}"])
        return source_in(key_file)
    except CredentialUnusableError as error:
        raise ConfigurationError("--key-file", [error.cause]) from None
