"""The command `gsc annotations`: lists the annotations of the lake, and fetches Google's ranking updates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from gsc_pipeline.cli.options import AsJson
from gsc_pipeline.settings import load_settings

if TYPE_CHECKING:
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.lake.annotations.record import Annotation

app = typer.Typer(help="List what is known to move numbers, or fetch Google's newest ranking updates.")


@app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """List the known data faults, changes of counting, ranking updates and your notes. Writes nothing."""
    if context.invoked_subcommand is not None:
        context.obj = as_json
        return
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.lake.annotations.stored import listed

    services = Services(load_settings())
    _print(listed(services.lake, own_annotations(services)), as_json=as_json)


@app.command()
def update(context: typer.Context, as_json: AsJson = False) -> None:
    """Fetch Google's ranking updates, and store all annotations in the lake's table."""
    from gsc_pipeline.bootstrap import Services
    from gsc_pipeline.lake.annotations.stored import listed
    from gsc_pipeline.sync.annotations import update_annotations

    services = Services(load_settings())
    yours = own_annotations(services)
    before = listed(services.lake, yours)
    after = update_annotations(
        services.lake, services.settings.search_status_url, yours=yours, now=services.clock()
    )
    new = [one for one in after if one not in before]
    if as_json or context.obj:
        _print(after, as_json=True)
    elif new:
        _print(new, as_json=False)
    else:
        typer.echo(f"nothing is new: {len(after)} annotations are known")


def own_annotations(services: Services) -> tuple[Annotation, ...] | None:
    """The valid ones of the user's file; None to keep those of the lake. Warns of the file's mistakes."""
    from gsc_pipeline.cli.display import warn

    own = services.own_annotations()
    for warning in own.warnings:
        warn(warning)
    return own.valid


def _print(found: Sequence[Annotation], *, as_json: bool) -> None:
    from gsc_pipeline.cli.tables import print_rows
    from gsc_pipeline.lake.annotations.stored import as_table

    rows = as_table(found).to_pylist()
    if as_json:
        typer.echo(json.dumps({"annotations": rows}, default=str))
        return
    columns = ("first_day", "last_day", "kind", "title", "search_types", "metrics", "workspace", "source")
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    print_rows(columns, cells, essential=("first_day", "last_day", "title"))


def _cell(value: object) -> object:
    return " ".join(value) if isinstance(value, list) else value
