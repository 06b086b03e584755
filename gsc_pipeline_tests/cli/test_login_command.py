"""`gsc login` in processes of its own, and what a workspace with its file does when the sign-in ends."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3

from gsc_pipeline.days import utc_now
from gsc_pipeline.simulator import SyntheticProperty, write_oauth_client
from gsc_pipeline.simulator.wire.authorization import ACCOUNTS
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.consent import consent
from gsc_pipeline_tests.docs import ROOT
from gsc_pipeline_tests.terminal import terminal
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World

GSC = str(Path(sys.executable).with_name("gsc"))
BROWSER = f"{sys.executable} {ROOT / 'gsc_pipeline_tests' / 'consent.py'} %s"
"""A browser that consents, for the variable BROWSER. The command waits for it, as for one in a terminal."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose property the simulator's account can read, an OAuth client, and a workspace for it."""
    monkeypatch.chdir(tmp_path)
    properties = [SyntheticProperty("sc-domain:acme.com", rows_a_day=5, readers=ACCOUNTS)]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        write_oauth_client(tmp_path / "client_secret.json", base_url=world.url)
        yield world


def environment(world: World) -> dict[str, str]:
    entry = {"id": "acme", "properties": "all", "credentials": {"oauth_file": "secrets/acme.json"}}
    return world.environment(entry)


def login(world: World, *options: str, **process: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GSC, "login", *options],
        env={**os.environ, **environment(world), "BROWSER": BROWSER, "GSC_LOG_LEVEL": "debug"},
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        **process,  # type: ignore[call-overload]
    )


@contextmanager
def signing_in(env: dict[str, str], *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, which waits for an answer, and the address that it prints."""
    with subprocess.Popen(
        [GSC, "login", *options],
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, next(line for line in process.stdout if line.startswith("http")).strip()


def refresh_tokens(world: World) -> list[str]:
    return [
        call.body["refresh_token"] for call in world.simulator.calls if "refresh_token" in (call.body or {})
    ]


def test_a_workspace_syncs_after_a_sign_in_and_says_how_to_sign_in_again_when_it_is_revoked(
    served: World, gsc: Gsc
) -> None:
    env = environment(served)
    done = login(served, "--out", "secrets/acme.json")
    assert done.returncode == 0, done.stderr
    file = Path("secrets/acme.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "sc-domain:acme.com" in done.stdout
    assert gsc("sync", "--days", "1", env=env).code == 0

    token = refresh_tokens(served)[0]
    assert token not in done.stdout + done.stderr
    form = urlencode({"token": token})
    revoked = urllib3.request("POST", f"{served.url}/revoke", body=form, retries=False)
    assert revoked.status == 200
    for _ in range(2):
        failed = gsc("sync", "--days", "1", env=env | {"GSC_BREAKER_FAILURES": "1"})
        assert failed.code == 1
        line = failed.err.splitlines()[-1]
        assert line.startswith("gsc: no workspace could be synced: acme: ")
        assert line.endswith(
            "answered 400 (invalid_grant): Token has been expired or revoked; "
            f"sign in again: gsc login --out {Path(env['GSC_WORKSPACES_FILE']).parent}/secrets/acme.json"
        )
        assert token not in failed.err
    assert "Open circuits" not in gsc("status", env=env).out

    # The command that the error names. The client is that of the file.
    Path("client_secret.json").unlink()
    assert login(served, "--out", "secrets/acme.json").returncode == 0
    assert gsc("sync", "--days", "1", env=env).code == 0


def test_without_a_browser_the_address_is_printed_and_the_redirect_is_pasted(served: World) -> None:
    with signing_in(environment(served), "--no-browser", "--out", "secrets/acme.json") as (process, address):
        another = "http://127.0.0.1:49151/?code=c&state=guessed"
        _, errors = process.communicate(f"{another}\n{consent(address)}\n", timeout=HANG_SECONDS)
    assert process.returncode == 0, errors
    assert errors == "gsc: warning: this address does not belong to this sign-in: its state differs\n"
    assert Path("secrets/acme.json").exists()


@pytest.mark.soak
def test_without_an_answer_nothing_is_written(served: World) -> None:
    done = login(served, "--no-browser", "--out", "secrets/acme.json", stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "gsc: no address was given: sign in again" in done.stderr
    assert not Path("secrets").exists()


@pytest.mark.soak
@pytest.mark.parametrize("option", [(), ("--no-browser",)], ids=["browser", "no browser"])
def test_an_interrupt_while_it_waits_writes_nothing(served: World, option: tuple[str, ...]) -> None:
    env = environment(served) | {"BROWSER": "true"}
    with terminal([GSC, "login", *option], env=env, folder=Path()) as screen:
        screen.shows("code_challenge_method=S256")
        screen.interrupt(None)
        code, rest = screen.ends()
    assert code == 130
    assert "Traceback" not in rest
    assert not Path("secrets").exists()


def test_a_second_account_needs_a_file_of_its_own(served: World, gsc: Gsc) -> None:
    Path("secrets").mkdir()
    Path("secrets/google.json").write_text('{"refresh_token": "kept"}')
    done = gsc("login", env=environment(served))
    assert (done.code, done.err) == (
        2,
        "gsc: --out: secrets/google.json exists: name another file, or --out secrets/google.json to replace "
        "that sign-in\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--client", "none.json"), 2, "--client: none.json does not exist: create an OAuth client"),
        (("--client", "notes.json"), 1, "is not a JSON key as Google issues it: docs/setup.md says"),
        (("--out", "notes.json"), 1, "is not a JSON key as Google issues it: name another file with --out"),
        (("--out", "acme-key.json"), 1, "acme-key.json was not written by gsc login and is kept"),
        (("--client", "acme-key.json"), 1, "OAuth client file acme-key.json holds no OAuth client"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    served: World, gsc: Gsc, arguments: tuple[str, ...], code: int, text: str
) -> None:
    Path("notes.json").write_text("notes")
    Path("notes.json").chmod(0o600)
    served.environment()
    before = {path: path.read_bytes() for path in served.folder.iterdir() if path.is_file()}
    done = gsc("login", *arguments, env=environment(served))
    assert done.code == code
    assert text in done.err
    assert done.err.count("\n") == 1
    after = {path: path.read_bytes() for path in served.folder.iterdir() if path in before}
    assert {path.name for path in after if after[path] != before[path]} <= {"workspaces.yaml"}


def test_a_client_of_a_stranger_is_not_used(served: World, gsc: Gsc) -> None:
    google = environment(served) | {"GSC_API_URL": "https://searchconsole.googleapis.com/"}
    done = gsc("login", env=google)
    assert done.code == 1
    assert "names a token_uri at 127.0.0.1, which is neither Google's nor in GSC_TOKEN_URIS" in done.err
