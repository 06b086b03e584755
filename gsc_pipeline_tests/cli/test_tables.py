"""Rows on terminals of different widths."""

from __future__ import annotations

import pty
import re
import subprocess
import sys
from collections.abc import Callable
from os import close, environ, read

import pytest

from gsc_pipeline.cli.tables import print_rows

COLUMNS = ["workspace", "first day", "last day", "clicks", "what is wrong"]
ROWS = [["acme", "2026-10-25", "2026-11-21", 54032, "the property may not be read: " + "word " * 20]]


@pytest.fixture
def drawn() -> Callable[..., list[str]]:
    """The lines that `print_rows` prints on a terminal of a given width."""

    def draw(width: int, **options: object) -> list[str]:
        ours, theirs = pty.openpty()
        call = f"print_rows({COLUMNS!r}, {ROWS!r}, **{options!r})"
        code = f"from gsc_pipeline.cli.tables import print_rows; {call}"
        env = {**environ, "TERM": "xterm", "COLUMNS": str(width)}
        with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=theirs) as process:
            close(theirs)
            text = b""
            try:
                while chunk := read(ours, 4096):
                    text += chunk
            except OSError:
                pass
            assert process.wait(60) == 0
        close(ours)
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode())
        return [line.rstrip() for line in plain.splitlines()]

    return draw


def test_text_is_wrapped_and_dates_and_numbers_are_not(
    drawn: Callable[..., list[str]],
) -> None:
    lines = drawn(80)
    assert lines[1].split()[:4] == ["acme", "2026-10-25", "2026-11-21", "54032"]
    assert len(lines) > 3
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_a_narrow_terminal_shows_a_line_per_cell(drawn: Callable[..., list[str]]) -> None:
    lines = drawn(50)
    assert lines[:4] == [
        "workspace      acme",
        "first day      2026-10-25",
        "last day       2026-11-21",
        "clicks         54032",
    ]


def test_a_narrow_terminal_shows_the_essential_columns(
    drawn: Callable[..., list[str]],
) -> None:
    assert drawn(30, essential=["workspace", "last day"]) == ["workspace  last day", "acme       2026-11-21"]


def test_without_a_terminal_nothing_is_wrapped_or_omitted(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, ROWS, essential=["workspace"])
    assert len(capsys.readouterr().out.splitlines()) == 2
