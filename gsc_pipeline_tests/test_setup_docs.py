"""The commands of docs/setup.md, run in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gsc_pipeline.days import ONE_DAY, utc_now
from gsc_pipeline.simulator import SyntheticProperty, write_oauth_client
from gsc_pipeline.simulator.wire.authorization import ACCOUNTS
from gsc_pipeline_tests.cli.test_init_command import ANSWERS
from gsc_pipeline_tests.cli.test_login_command import BROWSER
from gsc_pipeline_tests.docs import ROOT
from gsc_pipeline_tests.keys import write_key
from gsc_pipeline_tests.terminal import terminal
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World

BIN = Path(sys.executable).parent
COMMANDS = re.findall(
    r"^\$ (gsc .+)$", (ROOT / "docs" / "setup.md").read_text(encoding="utf-8"), re.MULTILINE
)
ASKED = [one for one in COMMANDS if one.startswith("gsc init") and "--yes" not in one]

pytestmark = pytest.mark.soak


@pytest.fixture
def served(tmp_path: Path) -> Iterator[World]:
    """A world with the files and properties that the page names."""
    emails = {name: f"{name}@example.com" for name in ("acme", "globex")}
    properties = [
        SyntheticProperty(f"sc-domain:{name}.com", rows_a_day=5, readers=[email, *ACCOUNTS])
        for name, email in emails.items()
    ]
    with World.serving(tmp_path, properties, now=utc_now()) as world:
        (tmp_path / "secrets").mkdir()
        for name, email in emails.items():
            write_key(tmp_path / "secrets" / f"{name}.json", base_url=world.url, client_email=email)
        write_oauth_client(tmp_path / "secrets" / "client.json", base_url=world.url)
        yield world


def environment(world: World) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {"GSC_API_URL": world.url, "GSC_API_LIMIT_FACTOR": "100", "BROWSER": BROWSER, "PATH": path}


@pytest.mark.parametrize("command", ASKED)
def test_a_setup_with_questions_works(served: World, command: str) -> None:
    words = shlex.split(command)
    with terminal([str(BIN / words[0]), *words[1:]], env=environment(served), folder=served.folder) as screen:
        for one in ANSWERS["--key-file" in words :]:
            # The text without the proposal, which depends on the key.
            screen.shows(one["question"].partition(";")[0].partition(" (")[0])
            screen.type(one["answer"])
        code, rest = screen.ends()
    assert code == 0, rest
    assert (served.folder / "reports" / "acme.html").exists()


def test_every_other_command_of_the_page_works_in_its_order(served: World) -> None:
    others = [one for one in COMMANDS if one not in ASKED]
    assert len(others) >= 6
    for command in others:
        recent = re.sub(r"--start \S+", f"--start {served.today - 5 * ONE_DAY}", command)
        done = subprocess.run(
            recent,
            shell=True,
            env={**os.environ, **environment(served)},
            cwd=served.folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert (served.folder / "secrets" / "ann.json").exists()
