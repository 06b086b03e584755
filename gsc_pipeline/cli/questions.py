"""Questions of a command: asked at the terminal, or answered by options and defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import typer

from gsc_pipeline.errors import PipelineError

A = TypeVar("A")
T = TypeVar("T")

YES, NO = "yes", "no"


class SetupError(PipelineError):
    """A step of a setup failed, or an answer cannot be used."""


class Questions:
    """Asks where `is_interactive`; otherwise an answer is its option, or the default.

    An answer that its reader refuses (by a PipelineError or SearchConsoleError) is explained and asked for
    again; where nothing is asked, it is a SetupError. `kept` are the files that were written so far.
    """

    def __init__(self, *, is_interactive: bool) -> None:
        self._is_interactive = is_interactive
        self.kept: list[Path] = []

    def ask(self, question: str, default: str, given: str | None, read: Callable[[str], T]) -> T:
        """What `read` makes of the answer, a text."""
        return self._ask(question, default, given, str, read)

    def ask_some(
        self,
        question: str,
        default: Sequence[str],
        given: Sequence[str] | None,
        read: Callable[[Sequence[str]], T],
    ) -> T:
        """What `read` makes of the answer, a list of texts, typed with commas between them."""
        return self._ask(question, ", ".join(default), given, _parts, read)

    def _ask(
        self, question: str, default: str, given: A | None, parse: Callable[[str], A], read: Callable[[A], T]
    ) -> T:
        from gsc_pipeline.cli.display import warn
        from gsc_pipeline.search_console.errors import SearchConsoleError

        answer = given
        while True:
            if answer is None:
                answer = parse(_typed(question, default) if self._is_interactive else default)
            try:
                return read(answer)
            except (PipelineError, SearchConsoleError) as error:
                if not self._is_interactive:
                    raise SetupError(str(error)) from None
                warn(str(error))
                # Without a default, propose the last answer: its problem may have been corrected meanwhile.
                default, answer = default or str(answer), None

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Say what is written if the questions are interrupted."""
        try:
            yield
        except KeyboardInterrupt:
            kept = f"kept: {', '.join(map(str, self.kept))}" if self.kept else "nothing was written"
            typer.echo(f"\ngsc: interrupted; {kept}", err=True)
            raise


def yes_or_no(answer: str, *, no: str = NO) -> bool:
    """Whether the answer is yes. Raises SetupError if it is neither."""
    if answer.lower() not in (YES, "y", no, NO, "n"):
        raise SetupError(f"{answer!r}: expected {YES} or {no}")
    return answer.lower() in (YES, "y")


def _parts(text: str) -> Sequence[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _typed(question: str, default: str) -> str:
    from rich.markup import escape
    from rich.prompt import Prompt

    shown: Any = default or ...
    try:
        return Prompt.ask(escape(question), default=shown).strip()
    except EOFError:
        # Ctrl-D ends the questions as Ctrl-C does.
        raise KeyboardInterrupt from None
