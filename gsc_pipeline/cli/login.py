"""`gsc login`: a sign-in with Google, whose refresh token goes into a file."""

from __future__ import annotations

import threading
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsc_pipeline.cli.logs import settings_with_log
from gsc_pipeline.settings import ConfigurationError

if TYPE_CHECKING:
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.search_console.auth import OAuthFile
    from gsc_pipeline.search_console.sign_in import OAuthClient
    from gsc_pipeline.search_console.transport import Transport

CLIENT = Path("client_secret.json")
"""The client's file if none is named."""

OUT = Path("secrets/google.json")
"""Where the refresh token goes if no place is named."""

# A reserved port, on which nothing listens. Google accepts any port of the loopback address.
_UNUSED_ADDRESS = "http://127.0.0.1:49151/"

NoBrowser = Annotated[
    bool,
    typer.Option("--no-browser", help="Print the address, and read what the browser shows in the end."),
]


def login(
    client: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Your OAuth client, as Google issues it ({CLIENT}; or the client of an existing --out).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"Where the refresh token goes ({OUT}).")
    ] = None,
    no_browser: NoBrowser = False,
) -> None:
    """Sign in with Google in the browser, and write a credential for a workspace's oauth_file."""
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.search_console.sign_in import check_target

    services = Services(settings_with_log())
    if out is None and OUT.exists():
        raise ConfigurationError(
            "--out", [f"{OUT} exists: name another file, or --out {OUT} to replace that sign-in"]
        )
    target = out or OUT
    check_target(target)
    if client is None:
        client = target if target.exists() else CLIENT
    if not client.exists():
        raise ConfigurationError(
            "--client", [f"{client} does not exist: create an OAuth client (docs/setup.md) and name its file"]
        )
    source = sign_in(services, client, target, with_browser=not no_browser)
    typer.echo(
        f"{target} holds the refresh token. In a workspace: credentials: {{oauth_file: {target}}}, or\n"
        f"  gsc workspaces add ID --key-file {target} --property PROPERTY"
    )
    _print_properties(services, source)


def sign_in(services: Services, client_file: Path, target: Path, *, with_browser: bool) -> OAuthFile:
    """Sign a person in with the client in the file, and write the credential to `target`.

    Raises SignInError, and CredentialError for an unusable client.
    """
    from gsc_pipeline.search_console.auth import OAuthFile
    from gsc_pipeline.search_console.errors import CredentialError
    from gsc_pipeline.search_console.sign_in import SignInError, read_client, write_credential
    from gsc_pipeline.search_console.transport import Transport

    try:
        client = read_client(client_file, services.token_endpoints)
    except CredentialError as error:
        raise SignInError(f"{error.cause}: docs/setup.md says how to create an OAuth client") from None
    with closing(Transport(services.transport_limits)) as transport:
        credential = (_in_browser if with_browser else _by_hand)(services, client, transport)
    write_credential(target, credential)
    return OAuthFile(target)


def _in_browser(services: Services, client: OAuthClient, transport: Transport) -> dict[str, str]:
    from gsc_pipeline.search_console.loopback import loopback
    from gsc_pipeline.search_console.sign_in import SignIn

    with loopback() as listener:
        attempt = SignIn(client, listener.redirect_uri)
        typer.echo(
            "Opening your browser. If none opens, open this address in a browser on this machine; on a "
            f"server, use --no-browser.\n{attempt.address}"
        )
        # In a thread, because a browser that runs in the terminal blocks the call.
        threading.Thread(target=webbrowser.open, args=(attempt.address,), daemon=True).start()
        return listener.receive(attempt, lambda code: attempt.credential(code, transport, services.clock()))


def _by_hand(services: Services, client: OAuthClient, transport: Transport) -> dict[str, str]:
    from gsc_pipeline.cli.display import warn
    from gsc_pipeline.search_console.sign_in import ForeignRedirectError, SignIn, SignInError

    attempt = SignIn(client, _UNUSED_ADDRESS)
    typer.echo(
        f"Open this address in any browser:\n{attempt.address}\n"
        "In the end the browser shows an address that it cannot open, beginning with "
        f"{_UNUSED_ADDRESS}. Paste that address, or the code in it."
    )
    while True:
        try:
            text = input("Address or code: ")
        except EOFError:
            raise SignInError("no address was given: sign in again") from None
        try:
            code = attempt.code_typed(text)
        except ForeignRedirectError as error:
            warn(str(error))
            continue
        return attempt.credential(code, transport, services.clock())


def _print_properties(services: Services, source: OAuthFile) -> None:
    """Print what the account may read. The sign-in is good also if the API cannot be asked now."""
    from gsc_pipeline.cli.display import warn
    from gsc_pipeline.cli.tables import print_rows
    from gsc_pipeline.search_console.errors import SearchConsoleError

    try:
        with closing(services.plain_console(source)) as console:
            sites = console.sites()
    except SearchConsoleError as error:
        warn(f"the account's properties are unknown: {error}")
        return
    print_rows(["property", "permission"], [(site.site_url, site.permission) for site in sites])
