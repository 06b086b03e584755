"""A sync that a person started: its display, and what Ctrl-C and SIGTERM do to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import typer

from gsc_pipeline.cli.display import SyncDisplay
from gsc_pipeline.sync.sync_all import sync_all

if TYPE_CHECKING:
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.days import Window
    from gsc_pipeline.sync.report import SyncReport, SyncSummary
    from gsc_pipeline.sync.tables.more import MoreReport
    from gsc_pipeline.workspaces.registry import Workspace

    R = TypeVar("R", SyncReport, MoreReport)


def run_sync(
    services: Services,
    selected: Sequence[Workspace],
    window: Window,
    *,
    full: bool = False,
    quiet: bool = False,
) -> SyncSummary[SyncReport]:
    """Sync the workspaces, show the progress, and unless `quiet` the outcome. Raises SyncFatalError."""
    display = SyncDisplay(quiet=quiet)
    return _shown(
        lambda: sync_all(
            selected,
            window,
            services.opener(by_person=True),
            services.lake,
            options=services.sync_options(full=full),
            on_progress=display.progress,
            on_report=display.report,
        ),
        display,
        None if quiet else display.summary,
    )


def run_more(
    services: Services,
    selected: Sequence[Workspace],
    window: Window | None,
    *,
    full: bool = False,
    quiet: bool = False,
) -> SyncSummary[MoreReport]:
    """The same for the other tables. Without a window, each table's own days and a part of the backfill."""
    from gsc_pipeline.sync.tables.more import sync_more

    display = SyncDisplay(quiet=quiet)
    return _shown(
        lambda: sync_more(
            selected,
            services.opener(by_person=True),
            services.lake,
            options=services.more_options(window=window, full=full),
            on_progress=display.progress,
            on_report=display.report,
        ),
        display,
        None if quiet else display.summary_of_tables,
    )


def _shown(
    sync: Callable[[], SyncSummary[R]],
    display: SyncDisplay,
    print_summary: Callable[[SyncSummary[R]], None] | None,
) -> SyncSummary[R]:
    with interruptible("sync"), display:
        summary = sync()
    if print_summary:
        print_summary(summary)
    return summary


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """Print what is kept when the block is interrupted. `what` is "sync" or "import".

    SIGTERM interrupts the block as Ctrl-C does, and then ends the process as it does without the block.
    """
    received: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        # A second SIGTERM must not interrupt the recording of what was done before the first.
        if not received:
            received.append(number)
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            f"gsc: interrupted; committed days are kept, and the next {what} continues from there", err=True
        )
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
        if received:
            # Not `os.kill`: another thread could get the signal, and a handler would run too late.
            signal.raise_signal(signal.SIGTERM)
