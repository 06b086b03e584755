"""`gsc demo`, and other commands in the demonstration's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gsc_pipeline.demo.run import next_steps
from gsc_pipeline_tests.waiting import HANG_SECONDS

GSC = str(Path(sys.executable).with_name("gsc"))
CHECKOUT = Path(__file__).parents[2]


def run(*command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )


@pytest.mark.soak
def test_the_demonstration_runs_in_an_empty_folder_and_ignores_other_settings(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    others = {
        "GSC_LAKE": str(tmp_path / "lake"),
        "GSC_STATE": str(tmp_path / "missing" / "state.db"),
        "GSC_WORKSPACES_FILE": str(tmp_path / "missing.yaml"),
        "DAGSTER_HOME": str(tmp_path / "missing"),
    }
    done = run(GSC, "demo", folder=folder, **others)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    for property_ in ("acme.example", "shop.acme.example", "globex.example", "bluebirdcoffee.example"):
        assert property_ in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert "make up" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "GSC_LAKE=" in line)
    again = run("sh", "-c", line, folder=folder, PATH=f"{Path(GSC).parent}{os.pathsep}{os.environ['PATH']}")
    assert again.returncode == 0, again.stderr
    assert "searchdata_site_impression" in again.stdout
    checked = run(
        sys.executable, "-m", "gsc_pipeline.demo", GSC, "doctor", "--json", folder=folder, DAGSTER_HOME=""
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    of_this_machine = ("disk space", "memory")
    checks = [one for one in json.loads(checked.stdout)["checks"] if one["name"] not in of_this_machine]
    assert len(checks) > 15
    assert [one for one in checks if one["state"] != "ok"] == []


def test_in_a_checkout_the_next_steps_are_its_make_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    assert "make up" in next_steps()


def test_a_command_runs_in_the_demonstrations_environment_and_its_exit_code_is_passed_on(
    tmp_path: Path,
) -> None:
    script = 'echo "$GSC_LAKE $GSC_API_URL $GSC_AUTO_SYNC_DAYS"; exit 3'
    done = run(
        sys.executable, "-m", "gsc_pipeline.demo", "sh", "-c", script, folder=tmp_path, GSC_AUTO_SYNC_DAYS="7"
    )
    assert done.returncode == 3, done.stderr
    lake, url, days = done.stdout.split()
    assert (lake, days) == (str(Path("data") / "demo" / "lake"), "7")
    assert url.startswith("http://127.0.0.1:")
