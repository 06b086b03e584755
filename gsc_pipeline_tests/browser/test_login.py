"""`gsc login` in a real browser, from the consent page to the page that says what happened."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gsc_pipeline.days import utc_now
from gsc_pipeline.search_console.auth import OAuthFile
from gsc_pipeline.simulator import SyntheticProperty, write_oauth_client
from gsc_pipeline.simulator.wire.authorization import ACCOUNTS
from gsc_pipeline_tests.browser.chromium import NEEDS_BROWSER, SCREENSHOTS, launched
from gsc_pipeline_tests.cli.test_login_command import signing_in
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FILE = Path("secrets/acme.json")
OTHER = "second@example.com"

pytestmark = [pytest.mark.soak, NEEDS_BROWSER]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    properties = [
        SyntheticProperty("sc-domain:acme.com", rows_a_day=5, readers=ACCOUNTS),
        SyntheticProperty("sc-domain:second.com", rows_a_day=5, readers=[OTHER]),
    ]
    with World.serving(tmp_path, properties, now=utc_now(), accounts=(*ACCOUNTS, OTHER)) as world:
        write_oauth_client(tmp_path / "client_secret.json", base_url=world.url)
        yield world


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with launched() as browser:
        yield browser.new_page()


@contextmanager
def login(world: World, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it opens: in no browser but the test's."""
    env = {**world.environment(), "BROWSER": "true"}
    with signing_in(env, "--out", str(FILE), *options) as (process, address):
        yield process, address


def outcome(process: subprocess.Popen[str], typed: str = "") -> tuple[int, str, str]:
    out, errors = process.communicate(typed, timeout=HANG_SECONDS)
    return process.returncode, out, errors


def test_allowing_the_access_writes_the_file_and_the_page_says_so(served: World, page: Any) -> None:
    with login(served) as (process, address):
        page.goto(address)
        page.screenshot(path=SCREENSHOTS / "login_consent.png")
        page.get_by_label(OTHER).check()
        page.get_by_role("button", name="Allow").click()
        playwright.expect(page.get_by_text("You are signed in")).to_be_visible()
        page.screenshot(path=SCREENSHOTS / "login_done.png")
        code, out, errors = outcome(process)
    assert (code, errors) == (0, "")
    assert "sc-domain:second.com" in out
    assert "sc-domain:acme.com" not in out
    assert stat.S_IMODE(FILE.stat().st_mode) == 0o600
    # Reloading the page sends the same redirect again. Nobody listens any more.
    with pytest.raises(playwright.Error, match="ERR_CONNECTION_REFUSED"):
        page.reload()
    workspace = replace(served.workspace(properties=None), credentials=OAuthFile(FILE))
    assert not served.sync(workspace, served.last(1)).problems


def test_cancelling_is_an_error_and_the_page_says_so(served: World, page: Any) -> None:
    with login(served) as (process, address):
        page.goto(address)
        page.get_by_role("button", name="Cancel").click()
        playwright.expect(page.get_by_text("The sign-in failed; the terminal says why")).to_be_visible()
        code, _, errors = outcome(process)
    assert code == 1
    assert "refused (access_denied): sign in again, and allow the access" in errors
    assert not FILE.exists()


def test_a_page_of_a_stranger_cannot_answer_the_sign_in(served: World, page: Any) -> None:
    with login(served) as (process, address):
        redirect = address.partition("redirect_uri=")[2].partition("&")[0]
        redirect = redirect.replace("%3A", ":").replace("%2F", "/")
        page.goto(f"{redirect}?state=guessed&code=4/0stolen")
        playwright.expect(page.get_by_text("not the answer to a sign-in")).to_be_visible()
        page.goto(address)
        page.get_by_role("button", name="Allow").click()
        playwright.expect(page.get_by_text("You are signed in")).to_be_visible()
        assert outcome(process)[0] == 0


def test_without_a_browser_the_address_that_the_browser_ends_at_is_pasted(served: World, page: Any) -> None:
    with login(served, "--no-browser") as (process, address):
        page.goto(address)
        # Nothing listens at the redirect: the address is all that the person gets.
        with page.expect_request(lambda request: request.url.startswith("http://127.0.0.1:49151/")) as ended:
            page.get_by_role("button", name="Allow").click()
        assert outcome(process, f"{ended.value.url}\n")[0] == 0
    assert FILE.exists()
