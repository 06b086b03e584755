"""Versions that stand in several files of the repository agree."""

from __future__ import annotations

import re
import tomllib

import yaml

from gsc_pipeline.lake.process_memory import VARIABLES
from gsc_pipeline_tests.docs import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_pre_commit_and_make_check_run_the_same_ruff() -> None:
    (hook,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert f"ruff=={hook['rev'].removeprefix('v')}\n" in text("constraints.txt")


def test_the_newest_section_of_the_changelog_is_this_version() -> None:
    sections = re.findall(r"^## \[(.+?)\]", text("CHANGELOG.md"), re.MULTILINE)
    assert sections[:2] == ["Unreleased", PROJECT["version"]]


def test_the_supported_pythons_are_the_same_everywhere() -> None:
    (job,) = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    classifier = "Programming Language :: Python :: 3."
    named = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if one.startswith(classifier)]
    assert named == PYTHONS
    assert PROJECT["requires-python"] == ">=3.11,<3.15"
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in text("Makefile")
    for page in ("README.md", "CONTRIBUTING.md"):
        assert "Python 3.11 to 3.14" in text(page)


def test_decisions_are_numbered_one_after_another() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("0*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_deployments_set_the_variables_that_the_command_sets_for_its_memory() -> None:
    for name, value in VARIABLES.items():
        assert f"{name}={value}" in text("deploy/kubernetes/Dockerfile").replace(" ", "\n").splitlines()
        assert f"{name}={value}" in text("deploy/celery/gsc.env").splitlines()
