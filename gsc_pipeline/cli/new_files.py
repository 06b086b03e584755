"""The files of a setup: all are written or none, and no existing file is replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from gsc_pipeline.cli.questions import SetupError
from gsc_pipeline.settings import Settings
from gsc_pipeline.text.files import write_new

ENV = Path(".env")
ENV_BESIDE = Path(".env.gsc")


@dataclass(frozen=True, slots=True)
class NewFile:
    """The text and the mode of a file that does not exist yet."""

    text: str
    mode: int = 0o644


def env_file(settings: Settings, lake: str) -> tuple[Path, str] | None:
    """The file that the settings need, and its text: `.env`, or one beside it if that exists, which is kept.

    None if the existing `.env` has all the settings. Raises SetupError if the file beside it exists too, and
    for a value that such a file cannot hold.
    """
    wanted = {"GSC_WORKSPACES_FILE": str(settings.workspaces_file), "GSC_LAKE": lake}
    if settings.api_url != _default("api_url"):
        wanted["GSC_API_URL"] = settings.api_url
    path = ENV
    if ENV.exists():
        known = _variables(ENV.read_text(encoding="utf-8"))
        in_force = {
            "GSC_WORKSPACES_FILE": str(_default("workspaces_file")),
            "GSC_LAKE": _default("lake"),
        } | known
        wanted = {name: value for name, value in wanted.items() if in_force.get(name) != value}
        path = ENV_BESIDE
    if not wanted:
        return None
    if path.exists():
        raise SetupError(
            f"{path} exists and is kept: add its lines to {ENV} or remove it, then run gsc init again"
        )
    text = "".join(_assignment(name, value) for name, value in wanted.items())
    if _variables(text) != wanted:
        raise SetupError(f"{lake!r}: .env cannot hold these characters: name another lake")
    return path, text


def write_all(files: Mapping[Path, NewFile]) -> None:
    """Write the files in their order. If one exists or fails, none is written: raises SetupError."""
    for path in files:
        if path.exists():
            raise SetupError(f"{path} exists and is kept; nothing was written")
    try:
        for path, file in files.items():
            write_new(path, file.text, mode=file.mode)
    except BaseException as error:
        for other, file in files.items():
            # Not one that somebody else has made at the same moment.
            if other.is_file() and other.read_text(encoding="utf-8") == file.text:
                other.unlink()
        if isinstance(error, OSError):
            cause = error.strerror or "it exists"
            raise SetupError(f"{path} cannot be written ({cause}); nothing was written") from None
        raise


def _default(field: str) -> object:
    return Settings.model_fields[field].default


def _assignment(name: str, value: str) -> str:
    if not re.fullmatch(r"[\w./:@%+,-]*", value):
        value = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return f"{name}={value}\n"


def _variables(text: str) -> dict[str, str | None]:
    return dict(dotenv_values(stream=StringIO(text)))
