"""A command in a terminal of its own, which a test types at."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pexpect
from pexpect.fdpexpect import fdspawn

from gsc_pipeline_tests.waiting import HANG_SECONDS

LINES, COLUMNS = 50, 160
RESENT_SECONDS = 10.0


@dataclass
class Terminal:
    """What the command prints, to be expected, and the command."""

    screen: fdspawn
    process: subprocess.Popen[bytes]

    def shows(self, text: str) -> str:
        """Wait until the text appears, and return what was printed before it."""
        self.screen.expect_exact(text)
        return str(self.screen.before)

    def type(self, line: str) -> None:
        self.screen.send(f"{line}\n")

    def interrupt(self, until: str | None = None) -> None:
        """Send SIGINT until the text appears, or the end: Python misses one as it begins to read a line."""
        for _ in range(int(HANG_SECONDS / RESENT_SECONDS)):
            self.process.send_signal(signal.SIGINT)
            if self.screen.expect_exact([until or pexpect.EOF, pexpect.TIMEOUT], timeout=RESENT_SECONDS) == 0:
                return
        raise AssertionError(f"no {until!r} after SIGINT: {self.screen.before}")

    def ends(self) -> tuple[int, str]:
        """The exit code, and what was printed since the last text that was waited for."""
        if not self.screen.flag_eof:
            self.screen.expect(pexpect.EOF)
        return self.process.wait(HANG_SECONDS), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", str(self.screen.before))


@contextmanager
def terminal(command: Sequence[str], *, env: dict[str, str], folder: Path) -> Iterator[Terminal]:
    """Run the command in a terminal. It is not forked: this process may have threads."""
    own, its = pty.openpty()
    termios.tcsetwinsize(its, (LINES, COLUMNS))
    process = subprocess.Popen(
        command,
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, **env, "TERM": "dumb", "NO_COLOR": "1"},
        cwd=folder,
        start_new_session=True,
    )
    os.close(its)
    screen = fdspawn(own, encoding="utf-8", timeout=HANG_SECONDS)
    try:
        yield Terminal(screen, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(HANG_SECONDS)
        screen.close()
