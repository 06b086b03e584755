"""deploy/kubernetes/Dockerfile: what it promises, and its steps run one by one in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gsc_pipeline_tests.docs import ROOT

FILE = ROOT / "deploy" / "kubernetes" / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ONLY_VALIDATED = ("groupadd", "install --directory")
"""The steps that change the system's users and folders, which a test leaves alone."""


@dataclass(frozen=True)
class ImageFile:
    """The instructions of the Dockerfile, one list for each stage, without comments."""

    stages: list[list[tuple[str, str]]]

    @classmethod
    def read(cls) -> ImageFile:
        """The Dockerfile of the project."""
        lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
        instructions = [tuple(line.split(" ", 1)) for line in joined.splitlines() if line]
        starts = [n for n, (name, _) in enumerate(instructions) if name == "FROM"]
        return cls([list(instructions[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)])  # type: ignore[misc]

    def of(self, name: str, stage: int = -1) -> list[str]:
        """The arguments of all instructions of a name in a stage, the last by default."""
        return [rest for one, rest in self.stages[stage] if one == name]

    @property
    def variables(self) -> dict[str, str]:
        """What the image sets in the environment, but for PATH."""
        pairs = [word.partition("=") for rest in self.of("ENV") for word in shlex.split(rest)]
        return {name: value for name, _, value in pairs if name != "PATH"}


IMAGE = ImageFile.read()


def sent() -> set[str]:
    """The names in the checkout that .dockerignore lets the builder read."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return {rule.removeprefix("!") for rule in rules if rule.startswith("!")}


def copied() -> Iterator[tuple[list[str], str]]:
    """What the first stage copies out of the checkout: sources and target."""
    for rest in IMAGE.of("COPY", 0):
        *sources, target = shlex.split(rest)
        yield sources, target


def test_both_stages_start_from_the_same_slim_python_with_a_pinned_tag() -> None:
    bases = [IMAGE.of("FROM", n)[0].split()[0] for n in range(len(IMAGE.stages))]
    (tag,) = {base.removeprefix("python:") for base in bases}
    version = re.fullmatch(r"(3\.\d+)\.\d+-slim-\w+", tag)
    assert version, "Debian's slim image has bash, which the chart starts web server and daemon with"
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]


def test_the_image_runs_as_a_numbered_user_and_starts_what_a_container_asks_for() -> None:
    (user,) = IMAGE.of("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    # A job of the run launcher sets arguments only: an entry point would come before them.
    assert not IMAGE.of("ENTRYPOINT")
    last = [name for name, _ in IMAGE.stages[-1]]
    assert "RUN" not in last[last.index("USER") :]


def test_the_image_is_made_of_the_package_and_the_locked_versions_only() -> None:
    sources = {source for sources, _ in copied() for source in sources}
    assert sources == sent()
    assert all((ROOT / source).exists() for source in sources)
    install = IMAGE.of("RUN", 0)[-1]
    assert "--constraint constraints.txt" in install
    assert "kubernetes" in re.findall(r"\[(\w+)\]", install)[0].split(",")
    assert "kubernetes" in PROJECT["optional-dependencies"]


def test_neither_stage_takes_a_secret() -> None:
    for stage in IMAGE.stages:
        assert not [rest for name, rest in stage if name in ("ARG", "ADD")]
        variables = " ".join(rest for name, rest in stage if name == "ENV")
        assert not re.search(r"PASSWORD|SECRET|TOKEN|KEY|GSC_", variables)


@pytest.mark.slow
@pytest.mark.soak
def test_the_steps_of_the_image_end_in_commands_that_work(tmp_path: Path) -> None:
    build = tmp_path / IMAGE.of("WORKDIR", 0)[0].lstrip("/")
    build.mkdir()
    clean = {
        name: os.environ[name] for name in os.environ if not name.startswith(("GSC_", "DAGSTER", "PYTHON"))
    }
    variables = dict(word.partition("=")[::2] for rest in IMAGE.of("ENV", 0) for word in shlex.split(rest))
    env = {**clean, **variables, "PATH": f"{_plain_python(tmp_path)}{os.pathsep}{os.environ['PATH']}"}
    for sources, target in copied():
        for source in sources:
            to = build / target / ("" if target != source else ".")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, to)
    run = [
        step for stage in (0, -1) for step in IMAGE.of("RUN", stage) if not step.startswith(ONLY_VALIDATED)
    ]
    assert len(run) == 3
    for step in run:
        moved = step.replace("/opt/gsc", str(tmp_path / "opt" / "gsc"))
        done = subprocess.run(
            moved, shell=True, cwd=build, env=env, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{step}\n{done.stderr[-4000:]}"
    # The second stage has the environment alone, without the checkout.
    shutil.rmtree(build)
    programs = tmp_path / "opt" / "gsc" / "bin"
    clean["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    for command in (
        "gsc --help",
        "dagster-webserver --version",
        "dagster-daemon --version",
        "dagster definitions validate -m gsc_pipeline.definitions",
        "python -c 'import dagster_k8s, dagster_postgres, deltalake'",
    ):
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=clean, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr[-4000:]}"
    version = subprocess.run(
        [str(programs / "python"), "-c", "import importlib.metadata as m; print(m.version('dagster'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert f"\ndagster=={version.stdout.strip()}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def _plain_python(folder: Path) -> Path:
    """A folder with `python`, that of the system: it has nothing but the standard library and pip."""
    programs = folder / "python"
    programs.mkdir()
    (programs / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    return programs
