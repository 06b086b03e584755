"""How assets look in Dagster's UI: descriptions, columns, rows as an event's or a check's metadata."""

from collections.abc import Iterable, Sequence

import dagster as dg

from gsc_pipeline.lake.schemas import INSIGHTS, TableSpec


def about(what: str, *, made_by: str, partition: str = "", table: TableSpec | None = None) -> str:
    """An asset's description, in Markdown: what it is, who makes it, what a partition is, how to ask it."""
    parts = [what, f"**Made by** {made_by}"]
    if partition:
        parts.append(f"**A partition** is {partition}")
        parts.append(
            "**When it was last true for each workspace, and what is wrong:** *Checks*, `up_to_date`."
        )
    if table:
        page = "insights" if table in INSIGHTS else "tables"
        parts.append(
            f"**Ask it:** `gsc query \"SELECT * FROM {table.name} WHERE workspace = 'acme' LIMIT 10\"`. "
            f"More in docs/{page}.md."
        )
    return "\n\n".join(parts)


def place(table: TableSpec, lake: str) -> dict[str, str]:
    """Where an asset's table is, as the UI shows it."""
    return {"dagster/table_name": table.name, "dagster/uri": f"{lake.rstrip('/')}/{table.name}"}


def column_schema(table: TableSpec) -> dg.TableSchema:
    """The table's columns as the UI lists them."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                str(column.type),
                description=column.metadata[b"description"].decode(),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.schema
        ]
    )


def table_metadata(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.TableMetadataValue:
    """Rows as a table of an event's or a check's metadata; what Dagster has no type for becomes text.

    Without rows there are no columns either: most of a check's good result would be the names of columns.
    """
    records = [dg.TableRecord(dict(zip(columns, map(_cell, row), strict=True))) for row in rows]
    named = [dg.TableColumn(name) for name in columns] if records else []
    return dg.MetadataValue.table(records, schema=dg.TableSchema(named))


def _cell(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
